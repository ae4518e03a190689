"""The receipt: one node's signed statement of what it answered (`RECEIPT-1`).

Signed by the operating key that the log session was registered under. Carries its own place in
the log, so leaving it out is provable (`LOG-1`). Must not know how a receipt is checked as a
whole (`probatum.evidence.receipt`).
"""

from __future__ import annotations

from typing import Annotated, Final

from msgspec import Meta

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.charges import find_charge_fault
from probatum.protocol.encoding import Document
from probatum.protocol.hexes import HexDigest
from probatum.protocol.parties import EvidenceClass, Party
from probatum.protocol.primitives import Amount, Digest, Height, Index
from probatum.protocol.requests import RequestFacts, compute_request_digest
from probatum.protocol.statements import (
    Statement,
    check_subject,
    decode_statement,
    encode_statement,
    make_statement,
)
from probatum.protocol.tensors import TensorHead

__all__ = ["RECEIPT_TYPE", "LogPosition", "Receipt", "decode_receipt", "encode_receipt"]

RECEIPT_TYPE: Final = "urn:probatum:receipt:v1"


class LogPosition(Document, frozen=True, kw_only=True):
    """Where a receipt must be found: session of the operator's log, leaf, and by which height.

    `opener` is the session's own (`LogRecord.opener`), in hex: numbers recur from network to
    network, openers do not, so a receipt convicts in its own network only. Nodes always state it.
    """

    session: Index
    index: Index
    include_by: Height
    opener: HexDigest | None = None


class Receipt(Document, frozen=True, kw_only=True):
    """The predicate of a receipt statement (`RECEIPT-1`).

    `custody` is the digest of the hand-over that the node accepted for this work. What is charged
    for it names its escrow and all that was charged there, this included (`PAY-1`); without a
    price both are absent. `cancelled` is there iff the answer is a text that has not ended: the
    digest of the cancellation that the node obeyed (`TEXT-1`).
    """

    request: RequestFacts
    outputs: Annotated[tuple[TensorHead, ...], Meta(max_length=limits.TENSORS_PER_REQUEST)]
    evidence: EvidenceClass
    node: Party
    log: LogPosition
    custody: HexDigest
    price_units: Amount = 0
    escrow: HexDigest | None = None
    running_total_units: Amount | None = None
    value_at_risk_units: Amount | None = None
    cancelled: HexDigest | None = None


class _ReceiptStatement(Statement[Receipt], frozen=True, kw_only=True):
    """The statement of a receipt; a class of its own, since a decoder is found by it."""


def encode_receipt(receipt: Receipt) -> bytes:
    """Encode a receipt as the statement bytes that DSSE signs and the log keeps."""
    digest = compute_request_digest(receipt.request).hex()
    statement = make_statement(receipt, RECEIPT_TYPE, receipt.request.request_id, digest)
    return encode_statement(statement)


def decode_receipt(payload: bytes) -> Receipt:
    """Decode a DSSE payload as a receipt and check that it agrees with itself.

    Raises:
        Refusal: `encoding.*`, `statement.*`, `receipt.wrong-signer-role`, `receipt.bad-charge`.
    """
    return read_receipt(payload)[0]


def read_receipt(payload: bytes) -> tuple[Receipt, Digest]:
    """Decode a receipt and return its request's digest too, which this has to compute.

    Raises:
        Refusal: `encoding.*`, `statement.*`, `receipt.wrong-signer-role`, `receipt.bad-charge`,
            `receipt.wrong-class`.
    """
    statement = decode_statement(_ReceiptStatement, RECEIPT_TYPE, payload)
    receipt = statement.predicate
    digest = compute_request_digest(receipt.request)
    check_subject(statement, receipt.request.request_id, digest.hex())
    if receipt.node.role != "inference":
        raise Refusal("receipt.wrong-signer-role", f"a {receipt.node.role} node signs no receipts")
    request = receipt.request
    if (request.arithmetic == "exact") is (request.model.canonical is None):
        raise Refusal(
            "receipt.wrong-class", "class exact names the canonical digest, and it alone does"
        )
    why = find_charge_fault(receipt.price_units, receipt.escrow, receipt.running_total_units)
    if why is not None:
        raise Refusal("receipt.bad-charge", why)
    return receipt, digest
