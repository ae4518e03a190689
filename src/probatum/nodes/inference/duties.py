"""What an inference node owes the ledger: a session, offers, heartbeats, settled checkpoints.

Every plan is made from what the ledger shows, so a lost transaction is noticed and a doubled one
is harmless. Bodies with an authority go one at a time, since each carries the node's next
sequence. Must not know requests. Read next: `sessions`, `settlement`, `errands`.
"""

from __future__ import annotations

from itertools import product
from typing import Final, TypeVar

import msgspec

from probatum.client.ledger_view import LedgerView
from probatum.client.tabs import Tabs
from probatum.machine.events import Event, Moment
from probatum.machine.wishes import Report, Wish
from probatum.nodes.inference.challenges import ChallengeDesk
from probatum.nodes.inference.charging import Collecting
from probatum.nodes.inference.errands import Errands
from probatum.nodes.inference.journal_records import ReturnedEntry
from probatum.nodes.inference.logbook import Logbook, SessionLog
from probatum.nodes.inference.sessions import SESSION, SessionOpening
from probatum.nodes.inference.settings import InferenceSettings
from probatum.nodes.inference.settlement import LogSettlement
from probatum.protocol.parties import ArithmeticClass
from probatum.protocol.primitives import Digest, make_operating_signature
from probatum.protocol.records import NodeRecord, OfferRecord
from probatum.protocol.transactions.kinds import DeclareLoss, Heartbeat, Offer, WithdrawOffer
from probatum.protocol.transactions.signed import sign_authority

__all__ = ["Duties"]

_AUTHORITY = "authority"
CLASSES: Final[tuple[ArithmeticClass, ...]] = ("float", "exact")
_BEATS_PER_WINDOW = 3
"""Two heartbeats may be lost before a node counts as dead."""
_UNSIGNED = make_operating_signature(bytes(64))

B = TypeVar("B", Offer, WithdrawOffer, Heartbeat, DeclareLoss)


