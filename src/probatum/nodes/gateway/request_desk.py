"""Requests at a gateway: from the question to the signed release, whatever nodes do.

A request is handed to one node at a time; a node that refuses, falls silent, cannot be reached or
answers wrongly is followed by the next (`CUSTODY-1`: each hand-over is a branch of one tree). The
first valid answer wins. Nobody is told an outcome before its records are on disk. Must not know
settlement.
"""

from __future__ import annotations

from probatum.client.ledger_view import LedgerView
from probatum.errors import Refusal
from probatum.evidence.routing import select_offers
from probatum.machine.budget import Held, Recent
from probatum.machine.events import Moment
from probatum.machine.machine import draw
from probatum.machine.wishes import Journal, Reply, SetTimer, Wish
from probatum.nodes.gateway.branches import Branch
from probatum.nodes.gateway.bundle_store import BundleStore
from probatum.nodes.gateway.failover import HAND, FailOver, Progress
from probatum.nodes.gateway.hearing import end_if_done, end_text, join_text, leave_text
from probatum.nodes.gateway.manifests import Manifests, Waiter
from probatum.nodes.gateway.refusing import refuse
from probatum.nodes.gateway.request import (
    Asker,
    OpenRequest,
    Outcome,
    check_ask,
    check_inputs,
    compute_ask_digest,
    make_released_record,
    make_request,
    release,
)
from probatum.nodes.gateway.settings import GatewaySettings
from probatum.nodes.gateway.spending import Spending
from probatum.nodes.gateway.till import Till
from probatum.nodes.gateway.timers import ACCEPT, AGAIN, DEADLINE, QUIET, SILENCE, let_go
from probatum.protocol.encoding import encode
from probatum.protocol.messages import Answer, Ask, CancelText, Message, Noted, Refused
from probatum.protocol.primitives import Digest, make_digest

__all__ = ["BUNDLE", "RequestDesk"]

BUNDLE = "bundle:"
"""Before a request id: ticket of the journal."""

_ASKERS = 16


def _weigh(told: tuple[Digest, Outcome]) -> int:
    outcome = told[1]
    if isinstance(outcome, Refused):
        return 200
    return len(outcome.bundle) + sum(len(tensor.data) for tensor in outcome.outputs)


