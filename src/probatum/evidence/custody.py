"""Checking who held a request: the tree of hand-overs and its release (`CUSTODY-1`).

A hand-over counts once its giver has signed; it moves a duty once its taker has countersigned.
The tree of this version has one gateway at its root and one branch for each node that it handed
the request to. Must not judge (`blame`) and not know answers (`receipt`).
"""

from __future__ import annotations

import msgspec

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.custody import HandOver, Release, decode_handover, decode_release
from probatum.protocol.dsse import Envelope, check_envelope, check_signatures, decode_payload
from probatum.protocol.hexes import key_from_hex
from probatum.protocol.primitives import Digest
from probatum.protocol.statements import compute_record_digest

__all__ = ["CheckedBranch", "check_custody", "check_handover", "check_release"]


class CheckedBranch(msgspec.Struct, frozen=True, kw_only=True):
    """One hand-over whose signatures hold.

    Attributes:
        digest: SHA-256 of the record's payload: how later records cite it.
        record: What giver and taker agreed on.
        acknowledged: Whether the taker countersigned; only then did the duty move.
    """

    digest: Digest
    record: HandOver
    acknowledged: bool


def check_handover(envelope: Envelope) -> CheckedBranch:
    """Check one hand-over: its form, the giver's signature, and the taker's if there is a second.

    Whose keys these are is another question: `receipt` answers it by state proofs.

    Raises:
        Refusal: `dsse.*`, `encoding.*`, `statement.*`, `custody.bad-form`.
    """
    payload = decode_payload(envelope)
    record = decode_handover(payload)
    parties = (record.giver, record.taker)
    signed_by = parties if len(envelope.signatures) > 1 else parties[:1]
    check_signatures(envelope, payload, tuple(key_from_hex(party.key) for party in signed_by))
    return CheckedBranch(
        digest=compute_record_digest(payload), record=record, acknowledged=signed_by is parties
    )


def check_custody(envelopes: tuple[Envelope, ...]) -> tuple[CheckedBranch, ...]:
    """Check all hand-overs of one request, in order of branch.

    Raises:
        Refusal: as `check_handover`; `custody.no-records`, `custody.bad-tree`.
    """
    if not 0 < len(envelopes) <= limits.BRANCHES:
        raise Refusal("custody.no-records", f"{len(envelopes)} hand-overs")
    branches = tuple(check_handover(envelope) for envelope in envelopes)
    first = branches[0]
    if not first.record.accepts:
        raise Refusal("custody.bad-tree", "the first hand-over does not accept the request")
    for number, branch in enumerate(branches):
        record = branch.record
        if record.branch != number:
            raise Refusal("custody.bad-tree", f"branch {record.branch} stands at place {number}")
        if number and record.previous != first.digest.hex():
            raise Refusal("custody.bad-tree", f"branch {number} does not follow the first record")
        if record.request_id != first.record.request_id:
            raise Refusal("custody.bad-tree", f"branch {number} is about another request")
        if record.request_digest != first.record.request_digest:
            raise Refusal("custody.bad-tree", f"branch {number} is about another request")
        if record.giver != first.record.giver:
            raise Refusal("custody.bad-tree", f"branch {number} was opened by another party")
        if record.taker.role != "inference":
            raise Refusal("custody.bad-tree", f"branch {number} goes to no inference node")
    return branches


def check_release(envelope: Envelope, branches: tuple[CheckedBranch, ...]) -> Release:
    """Check the gateway's last record against the hand-overs that it claims to close.

    Args:
        envelope: The release.
        branches: What `check_custody` returned: all of them.

    Raises:
        Refusal: `dsse.*`, `encoding.*`, `statement.*`, `custody.bad-form`,
            `custody.wrong-release`.
    """
    first = branches[0].record
    record = decode_release(check_envelope(envelope, (key_from_hex(first.giver.key),)))
    if record.gateway != first.giver:
        raise Refusal("custody.wrong-release", "the release is by another party")
    if record.request_id != first.request_id or record.request_digest != first.request_digest:
        raise Refusal("custody.wrong-release", "the release is about another request")
    if record.branches != tuple(branch.digest.hex() for branch in branches):
        raise Refusal("custody.wrong-release", "the release lists other hand-overs than these")
    if record.acknowledged != tuple(b.digest.hex() for b in branches if b.acknowledged):
        raise Refusal("custody.wrong-release", "the release lists other acceptances than these")
    missing = tuple(kind for kind in record.asked if kind not in record.obtained)
    if not record.asked or record.missing != missing:
        raise Refusal("custody.wrong-release", "missing is not what was asked less what was had")
    if record.outcome == "failed" and record.obtained:
        raise Refusal("custody.wrong-release", "a failed request obtained no evidence")
    return record
