"""The trust file: the few bytes that a stranger must have by another way than the network.

With the embedded engine the trust root is one key, and every verification says so. Must not know
proofs (`mapproof`) or bundles.
"""

from __future__ import annotations

from typing import Literal

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.ed25519 import check_signature
from probatum.protocol.eip712 import Domain
from probatum.protocol.encoding import Document, decode_document, encode_document
from probatum.protocol.headers import ChainId, Header, SignedHeader, compute_header_hash
from probatum.protocol.hexes import HexDigest, HexKey, digest_from_hex

__all__ = [
    "TRUST_FORMAT",
    "Trust",
    "check_signed_header",
    "decode_trust",
    "encode_trust",
    "get_domain",
]

TRUST_FORMAT = "probatum-trust/1"


class Trust(Document, frozen=True, kw_only=True):
    """Which chain, and whose signature makes a header true."""

    format: Literal["probatum-trust/1"]
    chain_id: ChainId
    genesis_hash: HexDigest
    engine: Literal["embedded"]
    key: HexKey


def encode_trust(trust: Trust) -> bytes:
    """Encode a trust file."""
    return encode_document(trust)


def decode_trust(data: bytes) -> Trust:
    """Decode a trust file; white space around it is allowed, since people edit such files.

    Raises:
        Refusal: `encoding.*`.
    """
    return decode_document(Trust, data.strip(), limit_bytes=limits.TRUST_BYTES)


def get_domain(trust: Trust) -> Domain:
    """Get the network that signatures are for, as EIP-712 names it (`TX-1`)."""
    return Domain(chain_id=trust.chain_id, genesis_hash=digest_from_hex(trust.genesis_hash))


def check_signed_header(trust: Trust, signed: SignedHeader) -> Header:
    """Check that a header is of the trusted chain and signed by the trusted key.

    Raises:
        Refusal: `trust.other-chain`, `trust.other-key`, `ed25519.bad-signature`.
    """
    header = signed.header
    if header.chain_id != trust.chain_id or header.genesis_hash.hex() != trust.genesis_hash:
        raise Refusal(
            "trust.other-chain",
            f"the header is of chain {header.chain_id}, the trust file of {trust.chain_id}",
            hint="use the trust file of the network that gave the receipt",
        )
    if signed.key.hex() != trust.key:
        raise Refusal("trust.other-key", "the header is signed by a key that is not trusted")
    check_signature(signed.key, compute_header_hash(header), signed.signature)
    return header
