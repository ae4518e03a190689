"""Which node is handed a request next, and what its replies mean (`CUSTODY-1`).

A request has one branch that is expected to answer; when that one fails or is overdue, the next
is opened. Overdue branches may still answer, and the first valid answer of any branch wins. Must
not know who asked.
"""

from __future__ import annotations

import re
from typing import Final

import msgspec

from probatum.client.ledger_view import LedgerView
from probatum.errors import Refusal
from probatum.evidence.routing import RoutingPolicy, rank_offers, select_offers
from probatum.machine.events import Moment
from probatum.machine.wishes import Report, Send, SetTimer, Wish
from probatum.nodes.gateway.branches import (
    Branch,
    CheckedAnswer,
    Terms,
    check_accepted,
    check_answered,
    find_cited,
    open_branch,
)
from probatum.nodes.gateway.failures import say_failed
from probatum.nodes.gateway.health import Observations
from probatum.nodes.gateway.hearing import doubt, hear, tell_cancelled
from probatum.nodes.gateway.reading import WRONG_PREFIX
from probatum.nodes.gateway.request import OpenRequest
from probatum.nodes.gateway.settings import GatewaySettings
from probatum.nodes.gateway.spending import Spending
from probatum.nodes.gateway.timers import ACCEPT, AGAIN, SILENCE
from probatum.protocol.encoding import encode_document
from probatum.protocol.messages import (
    Accepted,
    Answered,
    HandOverWork,
    Message,
    Produced,
    Refused,
)
from probatum.protocol.receipts import Receipt
from probatum.protocol.records import NodeRecord

__all__ = ["HAND", "FailOver", "Progress"]

HAND = "hand:"
"""Before request id and branch: a call to a node."""

_CODE: Final = re.compile(r"[a-z0-9-]{1,60}\.[a-z0-9-]{1,60}")
"""Codes of others go into signed records and before people's eyes: they must look like codes."""
_REPLIES: Final = 4
"""An acceptance, that of an earlier branch, an answer; more would only cost signatures' checks."""
_LONGEST_PAUSE_DOUBLINGS = 4
_TOO_LOW: Final = "payment.voucher-too-low"


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """What a step did for a request: it goes on unless there is an answer or a refusal."""

    wishes: tuple[Wish, ...] = ()
    answer: CheckedAnswer | None = None
    refusal: Refused | None = None


