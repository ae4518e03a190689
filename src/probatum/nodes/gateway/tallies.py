"""Sums of what a gateway's requests charged and cost, for when their records go (`PAY-1`).

Running totals state all that was ever charged, so a tab is what all records together make of it,
also those that stay. Budgets and purchases are sums of prices: only what goes counts, so that
nothing counts twice. Must not know which records go (`compaction`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from probatum.client.tabs import Tab
from probatum.nodes.gateway.journal_records import (
    BoughtRecord,
    ChargedRecord,
    Cost,
    JournalRecord,
    Paid,
    SpentRecord,
    TabRecord,
)
from probatum.protocol.encoding import encode
from probatum.protocol.primitives import Digest
from probatum.protocol.vouchers import SignedVoucher

__all__ = ["Tallies"]


class Tallies:
    """Sums by escrow and by caller: as many as there are of those."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._tabs: dict[Digest, Tab] = {}
        self._spent: Counter[str] = Counter()
        self._seen: Counter[Digest] = Counter()
        self._totals: dict[Digest, int] = {}

    def take(self, record: JournalRecord, *, kept: bool) -> None:
        """Take a record in, in the journal's order.

        Args:
            record: One record.
            kept: Whether it stays beside the sums.
        """
        match record:
            case ChargedRecord(paid=paid, cost=cost):
                self._take_paid(paid, record.bundle, kept=kept)
                if cost is not None:
                    self._take_cost(cost, kept=kept)
            case TabRecord(escrow=escrow, running_total_units=total, bundle=bundle):
                for voucher in record.vouchers:
                    self._take_voucher(escrow, voucher)
                self._tabs[escrow].restore_charge(total, bundle)
            case SpentRecord(caller=caller, spent_units=units):
                self._spent[caller] += units
            case BoughtRecord(escrow=escrow, seen_units=seen, running_total_units=total):
                self._seen[escrow] += seen
                self._totals[escrow] = max(self._totals.get(escrow, 0), total)
            case _:
                pass

    def encode(self) -> Iterator[bytes]:
        """Encode the sums as records; those of which nothing was left out too."""
        for escrow, tab in sorted(self._tabs.items()):
            yield encode(
                TabRecord(
                    escrow=escrow,
                    running_total_units=tab.stated_units,
                    bundle=tab.statement,
                    vouchers=tuple(tab.vouchers),
                )
            )
        for caller, units in sorted(self._spent.items()):
            yield encode(SpentRecord(caller=caller, spent_units=units))
        for escrow, total in sorted(self._totals.items()):
            yield encode(
                BoughtRecord(
                    escrow=escrow, seen_units=self._seen[escrow], running_total_units=total
                )
            )

    def _take_paid(self, paid: Paid, bundle: bytes, *, kept: bool) -> None:
        if paid.voucher is not None and paid.running_total_units is not None:
            escrow = paid.voucher.voucher.escrow
            self._take_voucher(escrow, paid.voucher)
            self._tabs[escrow].restore_charge(paid.running_total_units, bundle)
        elif paid.caller and not kept:
            self._spent[paid.caller] += paid.price_units

    def _take_voucher(self, escrow: Digest, signed: SignedVoucher) -> None:
        tab = self._tabs.get(escrow)
        if tab is None:
            tab = self._tabs[escrow] = Tab(escrow=escrow, user="", charged_units=0)
        tab.restore(signed)

    def _take_cost(self, cost: Cost, *, kept: bool) -> None:
        self._totals[cost.escrow] = max(self._totals.get(cost.escrow, 0), cost.running_total_units)
        if not kept:
            self._seen[cost.escrow] += cost.price_units
