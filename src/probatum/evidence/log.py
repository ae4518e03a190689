"""A receipt's place in its node's log: entry, leaf, and whether a settled log covers it (`LOG-1`).

Shared by the node that logs, the collector that fetches proofs and whoever checks them. Must not
know tiles or transport.
"""

from __future__ import annotations

from collections.abc import Sequence

from probatum.errors import Refusal
from probatum.protocol.dsse import Envelope, decode_payload
from probatum.protocol.merkle import check_inclusion, leaf_hash
from probatum.protocol.parties import Party
from probatum.protocol.primitives import Digest
from probatum.protocol.receipts import LogPosition, Receipt
from probatum.protocol.records import LogRecord
from probatum.protocol.statements import compute_record_digest

__all__ = [
    "check_log_entry",
    "check_place",
    "check_session",
    "compute_entry",
    "compute_leaf",
    "is_covered",
]


def compute_entry(receipt: Envelope) -> Digest:
    """Compute a receipt's log entry: SHA-256 of its DSSE payload (`LOG-1`)."""
    return compute_record_digest(decode_payload(receipt))


def compute_leaf(receipt: Envelope) -> Digest:
    """Compute the RFC 6962 hash of a receipt's log entry."""
    return leaf_hash(compute_entry(receipt))


def is_covered(receipt: Receipt, log: LogRecord) -> bool:
    """Tell whether the settled part of a log reaches a receipt's promised place."""
    return receipt.log.index < log.size


def check_session(receipt: Receipt, log: LogRecord) -> None:
    """Check that a ledger record is of the log session that a receipt promises to be in.

    Raises:
        Refusal: `receipt.wrong-log`, `receipt.wrong-key`.
    """
    check_place(receipt.node, receipt.log, log)


def check_place(node: Party, place: LogPosition, log: LogRecord) -> None:
    """Check the same of the part of a receipt that it is about. Raises as `check_session`."""
    operator = "0x" + log.operator.hex()
    if operator != node.account or log.session != place.session:
        raise Refusal("receipt.wrong-log", "the proven log is another one than the receipt's")
    if place.opener not in (None, log.opener.hex()):
        raise Refusal("receipt.wrong-log", "the session was opened by another life, or elsewhere")
    if log.operating_key.hex() != node.key:
        raise Refusal("receipt.wrong-key", "the log was opened under another key than signed")


def check_log_entry(
    envelope: Envelope, receipt: Receipt, log: LogRecord, proof: Sequence[bytes]
) -> None:
    """Check that a receipt is in its log as settled.

    Args:
        envelope: The signed receipt.
        receipt: Its content.
        log: The session's record, proven.
        proof: The RFC 6962 inclusion proof for the log's settled size.

    Raises:
        Refusal: `receipt.wrong-log`, `receipt.wrong-key`, `receipt.not-covered`, `merkle.*`.
    """
    check_session(receipt, log)
    if not is_covered(receipt, log):
        raise Refusal(
            "receipt.not-covered",
            f"the log is settled up to size {log.size}; the receipt is entry {receipt.log.index}",
        )
    check_inclusion(compute_leaf(envelope), receipt.log.index, log.size, proof, log.root)