class FailOver:
    """Hands requests over, and over again."""

    def __init__(self, settings: GatewaySettings, view: LedgerView, spending: Spending) -> None:
        """Make it; no node was seen yet."""
        self._settings = settings
        self._view = view
        self._spending = spending
        self._health = Observations(settings)

    def advance(self, request: OpenRequest, moment: Moment) -> Progress:
        """See to it that some branch is expected to answer, as long as that can help."""
        for branch in request.branches:
            if branch.state in {"sent", "accepted"}:
                return Progress()
        if len(request.branches) < self._settings.branches:
            chosen = self._choose(request, moment.now_ms)
            if chosen is not None:
                return Progress(wishes=self._hand_over(request, *chosen, moment))
            if not request.branches and not request.awaits_funds:
                return Progress(refusal=say_failed(request))
            # Who has acknowledged and is only late computes already: asking again doubles its load.
            request.tried = {
                branch.node.account
                for branch in request.branches
                if branch.state == "overdue" and branch.acknowledged
            }
            pause = self._settings.retry_pause_ms << min(request.rounds, _LONGEST_PAUSE_DOUBLINGS)
            request.rounds += 1
            return Progress(wishes=(SetTimer(f"{AGAIN}{request.request_id}", pause),))
        if any(branch.state == "overdue" for branch in request.branches):
            return Progress()
        return Progress(refusal=say_failed(request))

    def take_reply(
        self, request: OpenRequest, branch: Branch, message: Message, moment: Moment, *, last: bool
    ) -> Progress:
        """Read a node's reply."""
        branch.replies += not isinstance(message, Produced)
        if branch.replies > _REPLIES:
            why = "more replies than a hand-over has"
            return self._fail(request, branch, "gateway.wrong-answer", why, moment)
        try:
            progress = self._read(request, branch, message, moment)
        except Refusal as refusal:
            progress = self._fail(request, branch, refusal.code, refusal.message, moment)
        if last and branch.state != "ended" and branch.parked is None and not progress.answer:
            return self._fail(request, branch, "gateway.cut-short", "no answer came", moment)
        return progress

    def take_silence(
        self, request: OpenRequest, branch: Branch, moment: Moment, *, accepted: bool
    ) -> Progress:
        """Learn that a branch was not answered in time; not even `accepted` in time, if False."""
        if branch.state not in ({"sent", "accepted"} if accepted else {"sent"}):
            return Progress()
        branch.state = "overdue"
        request.reason = "gateway.overdue"
        self._health.fail(branch.node.account, moment.now_ms)
        return self.advance(request, moment)

    def take_unreachable(
        self, request: OpenRequest, branch: Branch, reason: str, moment: Moment
    ) -> Progress:
        """Learn that a branch's conversation ended without its last reply."""
        if branch.state == "ended" or branch.parked is not None:
            return Progress()
        return self._fail(request, branch, "gateway.unreachable", reason, moment)

    def recheck(self, request: OpenRequest, moment: Moment) -> Progress:
        """Look at answers that waited for the ledger's next block."""
        for branch in request.branches:
            parked, branch.parked = branch.parked, None
            if parked is None or branch.state == "ended":
                continue
            try:
                answer = self._check(request, branch, parked, moment)
            except Refusal as refusal:
                return self._fail(request, branch, refusal.code, refusal.message, moment)
            return Progress(answer=answer)
        return Progress()

    def close(self, request: OpenRequest) -> None:
        """Forget a request's branches; what they still say is not heard."""
        for branch in request.branches:
            self._end(branch)

    def _choose(self, request: OpenRequest, now_ms: int) -> tuple[NodeRecord, int] | None:
        """Choose whom to ask next, and at what price; nobody once this gateway's key is replaced.

        What it would still sign could never be settled, and with it the other branches.
        """
        own = self._settings.signer.key
        registered = self._view.get_node(self._settings.operator)
        if registered is None or registered.operating_key != own:
            return None
        offers = select_offers(self._view.get_offers(request.package), request.node)
        nodes = {
            offer.operator: node
            for offer in offers
            if (node := self._view.get_node(offer.operator)) is not None
        }
        ranked = rank_offers(
            offers,
            nodes,
            health=self._health.get(now_ms),
            height=self._view.height,
            request_digest=request.digest,
            policy=self._get_policy(request),
        )
        request.least_units, request.awaits_funds = 0, False
        for offer in ranked:
            node = nodes[offer.operator]
            if offer.operator in request.tried or node.operating_key == own:
                continue
            if self._can_pay(request, node, offer.price_units):
                return node, offer.price_units
        return None

    def _can_pay(self, request: OpenRequest, node: NodeRecord, price_units: int) -> bool:
        """Tell whether who asked would pay for this node, and this gateway can (`PAY-1`)."""
        charged = price_units + self._settings.margin_units
        if charged > request.fare.ceiling_units:
            request.least_units = request.least_units or charged
            return False
        if not price_units:
            return True
        # The cheapest one that lacks money is given some; a dearer one may answer meanwhile.
        wanting = not request.awaits_funds
        means = self._spending.get_means(node, price_units, wanting=wanting)
        request.awaits_funds |= means == "soon"
        return means == "yes"

    def _get_policy(self, request: OpenRequest) -> RoutingPolicy:
        params = self._view.get_params()
        policy = self._settings.policy
        if policy is None and params is not None:
            policy = RoutingPolicy(heartbeat_blocks=params.heartbeat_window_blocks)
        facts = request.facts
        return msgspec.structs.replace(
            policy or RoutingPolicy(), arithmetic=facts.arithmetic, evidence=facts.assurance
        )

    def _hand_over(
        self, request: OpenRequest, node: NodeRecord, price_units: int, moment: Moment
    ) -> tuple[Wish, ...]:
        params = self._view.get_params()
        assert params is not None, "the gateway takes requests once it knows the parameters"
        reading = request.reading
        given = reading.get_given() if reading else None
        branch = open_branch(
            request.facts,
            node,
            request.branches,
            self._settings,
            height=self._view.height,
            window_blocks=params.answer_window_blocks,
            now_ms=moment.now_ms,
            terms=Terms(
                price_units=price_units,
                opener=request.opener,
                caller=request.caller,
                prefix=given.digest if given else None,
            ),
        )
        voucher = None
        if price_units:
            voucher = self._spending.pay(branch.name, node, price_units, request.request_id)
        request.branches.append(branch)
        request.tried.add(node.account)
        self._health.begin(node.account)
        left_ms = max(1, request.deadline_ms - moment.now_ms)
        message = HandOverWork(
            record=encode_document(branch.envelope),
            facts=request.facts_bytes,
            salt=request.salt,
            inputs=request.inputs,
            time_left_ms=left_ms,
            voucher=voucher,
            prefix=reading.begin(branch.number) if reading else None,
        )
        accept_ms, silence_ms = self._settings.accept_timeout_ms, self._settings.branch_timeout_ms
        if reading is not None:
            silence_ms = self._settings.text_silence_ms
            accept_ms = silence_ms if given else accept_ms
        name = f"{request.request_id}:{branch.number}"
        wished = reading.wish(message) if reading else message
        return (
            Send(f"{HAND}{name}", node.endpoint, wished, left_ms),
            SetTimer(f"{ACCEPT}{name}", accept_ms),
            SetTimer(f"{SILENCE}{name}", silence_ms),
        )

    def _read(
        self, request: OpenRequest, branch: Branch, message: Message, moment: Moment
    ) -> Progress:
        match message:
            case Accepted():
                known = check_accepted(message, branch, request.branches)
                if branch.state == "sent" and known is branch:
                    branch.state = "accepted"
                return Progress(wishes=tell_cancelled(request, branch, self._settings))
            case Produced():
                return Progress(wishes=hear(request, branch, message, self._settings))
            case Answered():
                try:
                    return Progress(answer=self._check(request, branch, message, moment))
                except Refusal as refusal:
                    if refusal.code != "gateway.unknown-session":
                        raise
                    branch.parked = message
                    return Progress()
            case Refused(code=code) if _CODE.fullmatch(code) is None:
                why = "a refusal without a code"
                return self._fail(request, branch, "gateway.wrong-answer", why, moment)
            case Refused(code=code, message=why):
                if code == WRONG_PREFIX:
                    doubt(request, branch)
                # Also where the node says that the request itself is at fault: nobody signs a
                # refusal, and the gateway has held the request to the model's manifest itself.
                return self._fail(request, branch, code, why, moment)
            case _:
                why = f"{type(message).__name__} is no answer to a hand-over"
                return self._fail(request, branch, "gateway.wrong-answer", why, moment)

    def _check(
        self, request: OpenRequest, branch: Branch, message: Answered, moment: Moment
    ) -> CheckedAnswer:
        answer = check_answered(
            message,
            branch,
            request.branches,
            request.facts,
            request.salt,
            self._view,
            self._settings,
            request.manifest,
        )
        if request.reading is not None:
            request.reading.check(branch, answer.receipt, message.outputs)
        self._take_charge(request, answer.receipt)
        self._end(branch)
        self._health.succeed(branch.node.account, moment.now_ms - branch.sent_ms)
        return answer

    def _take_charge(self, request: OpenRequest, receipt: Receipt) -> None:
        """Check what a receipt charges, and count it. Raises Refusal `payment.*`."""
        cited = find_cited(request.branches, receipt)
        if agreed_units := cited.record.price_units:
            self._spending.check(cited.node.account, receipt, agreed_units)
            self._spending.settle(cited.name, cited.node.account, receipt)

    def _fail(
        self, request: OpenRequest, branch: Branch, code: str, why: str, moment: Moment
    ) -> Progress:
        """End a branch that brought nothing, say so, and go on with the next."""
        self._end(branch)
        if code != WRONG_PREFIX:
            self._health.fail(branch.node.account, moment.now_ms)
        request.reason = code
        report = Report(
            "warning",
            "gateway.branch-failed",
            f"{code}: {why}"[:500],
            (
                ("request", request.request_id),
                ("branch", str(branch.number)),
                ("operator", branch.record.taker.account),
            ),
        )
        asked = self._spending.ask_tab(branch.node) if code == _TOO_LOW else ()
        progress = self.advance(request, moment)
        return Progress(wishes=(report, *asked, *progress.wishes), refusal=progress.refusal)

    def _end(self, branch: Branch) -> None:
        if branch.state != "ended":
            branch.state = "ended"
            self._health.end(branch.node.account)
            if branch.record.price_units:
                self._spending.drop(branch.name)

    def give_up(self, request: OpenRequest) -> Refused:
        """Say that a request's time is over."""
        if any(branch.state != "ended" for branch in request.branches):
            request.reason = "gateway.deadline"
        return say_failed(request)
