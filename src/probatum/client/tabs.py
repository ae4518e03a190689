"""What payers owe a party: their vouchers, what is reserved and charged, what to collect (`PAY-1`).

The payee's side of an escrow, the same for a node (its payers are gateways) and a gateway (its
payers are clients). Work is *reserved* when it is accepted and *charged* when its answer is
signed; the best voucher must always cover both. Pure; the owner writes down what `reserve` and
`charge` return before it relies on it. Must not know receipts, releases or transactions. Read
next: `purse`, the payer's side.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from probatum.client.ledger_view import LedgerView
from probatum.errors import Misuse, Refusal
from probatum.protocol import messages
from probatum.protocol.eip712 import Domain
from probatum.protocol.primitives import Address, Digest, RequestId
from probatum.protocol.records import EscrowRecord
from probatum.protocol.vouchers import SignedVoucher, check_voucher

__all__ = ["VOUCHERS", "Charge", "Tab", "Tabs"]

VOUCHERS: Final = 64
"""Kept of one escrow. More than one is only there to collect no more than was charged so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """What an answer costs its payer; goes into the receipt or release that charges it."""

    escrow: Digest
    price_units: int
    running_total_units: int


@dataclass(slots=True, kw_only=True)
class Tab:
    """One escrow as its payee keeps it.

    Attributes:
        user: Who spends from it (a gateway's account); a voucher in other hands is worth nothing.
        charged_units: Sum of all prices that were charged.
        reserved: Prices of accepted work, by the owner's names.
        vouchers: Totals rise; the first one covers no more than was charged, if that is known.
        stated_units: The greatest running total whose statement is on disk.
        statement: What states it, as the owner keeps it.
    """

    escrow: Digest
    user: str
    charged_units: int
    reserved: dict[str, int] = field(default_factory=dict)
    vouchers: list[SignedVoucher] = field(default_factory=list)
    stated_units: int = 0
    statement: bytes = b""

    @property
    def reserved_units(self) -> int:
        """Sum of what is reserved."""
        return sum(self.reserved.values())

    @property
    def signed_units(self) -> int:
        """The greatest total that the payer has signed."""
        return self.vouchers[-1].voucher.total_units if self.vouchers else 0

    def keep(self, signed: SignedVoucher) -> None:
        """Keep a voucher that is better than all others."""
        self.vouchers.append(signed)
        if len(self.vouchers) > VOUCHERS:
            del self.vouchers[1]

    def restore(self, signed: SignedVoucher) -> None:
        """Take a voucher that an earlier life wrote down."""
        if signed.voucher.total_units > self.signed_units:
            self.keep(signed)

    def restore_charge(self, running_total_units: int, statement: bytes) -> None:
        """Take a charge that an earlier life wrote down, in whatever order: totals never fall."""
        if running_total_units > self.charged_units:
            self.set_charged(running_total_units)
        if running_total_units > self.stated_units:
            self.stated_units, self.statement = running_total_units, statement

    def set_charged(self, charged_units: int) -> None:
        """Set what is charged; of the vouchers that it makes superfluous none stays."""
        self.charged_units = charged_units
        while len(self.vouchers) > 1 and self.vouchers[1].voucher.total_units <= charged_units:
            del self.vouchers[0]

    def find_due(self, *, closing: bool) -> SignedVoucher | None:
        """Find the voucher to collect: no more than was charged, unless the escrow closes.

        Then all that was charged must be had, if only with a voucher that is worth more. Charged
        is what a statement on disk says: what a crash may still undo is nothing to be paid for.
        """
        if closing and self.stated_units:
            return self.find_covering(self.stated_units)
        earned = [v for v in self.vouchers if v.voucher.total_units <= self.stated_units]
        return earned[-1] if earned else None

    def find_covering(self, total_units: int) -> SignedVoucher | None:
        """Find the least voucher that covers a total, else the best one."""
        covering = [v for v in self.vouchers if v.voucher.total_units >= total_units]
        return covering[0] if covering else (self.vouchers[-1] if self.vouchers else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Due:
    signed: SignedVoucher
    gain_units: int
    closing: bool


class Tabs:
    """All escrows of one payee that were ever used.

    Bounded by escrows on the ledger: a tab begins with a voucher that a deposit covers.
    """

    def __init__(self, domain: Domain, payee: Address, view: LedgerView) -> None:
        """Make it without any tab.

        Args:
            domain: The network that vouchers are signed for.
            payee: Whose account the escrows pay.
            view: The ledger, with its escrows.
        """
        self._domain = domain
        self._payee = payee
        self._view = view
        self._tabs: dict[Digest, Tab] = {}
        self._named: dict[str, Tab] = {}

    def __iter__(self) -> Iterator[Tab]:
        """Iterate over the tabs, by escrow."""
        return iter([self._tabs[escrow] for escrow in sorted(self._tabs)])

    def get(self, escrow: Digest) -> Tab | None:
        """Look a tab up."""
        return self._tabs.get(escrow)

    def show(self, escrow: Digest, make_statement: Callable[[bytes], bytes | None]) -> messages.Tab:
        """Show a tab to whoever asks; what no statement says yet counts as reserved.

        Args:
            escrow: Which.
            make_statement: Makes the signed document of what `state` was given, if it can.

        Raises:
            Refusal: `payment.no-tab`.
        """
        tab = self._tabs.get(escrow)
        if tab is None:
            raise Refusal("payment.no-tab", "nothing was ever charged to this escrow here")
        statement = make_statement(tab.statement) if tab.statement else None
        stated = tab.stated_units if statement else 0
        return messages.Tab(
            escrow=escrow,
            charged_units=stated,
            reserved_units=tab.charged_units - stated + tab.reserved_units,
            statement=statement or b"",
        )

    def reserve(
        self,
        name: str,
        signed: SignedVoucher | None,
        *,
        user: str,
        request_id: RequestId,
        price_units: int,
    ) -> SignedVoucher | None:
        """Reserve the price of one piece of work that is about to be accepted (`PAY-1`).

        1. There is a voucher, and it was signed for this very request: who saw another's voucher
           on its way cannot spend it.
        2. Its escrow is on the ledger, pays this party, and is not being closed.
        3. Its payer signed it.
        4. What it promises is there.
        5. Nobody else spends from the escrow.
        6. It, or a better one that came before, covers all that is charged and reserved already,
           and this; and so does what is there, which a withdrawal may have lowered since.

        Args:
            name: The owner's for the work; must be new.
            signed: What came with the work.
            user: Who asks for the work.
            request_id: Which request it is.
            price_units: Its price, more than 0.

        Returns:
            The voucher, if it is better than what was there: to be written down.

        Raises:
            Refusal: `payment.*`, `voucher.*`.
        """
        if name in self._named:
            raise Misuse("tabs.name-twice", "this work was reserved before")
        # 1
        signed = _get_own(signed, request_id, price_units)
        # 2
        record = self._find_escrow(signed.voucher.escrow)
        # 3
        tab = self._tabs.get(signed.voucher.escrow)
        if tab is None or not tab.vouchers or tab.vouchers[-1] != signed:
            check_voucher(self._domain, signed, record.payer)
        # 4
        _check_funded(record, "promised", signed.voucher.total_units)
        # 5
        if tab is None:
            # What was collected was charged, also by a life whose journal is lost.
            tab = Tab(escrow=signed.voucher.escrow, user=user, charged_units=record.collected_units)
        if tab.user != user:
            raise Refusal("payment.other-user", "another gateway spends from this escrow")
        # 6
        needed = tab.charged_units + tab.reserved_units + price_units
        best = max(tab.signed_units, signed.voucher.total_units)
        if best < needed:
            raise Refusal(
                "payment.voucher-too-low",
                f"vouchers of {best} units do not cover {needed}",
                hint="ask for the tab, check what it says was charged, and sign a higher total",
            )
        # The best voucher may be of before a withdrawal: it is worth what is there now.
        _check_funded(record, "charged or reserved", needed)
        self._tabs[signed.voucher.escrow] = self._named[name] = tab
        tab.reserved[name] = price_units
        if signed.voucher.total_units <= tab.signed_units:
            return None
        tab.keep(signed)
        return signed

    def release(self, name: str) -> None:
        """Give back what is reserved for work that ended without an answer, if anything is."""
        tab = self._named.pop(name, None)
        if tab is not None:
            tab.reserved.pop(name, None)

    def plan_charge(self, name: str, price_units: int) -> Charge:
        """Tell what charging work now will state.

        Raises:
            Misuse: `tabs.more-than-reserved`.
        """
        tab = self._named.get(name)
        if tab is None or price_units > tab.reserved[name]:
            raise Misuse("tabs.more-than-reserved", "the payer has agreed to less")
        total = tab.charged_units + price_units
        return Charge(escrow=tab.escrow, price_units=price_units, running_total_units=total)

    def charge(self, name: str, price_units: int) -> Charge:
        """Charge work as `plan_charge` said just before. Raises Misuse as it does."""
        charge = self.plan_charge(name, price_units)
        tab = self._named[name]
        self.release(name)
        tab.set_charged(charge.running_total_units)
        return charge

    def state(self, charge: Charge | None, statement: bytes) -> None:
        """Keep the statement of a charge, once it is on disk: before that nobody may see it.

        Args:
            charge: What it states; nothing happens without one.
            statement: The bytes, as the owner keeps them.
        """
        if charge is None:
            return
        tab = self._tabs[charge.escrow]
        if charge.running_total_units > tab.stated_units:
            tab.stated_units, tab.statement = charge.running_total_units, statement

    def restore(self, signed: SignedVoucher, user: str, charged_units: int) -> None:
        """Take a voucher that an earlier life wrote down, and what had been charged until then."""
        escrow = signed.voucher.escrow
        tab = self._tabs.get(escrow)
        if tab is None:
            tab = self._tabs[escrow] = Tab(escrow=escrow, user=user, charged_units=charged_units)
        tab.restore(signed)

    def restore_charge(self, escrow: Digest, running_total_units: int, statement: bytes) -> None:
        """Take a charge that an earlier life wrote down."""
        tab = self._tabs.get(escrow)
        if tab is not None:
            tab.restore_charge(running_total_units, statement)

    def list_due(self, limit: int, *, least_units: int) -> tuple[SignedVoucher, ...]:
        """List vouchers to collect now, at most one an escrow; those of closing ones first.

        Args:
            limit: How many at most.
            least_units: What one must bring more than: the fee that each costs.
        """
        found = [(not due.closing, due.signed) for due in self._find_due(least_units)]
        found.sort(key=lambda pair: pair[0])
        return tuple(signed for _, signed in found[:limit])

    def count_due(self, *, least_units: int) -> int:
        """Sum the units that all vouchers would bring that bring more than so much."""
        return sum(due.gain_units for due in self._find_due(least_units))

    def has_closing(self, *, least_units: int) -> bool:
        """Tell whether anything is due from an escrow that is being closed."""
        return any(due.closing for due in self._find_due(least_units))

    def _find_due(self, least_units: int) -> Iterator[_Due]:
        for tab in self:
            record = self._view.get_escrow(tab.escrow)
            if record is None:
                continue
            closing = record.closing_at is not None
            signed = tab.find_due(closing=closing)
            if signed is None:
                continue
            gain = min(signed.voucher.total_units, record.deposited_units) - record.collected_units
            if gain > least_units:
                yield _Due(signed=signed, gain_units=gain, closing=closing)

    def _find_escrow(self, escrow: Digest) -> EscrowRecord:
        record = self._view.get_escrow(escrow)
        if record is None or record.payee != self._payee:
            raise Refusal(
                "payment.no-escrow",
                "the ledger has no such escrow towards this party",
                hint="open one: probatum pay fund; a new one takes a block or two to be seen",
            )
        if record.closing_at is not None:
            raise Refusal(
                "payment.escrow-closing",
                "the escrow is being closed",
                hint="wait until it is closed, withdraw, and fund it anew",
            )
        return record


def _get_own(
    signed: SignedVoucher | None, request_id: RequestId, price_units: int
) -> SignedVoucher:
    if signed is None:
        raise Refusal(
            "payment.no-voucher",
            f"this costs {price_units} units, and no voucher came along",
            hint="open an escrow and send a voucher: docs/howto/pay.md",
        )
    if signed.voucher.last_request != request_id:
        raise Refusal(
            "payment.other-request",
            "the voucher was signed for another request",
            hint="sign one for each request, with its id",
        )
    return signed


def _check_funded(record: EscrowRecord, what: str, units: int) -> None:
    if units > record.deposited_units:
        raise Refusal(
            "payment.not-funded",
            f"{units} units are {what}; the escrow covers {record.deposited_units}",
            hint="put more into the escrow: probatum pay fund",
        )
