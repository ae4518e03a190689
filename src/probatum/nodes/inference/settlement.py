"""Settling a node's log sessions, those of earlier lives included (`LOG-1`).

Plans from the settled size that the ledger shows; only durable entries are ever settled. Must not
know receipts.
"""

from __future__ import annotations

from probatum.client.ledger_view import LedgerView
from probatum.client.tabs import Tabs
from probatum.machine.wishes import Halt, Report, Wish
from probatum.nodes.inference.errands import Errands
from probatum.nodes.inference.logbook import Logbook, SessionLog
from probatum.nodes.inference.settings import InferenceSettings
from probatum.protocol import limits
from probatum.protocol.encoding import encode
from probatum.protocol.records import LogRecord
from probatum.protocol.transactions.kinds import SettleCheckpoint

__all__ = ["SETTLE", "LogSettlement"]

SETTLE = "settle:"
"""Before a session's number: the name of the errand."""
_AT_ONCE = 4
"""Transactions leave one by one: after many crashes, old sessions must not keep a heartbeat back
until the node counts as dead."""


class LogSettlement:
    """Keeps the ledger's settled sizes up with the logs."""

    def __init__(
        self,
        settings: InferenceSettings,
        book: Logbook,
        view: LedgerView,
        errands: Errands,
        tabs: Tabs,
    ) -> None:
        """Make it; nothing is settled yet."""
        self._settings = settings
        self._book = book
        self._view = view
        self._errands = errands
        self._tabs = tabs
        self._tried_at: dict[int, int] = {}
        self._given_up: set[int] = set()
        self._agreed: dict[int, int] = {}

    def plan(self, *, hurry: bool) -> tuple[Wish, ...]:
        """Settle what is due; with `hurry`, all that is not settled."""
        wishes: list[Wish] = []
        for log in self._book:
            record = self._get_record(log)
            if record is None:
                continue
            last = self._tried_at.get(log.session, -self._settings.settle_every_blocks)
            due = hurry or self._view.height >= last + self._settings.settle_every_blocks
            if self._errands.count_open(SETTLE) >= _AT_ONCE:
                break
            if due and self._errands.is_free(f"{SETTLE}{log.session}"):
                wishes += self._settle(log, record)
        return tuple(wishes)

    def is_done(self) -> bool:
        """Tell whether the ledger has every durable entry that it can get from this node."""
        return all(self._get_record(log) is None for log in self._book)

    def _get_record(self, log: SessionLog) -> LogRecord | None:
        """Get a session's ledger record if there is something to settle, or to find out."""
        record = self._view.get_log(self._settings.operator, log.session)
        if record is None or log.session in self._given_up:
            return None
        if record.size != log.durable:
            return record
        if self._agreed.get(log.session) != record.size:
            if record.root != log.get_root(record.size):
                return record
            self._agreed[log.session] = record.size
        return None

    def _settle(self, log: SessionLog, record: LogRecord) -> tuple[Wish, ...]:
        if record.operating_key != log.key or log.key != self._settings.signer.key:
            # The checkpoint must be signed by the session's key, and this node has another.
            return self._give_up(
                log, "node.log-key-replaced", "its key is not this node's any more"
            )
        if record.size > log.durable:
            return self._give_up(
                log,
                "node.log-tail-lost",
                f"the ledger has {record.size} entries, the journal {log.durable}",
            )
        if record.root != log.get_root(record.size):
            why = f"session {log.session} differs from what the ledger has settled"
            return (Halt("node.log-differs", why),)
        self._tried_at[log.session] = self._view.height
        # Once is enough: while another checkpoint is on its way, it carries them.
        alone = self._errands.count_open(SETTLE) == 0
        fee = self._settings.fee_units
        vouchers = self._tabs.list_due(limits.VOUCHERS, least_units=fee) if alone else ()
        body = SettleCheckpoint(
            operator=self._settings.operator,
            session=log.session,
            checkpoint=self._book.sign_checkpoint(log),
            consistency=log.get_consistency(record.size, log.durable),
            vouchers=tuple(encode(one) for one in vouchers),
        )
        return self._errands.submit(f"{SETTLE}{log.session}", body)

    def _give_up(self, log: SessionLog, code: str, why: str) -> tuple[Wish, ...]:
        self._given_up.add(log.session)
        fields = (("session", str(log.session)),)
        return (Report("error", code, f"session {log.session} cannot be settled: {why}", fields),)
