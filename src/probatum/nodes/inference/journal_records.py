"""What an inference node writes down before it promises anything (`LOG-1`, `CUSTODY-1`).

One tagged union, strict like every ledger value. A crash leaves a prefix of the records, so each
is whole by itself and refers to earlier ones only. Must not know how records reach the disk. Read
next: `compaction`.
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from probatum.protocol import limits
from probatum.protocol.encoding import LedgerValue, decode
from probatum.protocol.headers import SignedHeader
from probatum.protocol.primitives import Amount, Digest, Height, Index, OperatingKey, RequestId
from probatum.protocol.tensors import Tensor
from probatum.protocol.vouchers import SignedVoucher

__all__ = [
    "JOURNAL_RECORD_BYTES",
    "AcceptedRecord",
    "AnsweredRecord",
    "JournalRecord",
    "LoggedRecord",
    "PrefixRecord",
    "ReturnedEntry",
    "SessionOpened",
    "VoucherRecord",
    "decode_journal_record",
]

JOURNAL_RECORD_BYTES: Final = limits.FRAME_BYTES + limits.ENVELOPE_BYTES
"""Outputs of one answer and its payload."""


class SessionOpened(LedgerValue, frozen=True, kw_only=True, tag=1):
    """A session number that this node is about to ask the ledger for.

    Attributes:
        session: The number; never used again, whatever the ledger says of it.
        operating_key: The key that the session will be registered under.
        seen: The last header of the ledger then: a later life stops if the ledger lost it.
    """

    session: Index
    operating_key: OperatingKey
    seen: SignedHeader


class AcceptedRecord(LedgerValue, frozen=True, kw_only=True, tag=2):
    """A countersigned hand-over, written before the countersignature leaves (`CUSTODY-1`).

    Attributes:
        session: The session that the work was accepted in.
        record_digest: Digest of the hand-over's payload.
        envelope: The canonical envelope with both signatures.
    """

    session: Index
    request_id: RequestId
    record_digest: Digest
    envelope: Annotated[bytes, Meta(max_length=limits.ENVELOPE_BYTES)]
    answer_by: Height


class AnsweredRecord(LedgerValue, frozen=True, kw_only=True, tag=3):
    """A log entry with the answer that it stands for, written before the receipt is signed.

    Attributes:
        index: The entry's place in its session's log; they follow one another without gaps.
        payload: The receipt's DSSE payload; SHA-256 of it is the entry (`LOG-1`).
        record_digest: The accepted hand-over that it answers.
    """

    session: Index
    index: Index
    request_id: RequestId
    record_digest: Digest
    payload: Annotated[bytes, Meta(max_length=limits.STATEMENT_BYTES)]
    outputs: Annotated[tuple[Tensor, ...], Meta(max_length=limits.TENSORS_PER_REQUEST)]


class VoucherRecord(LedgerValue, frozen=True, kw_only=True, tag=4):
    """A voucher better than all before, written before work is accepted for it (`PAY-1`).

    Attributes:
        user: The gateway's account that spends from the escrow.
        charged_units: What had been charged to the escrow until then.
    """

    voucher: SignedVoucher
    user: Annotated[str, Meta(max_length=42)]
    charged_units: Amount


class ReturnedEntry(LedgerValue, frozen=True, kw_only=True, tag=9):
    """A log entry that stands for one of a lost session, written before it is settled (`LOG-1`).

    Attributes:
        session: The session whose log it is in now, at `index`.
        entry: What was challenged; the receipt itself is its holder's.
        lost_session: The session that promised it, at `lost_index`.
    """

    session: Index
    index: Index
    entry: Digest
    lost_session: Index
    lost_index: Index


class LoggedRecord(LedgerValue, frozen=True, kw_only=True, tag=10):
    """What compaction leaves of an acceptance and its `AnsweredRecord`, once nobody asks again.

    Attributes:
        entry: SHA-256 of the receipt's payload.
        tree: The custody tree that was answered; absent where the acceptance is not there.
        payload: The receipt's payload if it charges something; empty otherwise (`PAY-1`).
    """

    session: Index
    index: Index
    entry: Digest
    tree: Digest | None
    payload: Annotated[bytes, Meta(max_length=limits.STATEMENT_BYTES)]


class PrefixRecord(LedgerValue, frozen=True, kw_only=True, tag=5):
    """The beginning of a text, written before it is signed (`TEXT-1`).

    Attributes:
        record_digest: The accepted hand-over under which the text is written.
        request_digest: The request's.
        count: Tokens that it has.
        root: Their salted root.
    """

    record_digest: Digest
    request_digest: Digest
    count: Index
    root: Digest


JournalRecord: TypeAlias = (
    SessionOpened
    | AcceptedRecord
    | AnsweredRecord
    | VoucherRecord
    | PrefixRecord
    | ReturnedEntry
    | LoggedRecord
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
