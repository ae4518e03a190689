"""DSSE v1 envelopes: how receipts and custody records are signed (`RECEIPT-1`, `CUSTODY-1`).

The envelope is the standard's, so other people's tools verify it. Stricter than the standard in
one direction only: canonical base64, one payload type, and exactly the signatures that the caller
asks for, in order, so that a document has one encoding. Must not know any payload.
Source: https://github.com/secure-systems-lab/dsse, `envelope.md` and `protocol.md`.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from functools import lru_cache
from typing import Annotated, Final

from msgspec import Meta

from probatum.errors import Misuse, Refusal
from probatum.protocol import limits
from probatum.protocol.ed25519 import OperatingSigner, check_signature
from probatum.protocol.encoding import Document
from probatum.protocol.hashing import sha256
from probatum.protocol.hexes import HexDigest
from probatum.protocol.primitives import OperatingKey, make_operating_signature

__all__ = [
    "PAYLOAD_TYPE",
    "Envelope",
    "EnvelopeSignature",
    "add_signature",
    "check_added_signature",
    "check_envelope",
    "check_signatures",
    "compute_key_id",
    "decode_payload",
    "pae",
    "sign_envelope",
]

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
_PAYLOAD_CHARS: Final = (limits.STATEMENT_BYTES + 2) // 3 * 4


class EnvelopeSignature(Document, frozen=True, kw_only=True):
    """One signature of an envelope.

    Attributes:
        keyid: `compute_key_id` of the signer's key.
        sig: The signature, standard base64.
    """

    keyid: HexDigest
    sig: Annotated[str, Meta(min_length=88, max_length=88)]


class Envelope(Document, frozen=True, kw_only=True):
    """A signed payload, in the standard's field order.

    Attributes:
        payload: The payload's bytes, standard base64.
        payloadType: What the payload is; signed too.
        signatures: In the order that the kind of document asks for.
    """

    payload: Annotated[str, Meta(max_length=_PAYLOAD_CHARS)]
    payloadType: Annotated[str, Meta(max_length=limits.NAME_CHARS)]  # noqa: N815 (the standard's)
    signatures: Annotated[
        tuple[EnvelopeSignature, ...], Meta(max_length=limits.ENVELOPE_SIGNATURES)
    ]


@lru_cache(maxsize=1_024)
def compute_key_id(key: OperatingKey) -> str:
    """Compute a key's id: SHA-256 of the raw public key, in hex."""
    return sha256(key).hex()


