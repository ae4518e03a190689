"""What a gateway writes down before it answers: the bundle of every request that it signed for.

One tagged union, strict like every ledger value. Salt and content are never written. Must not know
how records reach the disk. Read next: `compaction`.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from probatum.protocol import limits
from probatum.protocol.encoding import LedgerValue, decode
from probatum.protocol.primitives import Amount, Digest, RequestId
from probatum.protocol.vouchers import SignedVoucher

__all__ = [
    "JOURNAL_RECORD_BYTES",
    "BoughtRecord",
    "ChargedRecord",
    "Cost",
    "GivenUpRecord",
    "JournalRecord",
    "Paid",
    "ReleasedRecord",
    "SettledRecord",
    "SpentRecord",
    "SummaryRecord",
    "TabRecord",
    "decode_journal_record",
]

_VOUCHERS: Final = 64
"""Of one escrow (`probatum.client.tabs`)."""
JOURNAL_RECORD_BYTES: Final = limits.BUNDLE_BYTES + 16 * limits.KIB


class ReleasedRecord(LedgerValue, frozen=True, kw_only=True, tag=1):
    """A request that the gateway released, written before anybody learns the outcome.

    Attributes:
        bundle: The canonical bundle without a settlement.
        answered: False for a failed request, whose bundle has no receipt and is final.
    """

    request_id: RequestId
    bundle: Annotated[bytes, Meta(max_length=limits.BUNDLE_BYTES)]
    answered: bool


class SettledRecord(LedgerValue, frozen=True, kw_only=True, tag=2):
    """The same request once its receipt's inclusion is proven.

    Attributes:
        settlement: What this adds to the bundle, in its canonical encoding.
    """

    request_id: RequestId
    settlement: Annotated[bytes, Meta(max_length=limits.BUNDLE_BYTES)]


class GivenUpRecord(LedgerValue, frozen=True, kw_only=True, tag=3):
    """The same request if nobody waits any more for its receipt to be settled.

    Attributes:
        code: What the settled ledger holds against the receipt, or that it is long overdue.
    """

    request_id: RequestId
    code: Annotated[str, Meta(max_length=limits.NAME_CHARS)]


class Paid(LedgerValue, frozen=True, kw_only=True):
    """What a release charges, and to whom (`PAY-1`).

    Attributes:
        running_total_units: What is charged to the escrow in all; absent for an API key.
        voucher: The payer's, which covers the running total; absent for an API key.
        caller: Whose budget it is taken from; empty where there is a voucher.
    """

    price_units: Amount
    running_total_units: Amount | None = None
    voucher: SignedVoucher | None = None
    caller: Annotated[str, Meta(max_length=limits.NAME_CHARS)] = ""


class Cost(LedgerValue, frozen=True, kw_only=True):
    """What the node's receipt charges the gateway."""

    escrow: Digest
    price_units: Amount
    running_total_units: Amount


class ChargedRecord(LedgerValue, frozen=True, kw_only=True, tag=4):
    """A `ReleasedRecord` of an answer that costs something.

    One record, so that no crash parts the release from its charge.
    """

    request_id: RequestId
    bundle: Annotated[bytes, Meta(max_length=limits.BUNDLE_BYTES)]
    paid: Paid
    cost: Cost | None = None


class TabRecord(LedgerValue, frozen=True, kw_only=True, tag=5):
    """All that was ever charged to an escrow, instead of the charges of old requests.

    Attributes:
        running_total_units: The greatest total that a release states.
        bundle: Of that release: whoever asks is shown it.
        vouchers: Of the payer, totals rise: the best one that is worth no more, and better ones.
    """

    escrow: Digest
    running_total_units: Amount
    bundle: Annotated[bytes, Meta(max_length=limits.BUNDLE_BYTES)]
    vouchers: Annotated[tuple[SignedVoucher, ...], Meta(max_length=_VOUCHERS)]


class SpentRecord(LedgerValue, frozen=True, kw_only=True, tag=6):
    """What old requests took out of a caller's budget, without those that are still written."""

    caller: Annotated[str, Meta(max_length=limits.NAME_CHARS)]
    spent_units: Amount


class BoughtRecord(LedgerValue, frozen=True, kw_only=True, tag=7):
    """What nodes' answers to old requests cost the gateway.

    Attributes:
        escrow: Towards the node.
        seen_units: The prices of those answers, without those of requests that are still written.
        running_total_units: The node's last word of what it charged in all.
    """

    escrow: Digest
    seen_units: Amount
    running_total_units: Amount


SummaryRecord: TypeAlias = TabRecord | SpentRecord | BoughtRecord
"""What is left of charges whose records are gone (`compaction`)."""

JournalRecord: TypeAlias = (
    ReleasedRecord | SettledRecord | GivenUpRecord | ChargedRecord | SummaryRecord
)
"""Everything that the journal holds."""


def decode_journal_record(data: bytes) -> JournalRecord:
    """Decode one record, strictly. Raises Refusal `encoding.*`."""
    record: JournalRecord = decode(
        JournalRecord,  # type: ignore[arg-type]
        data,
        limit_bytes=JOURNAL_RECORD_BYTES,
    )
    return record
