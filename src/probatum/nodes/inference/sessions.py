"""Opening the log session of this life, a new one at every start (`LOG-1`).

The number is written down before the ledger is asked for it, and a number that was ever written
down is never used again: an earlier life may have signed receipts for it. Each life draws an
*opener* and asks under it, so that of two copies of a node that ask for one number, one alone is
told that the session is open. Must not know what goes into the log.
"""

from __future__ import annotations

import msgspec

from probatum.client.ledger_view import LedgerView
from probatum.client.wallet import SentOutcome
from probatum.machine.events import Moment
from probatum.machine.machine import draw
from probatum.machine.wishes import Halt, Journal, Report, Wish
from probatum.nodes.inference.errands import Errands
from probatum.nodes.inference.journal_records import SessionOpened
from probatum.nodes.inference.logbook import Logbook, SessionLog
from probatum.nodes.inference.settings import InferenceSettings
from probatum.protocol.encoding import encode
from probatum.protocol.primitives import Digest, make_digest, make_operating_signature
from probatum.protocol.records import NodeRecord
from probatum.protocol.transactions.kinds import OpenLog
from probatum.protocol.transactions.signed import sign_authority

__all__ = ["SESSION", "SessionOpening"]

SESSION = "session"
"""Name of the errand and ticket of the journal."""


class SessionOpening:
    """Brings a node to its session.

    Attributes:
        log: The session's log, None until the ledger has opened it for this life.
    """

    def __init__(
        self,
        settings: InferenceSettings,
        book: Logbook,
        view: LedgerView,
        errands: Errands,
        taken: frozenset[int],
    ) -> None:
        """Make it; `taken` are the numbers that earlier lives wrote down."""
        self.log: SessionLog | None = None
        self._settings = settings
        self._book = book
        self._view = view
        self._errands = errands
        self._taken = set(taken)
        self._opener: Digest | None = None
        self._asked: int | None = None
        self._fresh: SessionLog | None = None
        self._spare: SessionLog | None = None

    def plan(self, record: NodeRecord, moment: Moment) -> tuple[Wish, ...]:
        """Take the next step towards a session, or see whether another copy took it from us."""
        header = self._view.header
        if self.log is not None:
            return self._look_for_copies(self.log, record)
        if self._opener is None:
            self._opener = make_digest(draw(moment, "session-opener"))
        if self._asked is not None or header is None or not self._errands.is_free(SESSION):
            return ()
        self._asked = number = record.sessions
        if self._spare is not None and self._spare.session == number:
            # Refused before, for want of units or by an earlier life's transaction: nothing was
            # ever logged under it, so this life may ask for it again.
            self._fresh = self._spare
            return self._ask(number)
        if number in self._taken:
            # An earlier life may have used it, or its transaction is still on its way. Numbers go
            # one by one, so this one is opened all the same and left as it is.
            return self._ask(number)
        self._taken.add(number)
        opened = SessionOpened(session=number, operating_key=self._settings.signer.key, seen=header)
        return (Journal(SESSION, (encode(opened),)),)

    def _look_for_copies(self, log: SessionLog, record: NodeRecord) -> tuple[Wish, ...]:
        newest = record.sessions - 1
        held = self._view.get_log(self._settings.operator, log.session)
        if newest > log.session:
            why = f"the ledger has session {newest}, this node {log.session}"
        elif held is not None and held.opener != self._opener:
            why = f"session {log.session} was opened by another life of this node"
        else:
            return ()
        return (Halt("node.newer-session", f"{why}: another copy runs with its key"),)

    def take_durable(self) -> tuple[Wish, ...]:
        """Go on once the number is written down: ask the ledger for it."""
        assert self._asked is not None
        self._fresh = self._spare = self._book.open(self._asked, self._settings.signer.key)
        self._fresh.opener = self._opener
        return self._ask(self._asked)

    def take_outcome(self, outcome: SentOutcome) -> tuple[Wish, ...]:
        """Learn what the ledger said."""
        number, log = self._asked, self._fresh
        self._asked = self._fresh = None
        if outcome.code != "ok":
            return ()
        if log is None:
            return (Report("info", "node.session-skipped", f"log session {number} stays empty"),)
        self.log = log
        where = (("session", str(number)), ("height", str(outcome.height)))
        return (Report("info", "node.ready", "the log session is open", where),)

    def _ask(self, number: int) -> tuple[Wish, ...]:
        assert self._opener is not None, "drawn when the number was chosen"
        settings = self._settings
        body = OpenLog(
            operator=settings.operator,
            session=number,
            opener=self._opener,
            authority=make_operating_signature(bytes(64)),
        )
        authority = sign_authority(settings.domain, settings.signer, settings.operator, body)
        return self._errands.submit(SESSION, msgspec.structs.replace(body, authority=authority))
