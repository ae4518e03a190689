"""Accusations of double charges: from two signed statements to the report (`PAY-1`).

As in `accusing`, what the ledger will check is checked here first, as far as it can be without the
ledger; a Refusal says why there is no case. Must not know who holds the statements nor who sends.
"""

from __future__ import annotations

from base64 import b64decode
from dataclasses import dataclass

from probatum.errors import Refusal
from probatum.evidence.accusing import HeldReceipt, hold_receipt
from probatum.protocol.bundles import Bundle
from probatum.protocol.custody import Release, decode_release
from probatum.protocol.dsse import Envelope, check_envelope, decode_payload
from probatum.protocol.hexes import address_from_document, key_from_hex
from probatum.protocol.primitives import OperatingSignature, make_operating_signature
from probatum.protocol.transactions.kinds import ReportTwoCharges, ReportTwoReleases

__all__ = [
    "HeldRelease",
    "find_double_charge",
    "hold_release",
    "report_two_charges",
    "report_two_releases",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class HeldRelease:
    """A release whose signature by the key that it names has been checked.

    Attributes:
        payload: Its DSSE payload: what the key signed.
        signature: That signature.
    """

    payload: bytes
    signature: OperatingSignature
    release: Release


def hold_release(envelope: Envelope) -> HeldRelease:
    """Read a signed release as evidence.

    Raises:
        Refusal: `dsse.*`, `encoding.*`, `statement.*`, `custody.bad-form`, `hex.*`.
    """
    # The key is read from a payload that is not believed yet, then the payload is checked under it.
    key = key_from_hex(decode_release(decode_payload(envelope)).gateway.key)
    payload = check_envelope(envelope, (key,))
    return HeldRelease(
        payload=payload,
        signature=make_operating_signature(b64decode(envelope.signatures[0].sig)),
        release=decode_release(payload),
    )


def report_two_charges(first: HeldReceipt, second: HeldReceipt) -> ReportTwoCharges:
    """Accuse a node of charging twice for one hand-over.

    Raises:
        Refusal: `accusing.no-case` unless both charge, for one hand-over, in one session.
    """
    if first.entry == second.entry:
        raise _no_case("it is one receipt, given twice")
    if first.receipt.custody != second.receipt.custody:
        raise _no_case("the receipts are for two hand-overs")
    if (first.place.session, first.place.opener) != (second.place.session, second.place.opener):
        raise _no_case("the receipts are of two sessions: a node may answer anew in a later life")
    if first.receipt.node != second.receipt.node:
        raise _no_case("the receipts are by two nodes")
    _check_charged(first.receipt.price_units, second.receipt.price_units)
    return ReportTwoCharges(
        operator=first.operator,
        first=first.payload,
        first_signature=first.signature,
        second=second.payload,
        second_signature=second.signature,
    )


def report_two_releases(first: HeldRelease, second: HeldRelease) -> ReportTwoReleases:
    """Accuse a gateway of charging twice for one request.

    Raises:
        Refusal: `accusing.no-case` unless both charge, for one first record.
    """
    if first.payload == second.payload:
        raise _no_case("it is one release, given twice")
    if first.release.previous != second.release.previous:
        raise _no_case("the releases are of two first records")
    if first.release.gateway.account != second.release.gateway.account:
        raise _no_case("the releases are by two operators")
    _check_charged(first.release.price_units, second.release.price_units)
    return ReportTwoReleases(
        operator=address_from_document(first.release.gateway.account),
        first=first.payload,
        first_signature=first.signature,
        second=second.payload,
        second_signature=second.signature,
    )


def find_double_charge(first: Bundle, second: Bundle) -> ReportTwoCharges | ReportTwoReleases:
    """Find who charged twice in two bundles: the gateway by their releases, else the node.

    Raises:
        Refusal: `accusing.no-case` if neither did; as `hold_release` and `hold_receipt`.
    """
    releases = hold_release(first.release), hold_release(second.release)
    try:
        return report_two_releases(*releases)
    except Refusal as refusal:
        if first.receipt is None or second.receipt is None:
            raise
        no_case = refusal
    try:
        return report_two_charges(hold_receipt(first.receipt), hold_receipt(second.receipt))
    except Refusal as refusal:
        raise _no_case(f"{no_case.message}; {refusal.message}") from None


def _check_charged(first: int, second: int) -> None:
    if not (first and second):
        raise _no_case("one of them charges nothing")


def _no_case(why: str) -> Refusal:
    return Refusal("accusing.no-case", why)
