"""The hash functions of the protocol, each for one purpose.

SHA-256 for everything that strangers verify with ordinary tools, Keccak-256 for what wallets
sign, and a tagged SHA-256 where several fields are hashed together. Tensors use keyed BLAKE3: see
`tensors`. Must not know any document.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol, cast

from probatum.protocol.primitives import Digest

try:
    # A validator hashes three times a transfer, and this takes a seventh of the time.
    from sha3 import keccak_256
except ImportError:
    # What a client has everywhere: the other has wheels for Linux alone.
    from Crypto.Hash import keccak

    def keccak_256(data: bytes) -> keccak.Keccak_Hash:
        """Begin a hash."""
        return keccak.new(digest_bits=256, data=data)


__all__ = ["hash_tagged", "keccak256", "sha256"]


class _Sha256(Protocol):
    def digest(self) -> Digest: ...


# A digest of SHA-256 has 32 bytes: it is not measured again, dozens of times a request.
_hash = cast("Callable[[bytes], _Sha256]", hashlib.sha256)


def sha256(data: bytes) -> Digest:
    """Hash bytes with SHA-256."""
    return _hash(data).digest()


def keccak256(data: bytes) -> bytes:
    """Hash bytes with Keccak-256, Ethereum's hash (the padding is that before FIPS 202)."""
    return cast("bytes", keccak_256(data).digest())


def hash_tagged(tag: str, *parts: bytes) -> Digest:
    """Hash several fields under a purpose, so that no two purposes or splits collide.

    The preimage is the tag and then each part, every one behind its length as a big-endian
    64-bit number: the mapping from (tag, parts) to bytes is injective.

    Args:
        tag: Names the purpose, ASCII, with a version (``probatum/tensor-key/1``).
        parts: The fields in their fixed order.
    """
    pieces = [_begin(tag)]
    for part in parts:
        pieces += (len(part).to_bytes(8, "big"), part)
    return _hash(b"".join(pieces)).digest()


@lru_cache(maxsize=256)
def _begin(tag: str) -> bytes:
    name = tag.encode("ascii")
    return len(name).to_bytes(8, "big") + name