def pae(payload_type: str, payload: bytes) -> bytes:
    """Compute the pre-authentication encoding: the bytes that are signed (DSSE v1)."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %b %d %b" % (len(kind), kind, len(payload), payload)


def sign_envelope(payload: bytes, signers: tuple[OperatingSigner, ...]) -> Envelope:
    """Sign a payload.

    Args:
        payload: The encoded statement.
        signers: Who signs, in order.

    Raises:
        Misuse: `dsse.too-large`, `dsse.too-many-signatures`.
    """
    if len(payload) > limits.STATEMENT_BYTES:
        raise Misuse("dsse.too-large", f"{len(payload)} bytes of payload")
    if len(signers) > limits.ENVELOPE_SIGNATURES:
        raise _too_many()
    message = pae(PAYLOAD_TYPE, payload)
    return Envelope(
        payload=_encode_base64(payload),
        payloadType=PAYLOAD_TYPE,
        signatures=tuple([_sign(message, signer) for signer in signers]),
    )


def add_signature(
    envelope: Envelope, signer: OperatingSigner, payload: bytes | None = None
) -> Envelope:
    """Countersign: the same envelope with one signature more, at the end.

    Args:
        envelope: A decoded envelope.
        signer: Who signs.
        payload: What `decode_payload` gave for the envelope, if it was decoded before.

    Raises:
        Refusal: as `decode_payload`.
        Misuse: `dsse.too-many-signatures`.
    """
    if len(envelope.signatures) >= limits.ENVELOPE_SIGNATURES:
        raise _too_many()
    payload = decode_payload(envelope) if payload is None else payload
    return Envelope(
        payload=envelope.payload,
        payloadType=envelope.payloadType,
        signatures=(*envelope.signatures, _sign(pae(envelope.payloadType, payload), signer)),
    )


def _sign(message: bytes, signer: OperatingSigner) -> EnvelopeSignature:
    signature = signer.sign(message)
    return EnvelopeSignature(keyid=compute_key_id(signer.key), sig=_encode_base64(signature))


def _too_many() -> Misuse:
    why = f"an envelope has at most {limits.ENVELOPE_SIGNATURES}"
    return Misuse("dsse.too-many-signatures", why)


def _encode_base64(data: bytes) -> str:
    return b2a_base64(data, newline=False).decode("ascii")


def _decode_base64(text: str) -> bytes:
    try:
        data = a2b_base64(text)
    except ValueError:
        raise Refusal("dsse.bad-base64", "not standard base64") from None
    # Other characters are skipped, and unused bits admit several texts for the same bytes: the
    # one that these bytes are written as is canonical.
    if _encode_base64(data) != text:
        raise Refusal("dsse.bad-base64", "not the canonical base64 of its bytes")
    return data


def decode_payload(envelope: Envelope) -> bytes:
    """Decode the payload without believing it: no signature is checked.

    Raises:
        Refusal: `dsse.payload-type`, `dsse.too-large`, `dsse.bad-base64`.
    """
    if envelope.payloadType != PAYLOAD_TYPE:
        raise Refusal("dsse.payload-type", f"not {PAYLOAD_TYPE}: {envelope.payloadType[:60]!r}")
    if len(envelope.payload) > _PAYLOAD_CHARS:
        raise Refusal("dsse.too-large", f"more than {limits.STATEMENT_BYTES} bytes of payload")
    payload = _decode_base64(envelope.payload)
    if len(payload) > limits.STATEMENT_BYTES:
        raise Refusal("dsse.too-large", f"more than {limits.STATEMENT_BYTES} bytes of payload")
    return payload


def check_added_signature(before: Envelope, after: Envelope, key: OperatingKey) -> None:
    """Check that an envelope is one that is known already with a countersignature more.

    Who made the first signatures, or has checked them, need not check them again.

    Args:
        before: Believed.
        after: From outside: the same payload and signatures, and one by `key` at the end.
        key: Who must have countersigned.

    Raises:
        Refusal: `dsse.other-envelope`, `dsse.key-id`, `dsse.bad-base64`, `dsse.bad-signature`.
    """
    same = (after.payloadType, after.payload) == (before.payloadType, before.payload)
    if not (same and after.signatures and after.signatures[:-1] == before.signatures):
        raise Refusal("dsse.other-envelope", "not the same envelope with one signature more")
    message = pae(before.payloadType, decode_payload(before))
    _check_entry(len(before.signatures), after.signatures[-1], key, message)


def _check_entry(
    position: int, entry: EnvelopeSignature, key: OperatingKey, message: bytes
) -> None:
    if entry.keyid != compute_key_id(key):
        raise Refusal("dsse.key-id", f"signature {position} is by another key than asked for")
    data = _decode_base64(entry.sig)
    try:
        check_signature(key, message, make_operating_signature(data))
    except Refusal as refusal:
        raise Refusal(
            "dsse.bad-signature", f"signature {position} is wrong: {refusal.message}"
        ) from None


def check_envelope(envelope: Envelope, keys: tuple[OperatingKey, ...]) -> bytes:
    """Check that exactly these keys signed, in this order, and return the payload.

    Args:
        envelope: A decoded envelope.
        keys: Who must have signed; all of them and nobody else.

    Raises:
        Refusal: `dsse.duplicate-key`, `dsse.signature-count`, `dsse.key-id`,
            `dsse.bad-signature`, and as `decode_payload`.
        Misuse: `dsse.no-keys`: an envelope that nobody must have signed proves nothing.
    """
    payload = decode_payload(envelope)
    check_signatures(envelope, payload, keys)
    return payload


def check_signatures(envelope: Envelope, payload: bytes, keys: tuple[OperatingKey, ...]) -> None:
    """Check the same of an envelope whose payload is decoded already, by `decode_payload`.

    Raises:
        Refusal: as `check_envelope`, but for the payload's.
        Misuse: `dsse.no-keys`.
    """
    if not keys:
        raise Misuse("dsse.no-keys", "at least one key must be asked for")
    if len(set(keys)) != len(keys):
        raise Refusal("dsse.duplicate-key", "one key is asked for twice")
    if len(envelope.signatures) != len(keys):
        raise Refusal(
            "dsse.signature-count",
            f"{len(envelope.signatures)} signatures where {len(keys)} are asked for",
        )
    message = pae(envelope.payloadType, payload)
    for position, (key, entry) in enumerate(zip(keys, envelope.signatures, strict=True)):
        _check_entry(position, entry, key, message)
