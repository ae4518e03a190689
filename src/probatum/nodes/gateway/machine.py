"""The gateway: a pure machine that takes requests, hands them over and keeps the custody tree.

One event, one step; what the gateway wants of the world comes back as wishes. It signs that it
accepted a request, to whom it handed it, and how that ended (`CUSTODY-1`); bundles of answered
requests are settled in the background. Read next: `request_desk`, `failover`, `bundle_store`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final, Protocol, TypeAlias

import msgspec

from probatum.client.ledger_view import LedgerView
from probatum.client.pending import SettlementCollector
from probatum.client.settling import make_pending
from probatum.client.sync import LedgerFollower
from probatum.errors import Refusal
from probatum.machine.events import (
    Arrived,
    Durable,
    Enough,
    Event,
    Fired,
    Hung,
    Moment,
    Returned,
    Started,
    Stopping,
    Unreachable,
)
from probatum.machine.wishes import Halt, Journal, Reply, Report, SetTimer, Wish
from probatum.nodes.gateway.bundle_store import BundleStore
from probatum.nodes.gateway.failover import HAND
from probatum.nodes.gateway.funding import Funding
from probatum.nodes.gateway.journal_records import (
    ChargedRecord,
    GivenUpRecord,
    SettledRecord,
    SummaryRecord,
)
from probatum.nodes.gateway.manifests import Manifests, Waiter
from probatum.nodes.gateway.refusing import refuse
from probatum.nodes.gateway.request import Asker
from probatum.nodes.gateway.request_desk import BUNDLE, RequestDesk
from probatum.nodes.gateway.settings import GatewaySettings
from probatum.nodes.gateway.spending import Spending
from probatum.nodes.gateway.till import Budgets, Till
from probatum.protocol import records
from probatum.protocol.encoding import encode
from probatum.protocol.manifests import Manifest
from probatum.protocol.messages import (
    Ask,
    CancelText,
    GetBundle,
    GetManifest,
    GetTab,
    GotBundle,
    GotManifest,
    Message,
)
from probatum.protocol.primitives import Digest, RequestId

__all__ = ["Gateway"]

_STOP_TIMER: Final = "gateway:stop"
_SETTLED: Final = "settled:"
_GIVEN_UP: Final = "given-up:"


class _Owner(Protocol):
    def owns(self, event: Event, /) -> bool:
        """Tell whether an event is for this sub-machine."""
        ...


_Take: TypeAlias = Callable[[Event, Moment], tuple[Wish, ...]]


class Gateway:
    """One operator's gateway."""

    def __init__(
        self,
        settings: GatewaySettings,
        journal: Iterable[bytes],
        budgets: Budgets | None = None,
    ) -> None:
        """Build the gateway from its journal, empty at its first start.

        Args:
            settings: Its configuration.
            journal: What earlier lives wrote down.
            budgets: What API keys may spend (`PAY-1`); without it they may spend nothing.

        Raises:
            Refusal: `encoding.*` for a record that is not one; `gateway.busy`, `settle.full` if
                the journal holds more pending bundles than the settings allow.
        """
        self._settings = settings
        self._store = BundleStore(
            pending_limit=settings.pending_bundles, final_bytes=settings.bundle_bytes
        )
        prefixes = (
            records.NODE,
            records.OFFER,
            records.MODEL,
            records.LOG,
            records.KEY,
            records.PARAMS_KEY,
        )
        # Those that pay it, and those that it pays from.
        payers = () if settings.payer is None else (settings.payer.address,)
        self._follower = LedgerFollower(
            settings.ledger,
            prefixes,
            settings.trust,
            escrows_of=tuple(dict.fromkeys((settings.operator, *payers))),
        )
        self._till = Till(settings, self.view, budgets)
        self._spending = Spending(settings, self.view)
        self._funding = Funding(settings, self.view, self._spending, self._till)
        self._store.recover(journal, self._recover_charge)
        self._manifests = Manifests(settings, self.view)
        self._desk = RequestDesk(
            settings, self.view, self._store, self._manifests, self._spending, self._till
        )
        self._collector = SettlementCollector(
            settings.ledger, settings.trust, self.view, limit=settings.pending_bundles
        )
        for request_id, bundle in self._store.list_pending():
            self._collector.add(request_id, bundle)
        self._parts: tuple[tuple[_Owner, _Take], ...] = (
            (self._follower, self._follow),
            (self._collector, self._collect),
            (self._manifests, self._learn),
            (self._funding, self._funding.step),
            (self._spending, lambda event, _: self._spending.step(event)),
        )
        self._stopping = False
        self._halted = False

    @property
    def view(self) -> LedgerView:
        """The ledger as the gateway follows it."""
        return self._follower.view

    @property
    def is_ready(self) -> bool:
        """Whether the gateway takes requests."""
        node = self.view.get_node(self._settings.operator)
        registered = node is not None and node.operating_key == self._settings.signer.key
        return registered and not (self._stopping or self._halted)

    def get_manifest(self, package: Digest) -> Manifest | None:
        """Get a package's manifest if it is known already."""
        known = self._manifests.get(package)
        return None if known is None else known.manifest

    def get_gauges(self) -> Mapping[str, float]:
        """Get figures for whoever is on duty."""
        return {
            "ledger_height": self.view.height,
            "ready": self.is_ready,
            "gateway_open_requests": len(self._desk),
            "gateway_open_input_bytes": self._desk.open_bytes,
            "gateway_pending_receipts": len(self._collector),
            "gateway_overdue_receipts": len(self._collector.list_overdue()),
            "gateway_uncollected_units": self._till.tabs.count_due(least_units=0),
            "gateway_escrow_units": self._funding.locked_units,
            "gateway_unanswered_units": self._spending.unanswered_units,
        }

    def step(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        """Take one event, return the wishes that follow from it."""
        if self._halted:
            return ()
        wishes = self._take(event, moment)
        if self._stopping and not len(self._desk) and self._funding.is_done:
            wishes = (*wishes, Halt("gateway.stopped", "asked to stop; no request is open"))
        self._halted = Halt in map(type, wishes)
        return wishes

    def _take(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        # What every request brings comes first; no part below owns any of it.
        match event:
            case Returned(call=call, message=message, last=last) if call.startswith(HAND):
                return self._desk.take_reply(call, message, moment, last=last)
            case Arrived(conversation=conversation, message=message, caller=caller):
                asker = Asker(conversation=conversation, caller=caller)
                return self._take_message(asker, message, moment)
            case Durable(ticket=ticket):
                return self._take_durable(ticket)
            case _:
                return self._take_other(event, moment)

    def _take_other(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        for owner, take in self._parts:
            if owner.owns(event):
                return take(event, moment)
        match event:
            case Started():
                return self._follower.start(moment)
            case Hung(conversation=conversation):
                self._manifests.forget(conversation)
                return self._desk.forget(conversation)
            case Enough(conversation=conversation):
                return self._desk.take_enough(conversation)
            case Unreachable(call=call, reason=reason) if call.startswith(HAND):
                return self._desk.take_unreachable(call, reason, moment)
            case Fired(timer=timer):
                return self._take_timer(timer, moment)
            case _:
                # Stopping; and replies to calls that nobody waits for any more.
                return self._begin_to_stop() if isinstance(event, Stopping) else ()

    def _begin_to_stop(self) -> tuple[Wish, ...]:
        self._stopping = True
        # For those who still wait for a manifest nothing was signed yet.
        stop = Refusal("gateway.stopping", "this gateway is stopping", hint="ask another one")
        refused = (refuse(waiter.conversation, stop) for waiter in self._manifests.close())
        timer = SetTimer(_STOP_TIMER, self._settings.stop_grace_ms)
        return (timer, *refused, *self._funding.plan(hurry=True))

    def _follow(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        step = self._follower.step(event, moment)
        if step.went_back:
            why = "the ledger shows another past than before"
            return (*step.wishes, Halt("gateway.ledger-went-back", why, step.headers))
        if not step.blocks:
            return step.wishes
        return (
            *step.wishes,
            *self._manifests.look_ahead(step.blocks),
            *self._desk.take_block(moment),
            *self._drop_overdue(),
            *self._collector.look(moment),
            *self._funding.plan(hurry=self._stopping),
        )

    def _recover_charge(self, record: ChargedRecord | SummaryRecord) -> None:
        self._till.recover(record)
        self._spending.recover(record)

    def _collect(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        step = self._collector.step(event, moment)
        wishes = list(step.wishes)
        for request_id, settlement in step.finished:
            # Anybody can check a settled bundle: it may be shown before it is on disk.
            self._store.settle(request_id, settlement)
            record = SettledRecord(request_id=request_id, settlement=settlement)
            wishes.append(Journal(f"{_SETTLED}{request_id}", (encode(record),)))
        for request_id, code in step.broken:
            wishes.append(self._give_up(((request_id, code),)))
            why = "the settled ledger contradicts a receipt"
            fields = (("request", request_id), ("refusal", code))
            wishes.append(Report("error", "gateway.receipt-broken", why, fields))
        return tuple(wishes)

    def _drop_overdue(self) -> tuple[Wish, ...]:
        """Wait no more for nodes that broke their promise, if their receipts crowd the others."""
        crowd = self._store.crowd
        if not crowd:
            return ()
        overdue = self._collector.list_overdue()[:crowd]
        if not overdue:
            return ()
        for request_id in overdue:
            self._collector.remove(request_id)
        why = f"{len(overdue)} receipts were not settled in time and are not waited for any more"
        report = Report("error", "gateway.receipts-overdue", why, (("first", overdue[0]),))
        return (report, self._give_up(tuple((one, "gateway.receipts-overdue") for one in overdue)))

    def _give_up(self, requests: tuple[tuple[RequestId, str], ...]) -> Journal:
        for request_id, _ in requests:
            self._store.give_up(request_id)
        told = tuple(encode(GivenUpRecord(request_id=one, code=code)) for one, code in requests)
        return Journal(f"{_GIVEN_UP}{requests[0][0]}", told)

    def _learn(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        """Take what came of fetching a manifest, and serve who waited for it."""
        step = self._manifests.step(event, moment)
        wishes = list(step.wishes)
        for waiter, refusal in step.refused:
            wishes.append(refuse(waiter.conversation, refusal))
        for waiter in step.served:
            asker = Asker(conversation=waiter.conversation, caller=waiter.caller)
            question = waiter.question
            if isinstance(question, Ask):
                left_ms = max(1, waiter.deadline_ms - moment.now_ms)
                # A text may take longer than anybody waits for a manifest.
                left_ms += max(0, question.timeout_ms - self._settings.request_timeout_ms)
                question = msgspec.structs.replace(question, timeout_ms=left_ms)
            wishes += self._take_message(asker, question, moment)
        return tuple(wishes)

    def _get_manifest(self, asker: Asker, message: GetManifest, moment: Moment) -> tuple[Wish, ...]:
        known = self._manifests.get(message.package)
        if known is not None:
            return (Reply(asker.conversation, GotManifest(manifest=known.data)),)
        waiter = Waiter(
            conversation=asker.conversation,
            caller=asker.caller,
            question=message,
            deadline_ms=moment.now_ms + self._settings.accept_timeout_ms * 2,
        )
        try:
            return self._manifests.wait(message.package, waiter)
        except Refusal as refusal:
            return (refuse(asker.conversation, refusal),)

    def _take_message(self, asker: Asker, message: Message, moment: Moment) -> tuple[Wish, ...]:
        conversation = asker.conversation
        match message:
            case Ask():
                return self._desk.ask(asker, message, moment, stopping=self._stopping)
            case CancelText():
                return self._desk.cancel(conversation, message)
            case GetManifest():
                return self._get_manifest(asker, message, moment)
            case GetBundle(request_id=request_id):
                found = self._store.get(request_id)
                if found is None:
                    refusal = Refusal(
                        "gateway.unknown-request",
                        "this gateway has no bundle for this request",
                        hint="bundles are there once a request was released, and for a while",
                    )
                    return (refuse(conversation, refusal),)
                settled, bundle = found
                return (Reply(conversation, GotBundle(settled=settled, bundle=bundle)),)
            case GetTab(escrow=escrow):
                try:
                    return (Reply(conversation, self._till.show_tab(escrow)),)
                except Refusal as refusal:
                    return (refuse(conversation, refusal),)
            case _:
                why = f"a gateway takes no {type(message).__name__}"
                return (refuse(conversation, Refusal("gateway.wrong-message", why)),)

    def _take_durable(self, ticket: str) -> tuple[Wish, ...]:
        if not ticket.startswith(BUNDLE):
            return ()
        wishes, answered = self._desk.take_durable(ticket.removeprefix(BUNDLE))
        if answered is not None and answered.answer is not None:
            branches = tuple([branch.checked for branch in answered.branches])
            answer = answered.answer
            item = make_pending(answered.bundle, answer.receipt, answer.entry, branches)
            self._collector.hold(answered.request_id, item)
        return wishes

    def _take_timer(self, timer: str, moment: Moment) -> tuple[Wish, ...]:
        if timer == _STOP_TIMER and self._stopping:
            why = f"{len(self._desk)} requests were not released in time"
            return (Halt("gateway.stopped-early", why),)
        return self._desk.take_timer(timer, moment)