class RequestDesk:
    """Holds the open requests."""

    def __init__(
        self,
        settings: GatewaySettings,
        view: LedgerView,
        store: BundleStore,
        manifests: Manifests,
        spending: Spending,
        till: Till,
    ) -> None:
        """Make a desk without requests."""
        self._settings = settings
        self._view = view
        self._store = store
        self._manifests = manifests
        self._till = till
        self._opener: Digest | None = None
        self._failover = FailOver(settings, view, spending)
        self._open: Held[str, OpenRequest] = Held(limit=settings.open_requests, code="gateway.busy")
        self._open_bytes = 0
        self._told: Recent[str, tuple[Digest, Outcome]] = Recent(
            limit=settings.recent_bytes, weigh=_weigh
        )
        self._waiting: dict[str, str] = {}

    def __len__(self) -> int:
        """Count the open requests."""
        return len(self._open)

    @property
    def open_bytes(self) -> int:
        """Bytes of inputs that are held."""
        return self._open_bytes

    def ask(self, asker: Asker, ask: Ask, moment: Moment, *, stopping: bool) -> tuple[Wish, ...]:
        """Take a question: a new request, or one that is known already."""
        try:
            check_ask(ask)
            known = self._find_known(asker.conversation, ask)
            if known is not None:
                return known
            self._check_open(stopping=stopping)
            return self._begin(asker, ask, moment)
        except Refusal as refusal:
            return (refuse(asker.conversation, refusal),)

    def forget(self, conversation: str) -> tuple[Wish, ...]:
        """Learn that an asker went away; the request goes on, hand-overs are signed for it.

        A text that nobody waits for is ended after a while (`TEXT-1`).
        """
        request = self._open.get(self._waiting.pop(conversation, ""))
        if request is None:
            return ()
        request.askers.pop(conversation, None)
        return leave_text(request, conversation, self._settings)

    def take_enough(self, conversation: str) -> tuple[Wish, ...]:
        """Learn that an asker has enough of its text."""
        request = self._open.get(self._waiting.get(conversation, ""))
        if request is None or request.reading is None:
            return ()
        request.reading.done.add(conversation)
        return end_if_done(request, self._settings)

    def cancel(self, conversation: str, message: CancelText) -> tuple[Wish, ...]:
        """Take the word of whoever has the salt that enough of a text was heard."""
        request = self._open.get(message.request_id)
        noted = Reply(conversation, Noted())
        if request is None or request.reading is None or request.salt != message.salt:
            return (noted,)
        request.reading.done |= set(request.askers)
        return (noted, *end_if_done(request, self._settings))

    def take_reply(
        self, call: str, message: Message, moment: Moment, *, last: bool
    ) -> tuple[Wish, ...]:
        """Take a node's reply to a hand-over."""
        request, branch = self._find(call.removeprefix(HAND))
        if request is None or branch is None or branch.state == "ended":
            return ()
        progress = self._failover.take_reply(request, branch, message, moment, last=last)
        return self._go_on(request, progress)

    def take_unreachable(self, call: str, reason: str, moment: Moment) -> tuple[Wish, ...]:
        """Learn that a hand-over's conversation broke."""
        request, branch = self._find(call.removeprefix(HAND))
        if request is None or branch is None:
            return ()
        progress = self._failover.take_unreachable(request, branch, reason, moment)
        return self._go_on(request, progress)

    def take_timer(self, timer: str, moment: Moment) -> tuple[Wish, ...]:
        """Take one of the timers of requests and branches."""
        kind, colon, name = timer.partition(":")
        kind += colon
        request, branch = self._find(name)
        if request is None:
            return ()
        if kind == ACCEPT and branch is not None:
            progress = self._failover.take_silence(request, branch, moment, accepted=False)
        elif kind == SILENCE and branch is not None:
            progress = self._failover.take_silence(request, branch, moment, accepted=True)
        elif kind == AGAIN:
            progress = self._failover.advance(request, moment)
        elif kind == DEADLINE:
            progress = Progress(refusal=self._failover.give_up(request))
        elif kind == QUIET:
            return () if request.askers else end_text(request, self._settings, "hung-up")
        else:
            return ()
        return self._go_on(request, progress)

    def take_block(self, moment: Moment) -> tuple[Wish, ...]:
        """Look again at answers that waited for the ledger's next block."""
        wishes: list[Wish] = []
        requests = tuple(request for _, request in self._open.items())
        for request in requests:
            if request.outcome is None and any(b.parked is not None for b in request.branches):
                wishes += self._go_on(request, self._failover.recheck(request, moment))
            elif request.awaits_funds and not request.branches:
                wishes += self._go_on(request, self._failover.advance(request, moment))
        return tuple(wishes)

    def take_durable(self, request_id: str) -> tuple[tuple[Wish, ...], OpenRequest | None]:
        """Tell the outcome: its records are on disk. Return the request too if it was answered."""
        request = self._open.remove(request_id)
        if request is None or request.outcome is None:
            return (), None
        answered = isinstance(request.outcome, Answer)
        self._till.tabs.state(request.charge, request.bundle)
        self._store.add(request.request_id, request.bundle, answered=answered)
        self._open_bytes -= request.input_bytes
        if request.ask_digest is not None:
            self._told.put(request_id, (request.ask_digest, request.outcome))
        for asker in request.askers:
            self._waiting.pop(asker, None)
        wishes = tuple([Reply(asker, request.outcome) for asker in request.askers])
        return wishes, request if answered else None

    def _find(self, name: str) -> tuple[OpenRequest | None, Branch | None]:
        """Find the open, undecided request and the branch that a ticket names."""
        request_id, _, number = name.partition(":")
        request = self._open.get(request_id)
        if request is None or request.outcome is not None:
            return None, None
        return request, request.branches[int(number)] if number else None

    def _find_known(self, conversation: str, ask: Ask) -> tuple[Wish, ...] | None:
        """Answer for a request id that is known; None if it is new."""
        request_id = ask.request_id
        if request_id is None:
            return None
        told, request = self._told.get(request_id), self._open.get(request_id)
        known = told is not None or request is not None
        if known and ask.salt is None:
            # The id is in the bundle, which anybody may see. Without a secret that only the asker
            # has, whoever guesses a short input would be told so, with answer and salt (`SALT-1`).
            raise Refusal(
                "gateway.no-salt",
                "a known request is told again only to who drew its salt",
                hint=f"its receipt is at GET /receipts/{request_id}; next time send a salt along",
            )
        digest = told[0] if told else request.ask_digest if request else None
        if known and digest != compute_ask_digest(ask):
            raise Refusal(
                "gateway.other-request",
                "another request has this id",
                hint="leave the request id out; the gateway draws one",
            )
        if told is not None:
            return (Reply(conversation, told[1]),)
        if request is not None:
            if len(request.askers) >= _ASKERS:
                raise Refusal("gateway.busy", "enough conversations wait for this request")
            request.askers[conversation] = None
            self._waiting[conversation] = request_id
            return join_text(request, conversation) if ask.stream else ()
        if self._store.get(request_id) is not None:
            raise Refusal(
                "gateway.answered-before",
                "this request was released; its content is not kept",
                hint=f"get the receipt: GET /receipts/{request_id}",
            )
        return None

    def _check_open(self, *, stopping: bool) -> None:
        """Check that the gateway can take a request at all."""
        settings, view = self._settings, self._view
        if stopping:
            raise Refusal("gateway.stopping", "this gateway is stopping", hint="ask another one")
        if view.header is None or view.get_params() is None:
            raise Refusal("gateway.not-ready", "the ledger has not been heard yet", hint="retry")
        node = view.get_node(settings.operator)
        if node is None or node.operating_key != settings.signer.key or "gateway" not in node.roles:
            raise Refusal(
                "gateway.not-registered",
                "the ledger does not know this gateway's key",
                hint="register it from the operator's account, with the role gateway",
            )
        self._store.check_room(len(self._open))

    def _begin(self, asker: Asker, ask: Ask, moment: Moment) -> tuple[Wish, ...]:
        """Open a request, once the model's manifest is there to hold it to (`CANON-8`)."""
        model = self._view.get_model(ask.model, ask.version)
        if model is None:
            version = f" version {ask.version}" if ask.version else ""
            raise Refusal(
                "gateway.unknown-model",
                f"the ledger has no model {ask.model}{version}",
                hint="list the models that are published",
            )
        size = sum([len(tensor.data) for tensor in ask.inputs])
        if self._open_bytes + size > self._settings.open_bytes:
            raise Refusal("gateway.busy", "too many bytes of inputs are held", hint="try later")
        if len(self._open) >= self._settings.open_requests:
            raise Refusal("gateway.busy", f"{len(self._open)} requests are held", hint="try later")
        known = self._manifests.get(model.package)
        if known is None:
            return self._manifests.wait(model.package, self._make_waiter(asker, ask, moment))
        if known.manifest is None:
            raise Refusal("gateway.bad-package", "what was published under this name is no package")
        check_inputs(known.manifest, ask)
        request = make_request(ask, model.package, known.manifest, self._settings, asker, moment)
        request.fare = self._till.admit(
            request.request_id,
            ask,
            asker.caller,
            self._settings.margin_units,
            lambda: [
                offer.price_units
                for offer in select_offers(self._view.get_offers(model.package), ask.node)
                if offer.arithmetic == ask.arithmetic
            ],
        )
        if request.fare.by_voucher:
            request.opener = self._get_opener(moment)
        progress = self._failover.advance(request, moment)
        if progress.refusal is not None:
            self._till.give_back(request.request_id, request.fare)
            return (Reply(asker.conversation, progress.refusal),)
        self._open.add(request.request_id, request)
        self._open_bytes += request.input_bytes
        self._waiting[asker.conversation] = request.request_id
        left_ms = request.deadline_ms - moment.now_ms
        return (*progress.wishes, SetTimer(f"{DEADLINE}{request.request_id}", left_ms))

    def _get_opener(self, moment: Moment) -> Digest:
        """Get this life's own chance, drawn when it is first needed."""
        if self._opener is None:
            self._opener = make_digest(draw(moment, "opener"))
        return self._opener

    def _make_waiter(self, asker: Asker, ask: Ask, moment: Moment) -> Waiter:
        longest = self._settings.request_timeout_ms
        return Waiter(
            conversation=asker.conversation,
            caller=asker.caller,
            question=ask,
            deadline_ms=moment.now_ms + min(ask.timeout_ms or longest, longest),
        )

    def _go_on(self, request: OpenRequest, progress: Progress) -> tuple[Wish, ...]:
        if progress.answer is None and progress.refusal is None:
            return progress.wishes
        return (*progress.wishes, *self._release(request, progress))

    def _release(self, request: OpenRequest, progress: Progress) -> tuple[Wish, ...]:
        """Sign the last record and write the bundle down; the outcome is told after that."""
        answer = progress.answer
        self._failover.close(request)
        if not request.branches:
            return self._drop(request, progress)
        paid = None
        if answer is not None:
            price = answer.receipt.price_units + self._settings.margin_units
            paid = self._till.plan(request.request_id, request.fare, price)
        bundle = release(request, answer, self._settings, self._view.height, paid)
        request.charge = self._till.take(request.request_id, request.fare, paid)
        if answer is not None:
            request.answer = answer
            request.outcome = Answer(
                request_id=request.request_id,
                outputs=answer.message.outputs,
                salt=request.salt,
                bundle=bundle,
            )
        else:
            request.outcome = progress.refusal
        request.bundle = bundle
        record = make_released_record(request, paid)
        return (Journal(f"{BUNDLE}{request.request_id}", (encode(record),)), *let_go(request))

    def _drop(self, request: OpenRequest, progress: Progress) -> tuple[Wish, ...]:
        """End a request that was handed to nobody: nothing was signed, and nothing is owed."""
        self._till.give_back(request.request_id, request.fare)
        self._open.remove(request.request_id)
        self._open_bytes -= request.input_bytes
        for asker in request.askers:
            self._waiting.pop(asker, None)
        refusal = progress.refusal
        told = [Reply(asker, refusal) for asker in request.askers] if refusal else []
        return (*told, *let_go(request))
