"""Two sealed headers of two pasts: what convicts an engine's key or validators.

Two of one height that are not the same, or of two heights in a row of which the later one does not
follow from the earlier; under validators the engine's headers count, too (`LIGHT-1`).

Nobody is believed about which of the two is true: both are proven, and whoever signed both broke
the rules, whatever the reason. Must not know how a header comes to be believed (`HeaderCheck`),
nor who gave which header.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from typing import Annotated, Final, Literal

from msgspec import Meta

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.commits import COMMITTED
from probatum.protocol.encoding import Document, decode, decode_document, encode, encode_document
from probatum.protocol.headers import (
    ChainId,
    CommitSeal,
    KeySeal,
    SignedHeader,
    compute_header_hash,
)
from probatum.protocol.hexes import HexDigest
from probatum.protocol.trust import HeaderCheck

__all__ = [
    "FORK_BYTES",
    "FORK_FORMAT",
    "Fork",
    "check_fork",
    "decode_fork",
    "encode_fork",
    "is_contradiction",
    "make_fork",
    "read_fork",
]

FORK_FORMAT: Final = "probatum-fork/1"
_HEADER_CHARS: Final = limits.SIGNED_HEADER_BYTES // 3 * 4
FORK_BYTES: Final = 2 * _HEADER_CHARS + limits.KIB


class Fork(Document, frozen=True, kw_only=True):
    """Evidence of two pasts, for anybody who has the network's trust file.

    Attributes:
        headers: Two canonical `headers.SignedHeader` in standard base64, in order.
    """

    format: Literal["probatum-fork/1"]
    chain_id: ChainId
    genesis_hash: HexDigest
    headers: tuple[
        Annotated[str, Meta(max_length=_HEADER_CHARS)],
        Annotated[str, Meta(max_length=_HEADER_CHARS)],
    ]


def make_fork(first: SignedHeader, second: SignedHeader) -> Fork:
    """Make evidence of two headers; the same two give the same bytes."""
    one, other = sorted(b64encode(encode(signed)).decode("ascii") for signed in (first, second))
    return Fork(
        format=FORK_FORMAT,
        chain_id=first.header.chain_id,
        genesis_hash=first.header.genesis_hash.hex(),
        headers=(one, other),
    )


def encode_fork(fork: Fork) -> bytes:
    """Encode evidence as canonical JSON."""
    return encode_document(fork)


def decode_fork(data: bytes) -> Fork:
    """Decode evidence, strictly. Raises Refusal `encoding.*`."""
    return decode_document(Fork, data.strip(), limit_bytes=FORK_BYTES)


def check_fork(fork: Fork, check: HeaderCheck) -> tuple[str, ...]:
    """Check that both headers are sealed and contradict each other; say who signed both.

    Args:
        fork: The evidence.
        check: Whether a header is believed.

    Returns:
        In hex and in order: the engine's key, or the consensus addresses of validators.

    Raises:
        Refusal: what `check` raises; `fork.malformed`, `fork.no-contradiction`, `encoding.*`.
    """
    first, second = read_fork(fork)
    for signed in (first, second):
        check(signed)
    if not is_contradiction(first, second):
        raise Refusal("fork.no-contradiction", "these headers do not contradict each other")
    return tuple(sorted(_list_signers(first) & _list_signers(second)))


def is_contradiction(first: SignedHeader, second: SignedHeader) -> bool:
    """Whether two headers cannot both be of one chain, if both are sealed."""
    one, other = sorted((first, second), key=lambda signed: signed.header.height)
    if one.header.height + 1 == other.header.height:
        return other.header.previous != compute_header_hash(one.header)
    if one.header.height != other.header.height:
        return False
    if isinstance(one.seal, CommitSeal) and isinstance(other.seal, CommitSeal):
        # Both, since who has no trust file compares seals that were not checked.
        return one.seal.header != other.seal.header or one.header != other.header
    return one.header != other.header


def read_fork(fork: Fork) -> tuple[SignedHeader, SignedHeader]:
    """Read both headers, unchecked. Raises Refusal `fork.malformed`, `encoding.*`."""
    first, second = fork.headers
    return _read(first), _read(second)


def _read(text: str) -> SignedHeader:
    try:
        data = b64decode(text.encode("ascii"), validate=True)
    except (Base64Error, UnicodeEncodeError):
        raise Refusal("fork.malformed", "a header is not standard base64") from None
    return decode(SignedHeader, data, limit_bytes=limits.SIGNED_HEADER_BYTES)


def _list_signers(signed: SignedHeader) -> set[str]:
    match signed.seal:
        case KeySeal(key=key):
            return {key.hex()}
        case CommitSeal(commit=commit):
            return {vote.validator.hex() for vote in commit.votes if vote.flag == COMMITTED}