class Duties:
    """Plans and sends a node's transactions."""

    def __init__(
        self,
        settings: InferenceSettings,
        book: Logbook,
        view: LedgerView,
        taken: frozenset[int],
        tabs: Tabs,
        returned: tuple[ReturnedEntry, ...] = (),
    ) -> None:
        """Make the duties of a node that has done none yet.

        Args:
            settings: The node's.
            book: Its logs.
            view: The ledger as it follows it.
            taken: Session numbers that earlier lives wrote down.
            tabs: What payers owe: their vouchers ride on checkpoints.
            returned: Entries of lost sessions that they put into their logs.
        """
        self._settings = settings
        self._view = view
        self._errands = Errands(settings, view)
        self._opening = SessionOpening(settings, book, view, self._errands, taken)
        self._settlement = LogSettlement(settings, book, view, self._errands, tabs)
        self._collecting = Collecting(settings, self._errands, tabs)
        self._challenges = ChallengeDesk(settings, book, view, self._errands, returned)
        self._complaint = ""
        self._answered_last = False

    @property
    def log(self) -> SessionLog | None:
        """The log session of this life, None until the ledger has it."""
        return self._opening.log

    def owns(self, event: Event) -> bool:
        """Tell whether an event belongs to the node's transactions."""
        return self._errands.owns(event)

    def step(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        """Take an event that `owns` claims."""
        wishes, outcomes = self._errands.step(event, moment)
        said = [
            wish
            for outcome in outcomes
            if outcome.ticket == SESSION
            for wish in self._opening.take_outcome(outcome)
        ]
        return (*wishes, *said)

    def take_session_durable(self) -> tuple[Wish, ...]:
        """Go on once the session's number is written down."""
        return self._opening.take_durable()

    def take_returned_durable(self, ticket: str) -> None:
        """Go on once an entry of a lost session is written down in this one."""
        self._challenges.take_durable(ticket)

    def plan(self, moment: Moment, *, stopping: bool) -> tuple[Wish, ...]:
        """Do what the ledger's last block and the node's logs make due."""
        if self._view.header is None:
            return ()
        record = self._view.get_node(self._settings.operator)
        complaint = self._find_complaint(record)
        if complaint is not None or record is None:
            return (*self._settlement.plan(hurry=stopping), *self._complain(complaint))
        self._complaint = ""
        wishes: list[Wish] = []
        if self.log is not None or stopping:
            # Not before: a node that starts is ready the sooner, and the logs lose two blocks.
            wishes += self._plan_logs(stopping=stopping)
            wishes += self._collecting.plan(is_settled=self._settlement.is_done())
        if not stopping:
            wishes += self._opening.plan(record, moment)
            if self.log is not None and self._errands.is_free(_AUTHORITY):
                wishes += self._plan_authority(record)
        return tuple(wishes)

    def _plan_logs(self, *, stopping: bool) -> tuple[Wish, ...]:
        """Settle and answer challenges, in turns: settling more would spoil an answer's proof."""
        wishes: list[Wish] = []
        if self.log is not None and not self._answered_last:
            wishes += self._challenges.plan(self.log)
            self._answered_last = self._challenges.is_answering
        if self._challenges.is_answering:
            return tuple(wishes)
        wishes += self._settlement.plan(hurry=stopping or self._challenges.is_pressing)
        self._answered_last = False
        return tuple(wishes)

    def is_registered(self) -> bool:
        """Tell whether the ledger knows this node as it is configured."""
        return self._find_complaint(self._view.get_node(self._settings.operator)) is None

    def is_settled(self) -> bool:
        """Tell whether the ledger has every durable entry that it can get from this node."""
        return self._settlement.is_done() and self._collecting.is_done

    def _find_complaint(self, record: NodeRecord | None) -> Report | None:
        hint = "`probatum node register HOME`, from the operator's account"
        if record is None or "inference" not in record.roles:
            why = "the ledger knows no such inference node"
            return Report("warning", "node.not-registered", f"{why}; {hint}")
        if record.operating_key != self._settings.signer.key:
            why = "the ledger has another operating key for this node"
            return Report("warning", "node.other-key", f"{why}; {hint}")
        return None

    def _complain(self, report: Report | None) -> tuple[Wish, ...]:
        """Report what is wrong once, not at every block."""
        if report is None or report.code == self._complaint:
            return ()
        self._complaint = report.code
        return (report,)

    def _plan_authority(self, record: NodeRecord) -> tuple[Wish, ...]:
        """Send the most urgent body that needs an authority, if any is due."""
        operator, sequence = self._settings.operator, record.sequence
        lost = None if self.log is None else self._challenges.find_loss(self.log)
        if lost is not None:
            loss = DeclareLoss(
                operator=operator, session=lost, sequence=sequence, authority=_UNSIGNED
            )
            report = Report(
                "error",
                "node.log-lost",
                f"entries of sessions up to {lost} are not in this node's journal: declaring it",
            )
            return (report, *self._errands.submit(_AUTHORITY, self._authorise(loss)))
        params = self._view.get_params()
        window = params.heartbeat_window_blocks if params else 0
        beat_at = record.heartbeat_at + max(1, window // _BEATS_PER_WINDOW)
        if params and self._view.height >= beat_at:
            beat = Heartbeat(operator=operator, sequence=sequence, authority=_UNSIGNED)
            return self._errands.submit(_AUTHORITY, self._authorise(beat))
        packages = sorted({*self._settings.packages, *self._list_published()})
        for package, arithmetic in product(packages, CLASSES):
            offered = self._get_offer(package, arithmetic)
            if arithmetic not in self._settings.list_classes(package):
                if offered is None:
                    continue
                withdrawal = WithdrawOffer(
                    operator=operator,
                    package=package,
                    arithmetic=arithmetic,
                    sequence=sequence,
                    authority=_UNSIGNED,
                )
                return self._errands.submit(_AUTHORITY, self._authorise(withdrawal))
            if offered is None or offered.price_units != self._settings.price_units:
                offer = Offer(
                    operator=operator,
                    package=package,
                    arithmetic=arithmetic,
                    evidence="signed",
                    price_units=self._settings.price_units,
                    sequence=sequence,
                    authority=_UNSIGNED,
                )
                return self._errands.submit(_AUTHORITY, self._authorise(offer))
        return ()

    def _list_published(self) -> tuple[Digest, ...]:
        return tuple(model.package for model in self._view.get_models())

    def _get_offer(self, package: Digest, arithmetic: ArithmeticClass) -> OfferRecord | None:
        wanted = (self._settings.operator, arithmetic)
        offers = self._view.get_offers(package)
        return next((o for o in offers if (o.operator, o.arithmetic) == wanted), None)

    def _authorise(self, body: B) -> B:
        settings = self._settings
        authority = sign_authority(settings.domain, settings.signer, settings.operator, body)
        return msgspec.structs.replace(body, authority=authority)
