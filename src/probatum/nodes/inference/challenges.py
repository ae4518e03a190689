"""Answering challenges of a node's receipts, also of those that it lost (`LOG-1`).

A challenge of an entry that the node has is closed as soon as the entry is settled. One of an
entry that it does not have shows that a log was lost: the node declares that once, puts the entry
that the challenge names into the log of this life and closes the challenge there. Plans from what
the ledger shows. Must not know receipts, nor who challenges. Read next: `settlement`, `duties`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from probatum.client.ledger_view import LedgerView
from probatum.machine.wishes import Journal, Report, Wish
from probatum.nodes.inference.errands import Errands
from probatum.nodes.inference.journal_records import ReturnedEntry
from probatum.nodes.inference.logbook import Logbook, SessionLog
from probatum.nodes.inference.settings import InferenceSettings
from probatum.nodes.inference.settlement import SETTLE
from probatum.protocol.encoding import encode
from probatum.protocol.records import ChallengeRecord, LogRecord
from probatum.protocol.transactions.kinds import CloseChallenge, ReturnReceipt

__all__ = ["RETURNED", "ChallengeDesk"]

RETURNED: Final = "returned:"
"""Before the number of a session and an entry's index: the journal's ticket."""
_ANSWER: Final = "answer:"
_AT_ONCE: Final = 4
"""Transactions leave one by one: a heap of challenges must not keep a heartbeat back."""


@dataclass(slots=True, kw_only=True)
class _Placed:
    """Where a lost entry was put; it may be settled and shown once it is durable."""

    log: SessionLog
    index: int


class ChallengeDesk:
    """Knows what challenges ask of the node, and does it."""

    def __init__(
        self,
        settings: InferenceSettings,
        book: Logbook,
        view: LedgerView,
        errands: Errands,
        returned: tuple[ReturnedEntry, ...],
    ) -> None:
        """Make it; `returned` is what earlier lives put into their logs for lost sessions."""
        self._settings = settings
        self._book = book
        self._view = view
        self._errands = errands
        self._placed: dict[tuple[int, int], _Placed] = {}
        self._found: bool | None = None
        self._may_send = False
        self._complaints: set[tuple[int, int]] = set()
        for entry in returned:
            log = book.get(entry.session)
            assert log is not None, "the journal's entries are in the book's logs"
            self._placed[entry.lost_session, entry.lost_index] = _Placed(log=log, index=entry.index)

    @property
    def is_pressing(self) -> bool:
        """Whether a challenged entry waits for its log to be settled."""
        return bool(self._view.get_challenges(self._settings.operator))

    @property
    def is_answering(self) -> bool:
        """Whether answers are on their way: a settlement would spoil the proofs in them."""
        return self._errands.count_open(_ANSWER) > 0

    def plan(self, log: SessionLog) -> tuple[Wish, ...]:
        """Answer what can be answered now; `log` is that of this life.

        Answers leave in batches, between settlements: their proofs are for what is settled when
        they are in a block, and neither may keep the other waiting for long.
        """
        wishes: list[Wish] = []
        self._may_send = not self.is_answering
        for challenge in self._view.get_challenges(self._settings.operator):
            if self._errands.count_open(_ANSWER) >= _AT_ONCE:
                break
            record = self._view.get_log(challenge.operator, challenge.session)
            name = f"{_ANSWER}{challenge.session}:{challenge.index}"
            if record is not None and self._errands.is_free(name):
                wishes += self._answer(name, challenge, record, log)
        return tuple(wishes)

    def find_loss(self, log: SessionLog) -> int | None:
        """Say up to which session the node's logs must be declared lost, None if they need not.

        At the start of a life it is enough that the ledger has a session, or entries of one, that
        the journal does not; within an epoch of the last loss, when saying so costs stake, only a
        challenge makes the node say so.

        Args:
            log: That of this life: all before it are older than it, and nothing in it is lost.
        """
        operator = self._settings.operator
        last = self._view.get_loss(operator)
        first = 0 if last is None else last.session + 1
        if first >= log.session:
            return None
        params = self._view.get_params()
        epoch = params.loss_epoch_blocks if params else 0
        if self._found is None:
            is_free = last is None or self._view.height >= last.declared_at + epoch
            self._found = is_free and any(map(self._is_lost, range(first, log.session)))
        missed = self._found or any(
            first <= challenge.session < log.session and self._is_missing(challenge)
            for challenge in self._view.get_challenges(operator)
        )
        return log.session - 1 if missed else None

    def take_durable(self, ticket: str) -> None:
        """Go on once an entry that was put into the log is written down."""
        session, index = ticket.removeprefix(RETURNED).split(":")
        placed = self._placed[int(session), int(index)]
        placed.log.mark_durable(placed.index + 1)

    def _is_lost(self, session: int) -> bool:
        record = self._view.get_log(self._settings.operator, session)
        if record is None:
            return False
        log = self._book.get(session)
        return log is None or record.size > log.durable

    def _is_missing(self, challenge: ChallengeRecord) -> bool:
        """Tell whether this node can neither settle an entry nor show that it is settled."""
        log = self._book.get(challenge.session)
        if log is None or challenge.index >= len(log):
            return True
        record = self._view.get_log(challenge.operator, challenge.session)
        is_settled = record is not None and record.size > challenge.index
        # A log whose key this node does not hold any more is as good as lost where it ends.
        return not is_settled and log.key != self._settings.signer.key

    def _answer(
        self, name: str, challenge: ChallengeRecord, record: LogRecord, own: SessionLog
    ) -> tuple[Wish, ...]:
        if self._is_missing(challenge):
            return self._hand_back(name, challenge, own)
        log = self._book.get(challenge.session)
        assert log is not None, "an entry that is not missing is in a log"
        if challenge.index >= log.durable:
            return ()
        if log.get_entry(challenge.index) != challenge.entry:
            return self._complain(challenge, "the journal has another entry there")
        if not challenge.index < record.size <= log.durable:
            # Not settled yet, which is the settlement's; or settled beyond what is left here.
            return ()
        body = CloseChallenge(
            operator=challenge.operator,
            session=challenge.session,
            index=challenge.index,
            inclusion=log.get_inclusion(challenge.index, record.size),
        )
        return self._send(name, body, log)

    def _hand_back(
        self, name: str, challenge: ChallengeRecord, own: SessionLog
    ) -> tuple[Wish, ...]:
        loss = self._view.get_loss(self._settings.operator)
        if loss is None or challenge.session > loss.session:
            if challenge.session >= own.session:
                return self._complain(challenge, "it was never in the log of this life")
            return ()
        key = (challenge.session, challenge.index)
        placed = self._placed.get(key)
        if placed is None or placed.log.session <= loss.session:
            index = own.append(challenge.entry)
            self._placed[key] = _Placed(log=own, index=index)
            entry = ReturnedEntry(
                session=own.session,
                index=index,
                entry=challenge.entry,
                lost_session=challenge.session,
                lost_index=challenge.index,
            )
            return (Journal(f"{RETURNED}{challenge.session}:{challenge.index}", (encode(entry),)),)
        later = self._view.get_log(challenge.operator, placed.log.session)
        if later is None or not placed.index < later.size <= placed.log.durable:
            return ()
        if challenge.refund_units > self._settings.refund_limit_units:
            return self._complain(challenge, "what it cost is more than this node ever asks for")
        body = ReturnReceipt(
            operator=challenge.operator,
            session=challenge.session,
            index=challenge.index,
            in_session=placed.log.session,
            in_index=placed.index,
            inclusion=placed.log.get_inclusion(placed.index, later.size),
        )
        return self._send(name, body, placed.log)

    def _send(
        self, name: str, body: CloseChallenge | ReturnReceipt, shown: SessionLog
    ) -> tuple[Wish, ...]:
        """Send an answer, unless the log that it shows is about to be settled further."""
        is_steady = self._errands.is_free(f"{SETTLE}{shown.session}")
        return self._errands.submit(name, body) if self._may_send and is_steady else ()

    def _complain(self, challenge: ChallengeRecord, why: str) -> tuple[Wish, ...]:
        """Say once that somebody else signed with this node's key."""
        key = (challenge.session, challenge.index)
        if key in self._complaints:
            return ()
        self._complaints.add(key)
        where = (("session", str(challenge.session)), ("index", str(challenge.index)))
        what = f"a receipt is challenged that this node did not sign: {why}; replace its key"
        return (Report("error", "node.not-my-receipt", what, where),)
