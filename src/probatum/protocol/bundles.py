"""The bundle: a receipt with everything that a stranger needs to check it offline (`BUNDLE-1`).

It holds no content: neither request nor answer nor salt. Its encoding is canonical and every
field is covered by a signature, a hash or a proof, so no bit of a settled bundle can change
unnoticed. Must not check (`probatum.evidence.receipt` does).
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from probatum.protocol import limits
from probatum.protocol.dsse import Envelope
from probatum.protocol.encoding import Document, decode_document, encode_document
from probatum.protocol.hexes import HexDigest
from probatum.protocol.mapproof import StateProof

__all__ = [
    "BUNDLE_FORMAT",
    "Bundle",
    "Settlement",
    "add_settlement",
    "decode_bundle",
    "encode_bundle",
    "encode_settlement",
]

BUNDLE_FORMAT = "probatum-bundle/1"


class Settlement(Document, frozen=True, kw_only=True):
    """What proves that the receipt's log entry is final.

    Attributes:
        inclusion: RFC 6962 inclusion proof of the entry in the log of the settled size and root
            that `log` proves; the checkpoint itself is not needed, the ledger checked it.
        header: Standard base64 of a canonical `headers.SignedHeader`.
        log: Proof of the session's `records.LogRecord` against the header's state root.
        keys: Proofs of the `records.KeyRecord` of every other key that signed, in key order:
            gateways and nodes of the custody records.
    """

    inclusion: Annotated[tuple[HexDigest, ...], Meta(max_length=limits.PROOF_HASHES)]
    header: Annotated[str, Meta(max_length=limits.SIGNED_HEADER_BYTES // 3 * 4)]
    log: StateProof
    keys: Annotated[tuple[StateProof, ...], Meta(max_length=limits.CUSTODY_RECORDS)]


class Bundle(Document, frozen=True, kw_only=True):
    """A receipt with its custody chain, and its settlement once it is final.

    Attributes:
        receipt: Absent only in the bundle of a failed request.
        custody: The hand-overs in order of branch; one countersigned by both, or by the giver
            alone where the taker never acknowledged it.
        release: The gateway's last record.
        cancellation: There iff the receipt names it: who asked for its text had enough (`TEXT-1`).
    """

    format: Literal["probatum-bundle/1"]
    custody: Annotated[tuple[Envelope, ...], Meta(min_length=1, max_length=limits.BRANCHES)]
    release: Envelope
    receipt: Envelope | None = None
    cancellation: Envelope | None = None
    settlement: Settlement | None = None


class _EncodedSettlement(msgspec.Struct, frozen=True, kw_only=True):
    """A `Settlement` whose proofs are encoded already; the same fields in the same order."""

    inclusion: tuple[str, ...]
    header: str
    log: msgspec.Raw
    keys: tuple[msgspec.Raw, ...]


def encode_settlement(
    *, inclusion: tuple[str, ...], header: str, log: bytes, keys: tuple[bytes, ...]
) -> bytes:
    """Encode a settlement whose proofs are encoded already, as canonical JSON.

    Args:
        inclusion: As `Settlement` has it.
        header: The same.
        log: The canonical encoding of its `StateProof`.
        keys: Those of the keys' proofs.
    """
    settlement = _EncodedSettlement(
        inclusion=inclusion,
        header=header,
        log=msgspec.Raw(log),
        keys=tuple(msgspec.Raw(key) for key in keys),
    )
    return msgspec.json.encode(settlement)


def add_settlement(pending: bytes, settlement: bytes) -> bytes:
    """Make a pending bundle a settled one without decoding it: the settlement is its last field.

    Args:
        pending: The canonical encoding of a bundle with a receipt and without a settlement.
        settlement: The canonical encoding of the settlement.
    """
    return b'%b,"settlement":%b}' % (pending[:-1], settlement)


def encode_bundle(bundle: Bundle) -> bytes:
    """Encode a bundle as canonical JSON."""
    return encode_document(bundle)


def decode_bundle(data: bytes) -> Bundle:
    """Decode a bundle, strictly. Raises Refusal `encoding.*`."""
    return decode_document(Bundle, data, limit_bytes=limits.BUNDLE_BYTES)
