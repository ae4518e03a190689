"""Transactions by name: at most one of a name on its way, none again before the view shows it.

A thin layer over `probatum.client.wallet`: whoever plans from the ledger's view must not plan the
same again while the view is behind an outcome, nor at once after a refusal (each costs a fee).
Must not know what the transactions are for.
"""

from __future__ import annotations

from probatum.client.ledger_view import LedgerView
from probatum.client.wallet import SentOutcome, TransactionSender
from probatum.machine.events import Event, Moment
from probatum.machine.wishes import Report, Wish
from probatum.nodes.inference.settings import InferenceSettings
from probatum.protocol.transactions.kinds import Body

__all__ = ["Errands"]


class Errands:
    """A node's transactions on their way."""

    def __init__(self, settings: InferenceSettings, view: LedgerView) -> None:
        """Make it with nothing on its way."""
        self._view = view
        self._retry_blocks = settings.retry_blocks
        self._sender = TransactionSender(
            settings.ledger, settings.domain, settings.payer, settings.fee_units
        )
        self._open: dict[str, None] = {}
        self._not_before: dict[str, int] = {}

    def is_free(self, name: str) -> bool:
        """Tell whether a transaction of this name may be planned from the view as it is."""
        return name not in self._open and self._view.height >= self._not_before.get(name, 0)

    def count_open(self, prefix: str) -> int:
        """Count the transactions on their way whose names begin so."""
        return sum(name.startswith(prefix) for name in self._open)

    def submit(self, name: str, body: Body) -> tuple[Wish, ...]:
        """Send a body; its outcome comes under its name."""
        self._open[name] = None
        return self._sender.submit(name, body)

    def owns(self, event: Event) -> bool:
        """Tell whether an event belongs to the sender."""
        return self._sender.owns(event)

    def step(
        self, event: Event, moment: Moment
    ) -> tuple[tuple[Wish, ...], tuple[SentOutcome, ...]]:
        """Take an event that `owns` claims; return wishes and the outcomes that it brought."""
        step = self._sender.step(event, moment)
        wishes = list(step.wishes)
        for outcome in step.outcomes:
            self._open.pop(outcome.ticket, None)
            if outcome.code == "ok":
                self._not_before[outcome.ticket] = outcome.height
                continue
            height = max(self._view.height, outcome.height)
            self._not_before[outcome.ticket] = height + self._retry_blocks
            wishes.append(
                Report(
                    "warning",
                    "node.transaction-refused",
                    f"the ledger refused {outcome.ticket}: {outcome.code}",
                    (("refusal", outcome.code),),
                )
            )
        return tuple(wishes), step.outcomes
