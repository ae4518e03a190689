"""The trust file: the few bytes that a stranger must have by another way than the network.

With the embedded engine the trust root is one key, and every verification says so; with CometBFT
it is one header, which the validators that it names lead on from (`LIGHT-1`). Must not know
proofs (`mapproof`) or bundles. Read next: `probatum.consensus.trusting`, which checks a header
whatever the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Final, Literal, TypeAlias

import msgspec
from msgspec import Meta

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.commits import Power
from probatum.protocol.ed25519 import check_signature
from probatum.protocol.eip712 import Domain
from probatum.protocol.encoding import Document, decode_document, encode_document
from probatum.protocol.headers import (
    ChainId,
    Header,
    KeySeal,
    SignedHeader,
    compute_header_hash,
)
from probatum.protocol.hexes import HexDigest, HexKey, digest_from_hex
from probatum.protocol.primitives import Height

__all__ = [
    "TRUST_FORMAT",
    "CommitTrust",
    "HeaderCheck",
    "KeyTrust",
    "Trust",
    "TrustedValidator",
    "check_chain",
    "check_signed_header",
    "decode_trust",
    "encode_trust",
    "get_domain",
]

TRUST_FORMAT: Final = "probatum-trust/1"


class _Engine(msgspec.Struct, frozen=True):
    """Which engine a trust file is about; its other fields are not looked at yet."""

    engine: Literal["embedded", "cometbft"]


class KeyTrust(Document, frozen=True, kw_only=True):
    """Which chain, and whose signature makes a header true: the embedded engine's key."""

    format: Literal["probatum-trust/1"]
    chain_id: ChainId
    genesis_hash: HexDigest
    engine: Literal["embedded"]
    key: HexKey


class TrustedValidator(Document, frozen=True, kw_only=True):
    """A validator that a trust file names."""

    key: HexKey
    power: Power


class CommitTrust(Document, frozen=True, kw_only=True):
    """Which chain, and one header of its engine that is believed: CometBFT (`LIGHT-1`).

    Attributes:
        height: Of the engine's header; 0 for genesis, whose validators are the first.
        header_hash: Its hash; the genesis hash at height 0.
        time_ms: Its time, rounded down.
        trusting_period_ms: How long after `time_ms` it may be started from: less than validators'
            stake takes to be paid out.
        validators: Those of the height *after*, in the engine's order.
    """

    format: Literal["probatum-trust/1"]
    chain_id: ChainId
    genesis_hash: HexDigest
    engine: Literal["cometbft"]
    height: Height
    header_hash: HexDigest
    time_ms: Annotated[int, Meta(ge=0, lt=limits.TIME_MS_END)]
    trusting_period_ms: Annotated[int, Meta(ge=1, lt=limits.TIME_MS_END)]
    validators: Annotated[
        tuple[TrustedValidator, ...], Meta(min_length=1, max_length=limits.VALIDATORS)
    ]


Trust: TypeAlias = KeyTrust | CommitTrust
"""A trust file, of whichever engine."""

HeaderCheck: TypeAlias = Callable[[SignedHeader], Header]
"""Gives the header that is believed, or refuses: `probatum.consensus.trusting` makes one, and
rooms below it take one as an argument."""


def encode_trust(trust: Trust) -> bytes:
    """Encode a trust file."""
    return encode_document(trust)


def decode_trust(data: bytes) -> Trust:
    """Decode a trust file; white space around it is allowed, since people edit such files.

    Raises:
        Refusal: `encoding.*`.
    """
    text = data.strip()
    if len(text) > limits.TRUST_BYTES:
        raise Refusal("encoding.too-large", f"a trust file of {len(text)} bytes")
    try:
        engine = msgspec.json.decode(text, type=_Engine).engine
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal("encoding.malformed", f"not a trust file: {error}") from None
    kind: type[Trust] = KeyTrust if engine == "embedded" else CommitTrust
    return decode_document(kind, text, limit_bytes=limits.TRUST_BYTES)


def get_domain(trust: Trust) -> Domain:
    """Get the network that signatures are for, as EIP-712 names it (`TX-1`)."""
    return Domain(chain_id=trust.chain_id, genesis_hash=digest_from_hex(trust.genesis_hash))


def check_chain(trust: Trust, header: Header) -> None:
    """Check that a header is of the trusted chain. Raises Refusal `trust.other-chain`."""
    if header.chain_id != trust.chain_id or header.genesis_hash.hex() != trust.genesis_hash:
        raise Refusal(
            "trust.other-chain",
            f"the header is of chain {header.chain_id}, genesis {header.genesis_hash.hex()[:16]}…; "
            f"the trust file is of chain {trust.chain_id}, genesis {trust.genesis_hash[:16]}…",
            hint="use that network's own trust file",
        )


def check_signed_header(trust: KeyTrust, signed: SignedHeader) -> Header:
    """Check that a header is of the trusted chain and signed by the trusted key.

    Raises:
        Refusal: `trust.other-chain`, `trust.other-seal`, `trust.other-key`,
            `ed25519.bad-signature`.
    """
    header, seal = signed.header, signed.seal
    check_chain(trust, header)
    if not isinstance(seal, KeySeal):
        raise Refusal("trust.other-seal", "the header is sealed by another engine than is trusted")
    if seal.key.hex() != trust.key:
        raise Refusal("trust.other-key", "the header is signed by a key that is not trusted")
    check_signature(seal.key, compute_header_hash(header), seal.signature)
    return header
