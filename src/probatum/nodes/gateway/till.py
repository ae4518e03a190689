"""Who pays a gateway for a request, and how much: by voucher, by API key, or nothing (`PAY-1`).

A request is given a *ceiling* when it comes: what its payer has agreed to and can pay. Only its
release charges anything, so a request that fails is free. Must not know hand-overs or what nodes
are paid (`spending`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, Protocol, assert_never

import msgspec

from probatum.client.ledger_view import LedgerView
from probatum.client.tabs import Charge, Tabs
from probatum.errors import Misuse
from probatum.nodes.gateway.journal_records import (
    BoughtRecord,
    ChargedRecord,
    Paid,
    SpentRecord,
    SummaryRecord,
    TabRecord,
)
from probatum.nodes.gateway.settings import GatewaySettings
from probatum.protocol.bundles import decode_bundle
from probatum.protocol.encoding import encode_document
from probatum.protocol.messages import Ask, Tab
from probatum.protocol.primitives import Digest, RequestId
from probatum.protocol.vouchers import SignedVoucher

__all__ = ["FREE", "Budgets", "Fare", "Till"]


class Budgets(Protocol):
    """What callers may spend; the operator may change it while the gateway runs."""

    def get_budget(self, caller: str) -> int:
        """Get what a caller may spend in all, in units; 0 for who may spend nothing."""
        ...


class NoBudgets:
    """Nobody may spend anything without a voucher."""

    def get_budget(self, caller: str) -> int:
        """Get 0."""
        del caller
        return 0


class Fare(msgspec.Struct, frozen=True, kw_only=True):
    """What one request may cost.

    Attributes:
        ceiling_units: Its answer costs no more.
        caller: Whose budget it is taken from; empty for who pays by voucher or not at all.
        by_voucher: Whether it is charged to an escrow.
    """

    ceiling_units: int = 0
    caller: str = ""
    by_voucher: bool = False


FREE: Final = Fare()


class Till:
    """Takes the money."""

    def __init__(
        self, settings: GatewaySettings, view: LedgerView, budgets: Budgets | None = None
    ) -> None:
        """Make a till into which nothing was paid yet."""
        self.tabs = Tabs(settings.domain, settings.operator, view)
        self._budgets = budgets or NoBudgets()
        self._spent: dict[str, int] = {}
        self._reserved: dict[str, int] = {}

    def recover(self, record: ChargedRecord | SummaryRecord) -> None:
        """Take what an earlier life charged, in the journal's order."""
        match record:
            case ChargedRecord(paid=paid):
                self._recover_charge(record, paid)
            case TabRecord(escrow=escrow, vouchers=vouchers):
                for voucher in vouchers:
                    self.tabs.restore(voucher, "", 0)
                self.tabs.restore_charge(escrow, record.running_total_units, record.bundle)
            case SpentRecord(caller=caller, spent_units=units):
                self._spent[caller] = self._spent.get(caller, 0) + units
            case BoughtRecord():
                pass
            case _:
                assert_never(record)

    def _recover_charge(self, record: ChargedRecord, paid: Paid) -> None:
        if paid.voucher is not None and paid.running_total_units is not None:
            escrow = paid.voucher.voucher.escrow
            self.tabs.restore(paid.voucher, "", 0)
            self.tabs.restore_charge(escrow, paid.running_total_units, record.bundle)
        elif paid.caller:
            self._spent[paid.caller] = self._spent.get(paid.caller, 0) + paid.price_units

    def admit(
        self,
        request_id: RequestId,
        ask: Ask,
        caller: str,
        margin_units: int,
        list_prices: Callable[[], Iterable[int]],
    ) -> Fare:
        """Find out who pays for a request, and reserve what it may cost.

        Args:
            request_id: The request's.
            ask: What was asked, perhaps with a voucher.
            caller: Who asks, as the door established.
            margin_units: What the gateway adds to a node's price.
            list_prices: Lists what nodes ask for it; called only if it matters.

        Raises:
            Refusal: `payment.*`, `voucher.*`: the voucher does not pay for it.
        """
        payment = ask.payment
        if payment is not None and payment.max_price_units:
            self.tabs.reserve(
                request_id,
                payment.voucher,
                user="",
                request_id=request_id,
                price_units=payment.max_price_units,
            )
            return Fare(ceiling_units=payment.max_price_units, by_voucher=True)
        if not caller:
            return FREE
        spent = self._spent.get(caller, 0) + self._reserved.get(caller, 0)
        left = self._budgets.get_budget(caller) - spent
        asked = (price + margin_units for price in list_prices())
        ceiling = max((price for price in asked if price <= left), default=0)
        if ceiling <= 0:
            return FREE
        self._reserved[caller] = self._reserved.get(caller, 0) + ceiling
        return Fare(ceiling_units=ceiling, caller=caller)

    def get_left(self, caller: str) -> int:
        """Get what a caller's budget still allows."""
        spent = self._spent.get(caller, 0) + self._reserved.get(caller, 0)
        return self._budgets.get_budget(caller) - spent

    def plan(self, request_id: RequestId, fare: Fare, price_units: int) -> Paid | None:
        """Tell what the release of an answer states; None if it costs nothing."""
        if not price_units:
            return None
        if price_units > fare.ceiling_units:
            raise Misuse("till.over-ceiling", "an answer costs more than its payer agreed to")
        if not fare.by_voucher:
            return Paid(price_units=price_units, caller=fare.caller)
        charge = self.tabs.plan_charge(request_id, price_units)
        return Paid(
            price_units=price_units,
            voucher=self._find_covering(charge.escrow, charge.running_total_units),
            running_total_units=charge.running_total_units,
        )

    def take(self, request_id: RequestId, fare: Fare, paid: Paid | None) -> Charge | None:
        """Charge what `plan` said just before, or nothing; end the reservation.

        Returns:
            What was charged to an escrow; `state` it once its release is on disk.
        """
        charge = None
        if paid is not None and fare.by_voucher:
            charge = self.tabs.charge(request_id, paid.price_units)
        elif paid is not None:
            self._spent[fare.caller] = self._spent.get(fare.caller, 0) + paid.price_units
        self.give_back(request_id, fare)
        return charge

    def give_back(self, request_id: RequestId, fare: Fare) -> None:
        """End what is reserved for a request."""
        if fare.by_voucher:
            self.tabs.release(request_id)
        elif fare.caller:
            left = self._reserved[fare.caller] - fare.ceiling_units
            if left:
                self._reserved[fare.caller] = left
            else:
                del self._reserved[fare.caller]

    def show_tab(self, escrow: Digest) -> Tab:
        """Show what was charged to an escrow, with the last release that says so.

        Raises:
            Refusal: `payment.no-tab`.
        """
        return self.tabs.show(escrow, lambda kept: encode_document(decode_bundle(kept).release))

    def _find_covering(self, escrow: Digest, total_units: int) -> SignedVoucher:
        """The least voucher that covers a total: written down with the charge that needs it."""
        tab = self.tabs.get(escrow)
        found = tab.find_covering(total_units) if tab else None
        if found is None:
            raise Misuse("till.not-covered", "no voucher covers this charge")
        return found
