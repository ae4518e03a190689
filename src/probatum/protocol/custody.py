"""Custody records: who held a request, and what was promised (`CUSTODY-1`).

Two kinds. A *hand-over* is signed by its giver and countersigned by its taker before work
begins; the gateway's first hand-over is also its acceptance of the request (one record for
both). A *release* is the gateway's last word: what was asked, obtained and is missing. Records
form a tree by `previous`. Must not judge (`probatum.evidence.blame` does).
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.charges import find_charge_fault
from probatum.protocol.encoding import Document
from probatum.protocol.hexes import HexDigest
from probatum.protocol.parties import EvidenceClass, Party
from probatum.protocol.primitives import Amount, Code, Height, RequestId
from probatum.protocol.statements import (
    Statement,
    check_subject,
    decode_statement,
    encode_statement,
    make_statement,
)

__all__ = [
    "HANDOVER_TYPE",
    "RELEASE_TYPE",
    "HandOver",
    "Release",
    "decode_handover",
    "decode_release",
    "encode_handover",
    "encode_release",
]

HANDOVER_TYPE: Final = "urn:probatum:handover:v1"
RELEASE_TYPE: Final = "urn:probatum:release:v1"

Branch = Annotated[int, Meta(ge=0, lt=limits.BRANCHES)]
EvidenceList = Annotated[tuple[EvidenceClass, ...], Meta(max_length=8)]


Caller = Annotated[str, Meta(pattern=r"^key:[a-z0-9]{8}\Z", max_length=12)]
"""An API key by its public part."""


class HandOver(Document, frozen=True, kw_only=True):
    """One hand-over of one request, from giver to taker.

    Attributes:
        branch: 0 for the first hand-over of this giver, counted up at each fail-over.
        accepts: True where the record is also the giver's own acceptance of the request from
            outside; exactly the records with ``previous`` absent.
        promise: What the taker owes: an answer.
        answer_by: Height by which the taker must have answered (milliseconds are only advice).
        previous: Digest of the record through which the giver holds the request: for later
            branches of a gateway, its own first record.
        accepted_from: Only where the record accepts: the API key that asked, by its public part;
            absent for who asked without one.
        price_units: The most that the taker may charge for its answer (`PAY-1`).
        opener: Only where the record accepts: what the gateway's life drew at its start. It is
            there where an answer will be charged for, so that no two lives of a gateway sign the
            same first record.
        prefix: Only where it does not: digest of the signed prefix of a text that the taker is to
            go on with (`TEXT-1`).
    """

    request_id: RequestId
    request_digest: HexDigest
    branch: Branch
    giver: Party
    taker: Party
    accepts: bool
    promise: Literal["answer"]
    given_at: Height
    answer_by: Height
    previous: HexDigest | None = None
    accepted_from: Caller | None = None
    price_units: Amount = 0
    opener: HexDigest | None = None
    prefix: HexDigest | None = None


class Release(Document, frozen=True, kw_only=True):
    """The gateway's last record about a request.

    Attributes:
        outcome: ``answered``, or ``failed`` with `reason` (a refusal or fault code).
        receipt: Digest of the receipt's payload, present iff answered.
        answered_branch: Digest of the hand-over that led to the answer, present iff answered.
        branches: Digests of all hand-overs that this gateway opened, in order.
        acknowledged: Those of them that came back countersigned, in the same order: without this
            list a countersignature could be stripped, and with it the duty that it shows.
        previous: Digest of the gateway's first record.
        price_units: What the gateway charges its client; above 0 only where it answered.
        escrow: Which escrow it is charged to; present iff there is a price (`PAY-1`).
        running_total_units: All that was charged to that escrow, this included; present iff there
            is a price.
    """

    request_id: RequestId
    request_digest: HexDigest
    gateway: Party
    outcome: Literal["answered", "failed"]
    asked: EvidenceList
    obtained: EvidenceList
    missing: EvidenceList
    released_at: Height
    branches: Annotated[tuple[HexDigest, ...], Meta(min_length=1, max_length=limits.BRANCHES)]
    acknowledged: Annotated[tuple[HexDigest, ...], Meta(max_length=limits.BRANCHES)]
    previous: HexDigest
    receipt: HexDigest | None = None
    answered_branch: HexDigest | None = None
    reason: Code | None = None
    price_units: Amount = 0
    escrow: HexDigest | None = None
    running_total_units: Amount | None = None


class _HandOverStatement(Statement[HandOver], frozen=True, kw_only=True):
    """The statement of a hand-over; a class of its own, since a decoder is found by it."""


class _ReleaseStatement(Statement[Release], frozen=True, kw_only=True):
    """The statement of a release."""


def encode_handover(record: HandOver) -> bytes:
    """Encode a hand-over as the statement bytes that both parties sign."""
    return encode_statement(
        make_statement(record, HANDOVER_TYPE, record.request_id, record.request_digest)
    )


def decode_handover(payload: bytes) -> HandOver:
    """Decode a DSSE payload as a hand-over and check its form.

    Raises:
        Refusal: `encoding.*`, `statement.*`, `custody.bad-form`.
    """
    statement = decode_statement(_HandOverStatement, HANDOVER_TYPE, payload)
    record = statement.predicate
    check_subject(statement, record.request_id, record.request_digest)
    if record.accepts != (record.previous is None):
        raise Refusal("custody.bad-form", "exactly a first record accepts and has no previous one")
    if record.accepts and (record.branch != 0 or record.giver.role != "gateway"):
        raise Refusal(
            "custody.bad-form", "only a gateway's branch 0 accepts a request from outside"
        )
    if record.accepted_from is not None and not record.accepts:
        raise Refusal("custody.bad-form", "only a first record says whom it accepts from")
    if record.opener is not None and not record.accepts:
        raise Refusal("custody.bad-form", "only a first record names the gateway's life")
    if record.prefix is not None and record.accepts:
        raise Refusal("custody.bad-form", "nobody has begun the text of a first record")
    if record.answer_by <= record.given_at:
        raise Refusal("custody.bad-form", "the answer is due before the hand-over")
    if record.giver.key == record.taker.key:
        raise Refusal("custody.bad-form", "a party cannot hand over to itself")
    return record


def encode_release(record: Release) -> bytes:
    """Encode a release as the statement bytes that the gateway signs."""
    return encode_statement(
        make_statement(record, RELEASE_TYPE, record.request_id, record.request_digest)
    )


def decode_release(payload: bytes) -> Release:
    """Decode a DSSE payload as a release and check its form.

    Raises:
        Refusal: `encoding.*`, `statement.*`, `custody.bad-form`.
    """
    statement = decode_statement(_ReleaseStatement, RELEASE_TYPE, payload)
    record = statement.predicate
    check_subject(statement, record.request_id, record.request_digest)
    answered = record.outcome == "answered"
    if answered != (record.receipt is not None) or answered != (record.answered_branch is not None):
        raise Refusal("custody.bad-form", "exactly an answered release names receipt and branch")
    if answered == (record.reason is not None):
        raise Refusal("custody.bad-form", "exactly a failed release states a reason")
    if record.answered_branch is not None and record.answered_branch not in record.branches:
        raise Refusal("custody.bad-form", "the answered branch is not among the branches")
    if record.previous != record.branches[0]:
        raise Refusal("custody.bad-form", "a release follows the gateway's first record")
    if record.gateway.role != "gateway":
        raise Refusal("custody.bad-form", "only a gateway releases")
    _check_charge(record)
    return record


def _check_charge(record: Release) -> None:
    """Check that a release charges for an answer only, and that what it states fits together."""
    if record.price_units and record.outcome != "answered":
        raise Refusal("custody.bad-form", "a failed release charges nothing")
    why = find_charge_fault(record.price_units, record.escrow, record.running_total_units)
    if why is not None:
        raise Refusal("custody.bad-form", why)
