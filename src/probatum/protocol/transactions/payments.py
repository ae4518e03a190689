"""Bodies by which requests are paid for, and by which double charges are proven (`PAY-1`).

Must not know handlers (`probatum.ledger.handlers`, one file a kind).
"""

from __future__ import annotations

from typing import ClassVar, TypeAlias

from probatum.protocol.encoding import LedgerValue
from probatum.protocol.primitives import Address, Amount, OperatingSignature
from probatum.protocol.transactions.fields import (
    FieldTypes,
    ReceiptBytes,
    StatementBytes,
    Vouchers,
)

__all__ = [
    "CloseEscrow",
    "CollectVouchers",
    "FundEscrow",
    "PaymentBody",
    "ReportTwoCharges",
    "ReportTwoReleases",
    "WithdrawEscrow",
]


class FundEscrow(LedgerValue, frozen=True, kw_only=True, tag=19):
    """Put units of the sender's balance into its escrow for a payee; opens it the first time."""

    EIP712: ClassVar[FieldTypes] = (("payee", "address"), ("amount", "uint64"))
    payee: Address
    amount: Amount


class CollectVouchers(LedgerValue, frozen=True, kw_only=True, tag=20):
    """Pay the payees of vouchers what they bring that was not collected yet; anybody may send it.

    Its least fee grows with the number of vouchers: each may cost a signature check.
    """

    EIP712: ClassVar[FieldTypes] = (("vouchers", "bytes[]"),)
    vouchers: Vouchers


class CloseEscrow(LedgerValue, frozen=True, kw_only=True, tag=21):
    """Announce that the sender will take back what is left in an escrow, after a delay."""

    EIP712: ClassVar[FieldTypes] = (("payee", "address"),)
    payee: Address


class WithdrawEscrow(LedgerValue, frozen=True, kw_only=True, tag=22):
    """Take back what is left in a closing escrow whose delay is over."""

    EIP712: ClassVar[FieldTypes] = (("payee", "address"),)
    payee: Address


class ReportTwoCharges(LedgerValue, frozen=True, kw_only=True, tag=23):
    """Convict a node that charged twice for one hand-over: two receipts of one session."""

    EIP712: ClassVar[FieldTypes] = (
        ("operator", "address"),
        ("first", "bytes"),
        ("first_signature", "bytes"),
        ("second", "bytes"),
        ("second_signature", "bytes"),
    )
    operator: Address
    first: ReceiptBytes
    first_signature: OperatingSignature
    second: ReceiptBytes
    second_signature: OperatingSignature


class ReportTwoReleases(LedgerValue, frozen=True, kw_only=True, tag=24):
    """Convict a gateway that charged twice for one request: two releases of one first record."""

    EIP712: ClassVar[FieldTypes] = (
        ("operator", "address"),
        ("first", "bytes"),
        ("first_signature", "bytes"),
        ("second", "bytes"),
        ("second_signature", "bytes"),
    )
    operator: Address
    first: StatementBytes
    first_signature: OperatingSignature
    second: StatementBytes
    second_signature: OperatingSignature


PaymentBody: TypeAlias = (
    FundEscrow
    | CollectVouchers
    | CloseEscrow
    | WithdrawEscrow
    | ReportTwoCharges
    | ReportTwoReleases
)
"""Bodies about escrows and charges."""
