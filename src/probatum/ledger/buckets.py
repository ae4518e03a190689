"""Buckets of the state map's tree: a few leaves and the inner nodes above them (`STATE-1`).

They are one row. Leaves stand in the order of their key hashes. Between two neighbours stands the
index of the first bit in which they differ, and that says all of the tree: the inner node above a
run of leaves is where the index is least. Hashes of inner nodes are computed again when a bucket
is, for less than it costs to read them. Pure functions of bytes. Must not know stores nor versions.
Read next: `pages`, `statemap`.

A bucket:

    0x03 ‖ number of leaves u8 ‖ bit index between neighbours u8, one fewer
    ‖ for each leaf: key hash 32 ‖ value hash 32 ‖ digest 32
"""

from __future__ import annotations

import hashlib
import itertools
from typing import Final

__all__ = [
    "BUCKET",
    "BUCKET_LEAVES",
    "INNER_HEADS",
    "LEAF_BYTES",
    "compute_bucket_steps",
    "encode_bucket",
    "get_bits",
    "make_leaf",
    "split_bucket",
    "split_leaf",
]

BUCKET: Final = 3
"""The first byte of a bucket."""
BUCKET_LEAVES: Final = 32
"""More are a page of slots."""
LEAF_BYTES: Final = 96
_HEAD: Final = 2
_sha256: Final = hashlib.sha256
INNER_HEADS: Final = tuple(b"\x01" + bit_index.to_bytes(2, "big") for bit_index in range(256))
"""What an inner node's hash begins with, by its bit index."""


def make_leaf(key_hash: bytes, value_hash: bytes) -> bytes:
    """Make a leaf's ref."""
    return key_hash + value_hash + _sha256(b"\x00" + key_hash + value_hash).digest()


def split_leaf(ref: bytes) -> tuple[bytes, bytes]:
    """Get the hashes of key and value of a leaf's ref."""
    return ref[:32], ref[32:64]


def split_bucket(page: bytes) -> list[bytes]:
    """Get a bucket's leaves, in the order of their key hashes."""
    first = _HEAD + page[1] - 1
    return [page[at : at + LEAF_BYTES] for at in range(first, len(page), LEAF_BYTES)]


def get_bits(page: bytes) -> bytes:
    """Get the bit indexes between a bucket's leaves."""
    return page[_HEAD : _HEAD + page[1] - 1]


def encode_bucket(leaves: list[bytes], bits: bytes | None = None) -> tuple[bytes, bytes]:
    """Encode a bucket and compute its digest, that of its topmost inner node.

    Args:
        leaves: In the order of their key hashes; one at least, at most `BUCKET_LEAVES`.
        bits: The bit indexes between them, if they are known.
    """
    if bits is None:
        bits = _compute_bits(leaves)
    head = b"%c%c%b" % (BUCKET, len(leaves), bits)
    return head + b"".join(leaves), _compute_digest(bits, [leaf[64:] for leaf in leaves])


def _compute_bits(leaves: list[bytes]) -> bytes:
    numbers = [int.from_bytes(leaf[:32], "big") for leaf in leaves]
    return bytes(256 - (one ^ other).bit_length() for one, other in itertools.pairwise(numbers))


def _compute_digest(bits: bytes, digests: list[bytes]) -> bytes:
    """Compute the digest of a run of leaves, from left to right.

    What waits on the left, with the bit index behind it, goes into an inner node as soon as an
    index comes that is less: nothing more can stand below that node.
    """
    waiting: list[bytes] = []
    indexes = [-1]
    digest = digests[0]
    for bit_index, following in zip(bits, digests[1:], strict=True):
        while indexes[-1] > bit_index:
            digest = _sha256(INNER_HEADS[indexes.pop()] + waiting.pop() + digest).digest()
        waiting.append(digest)
        indexes.append(bit_index)
        digest = following
    while waiting:
        digest = _sha256(INNER_HEADS[indexes.pop()] + waiting.pop() + digest).digest()
    return digest


def compute_bucket_steps(page: bytes, key_hash: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Walk through a bucket as a key does; returns what `pages.compute_steps` does."""
    leaves, bits = split_bucket(page), get_bits(page)
    digests = [leaf[64:] for leaf in leaves]
    number = int.from_bytes(key_hash, "big")
    steps: list[tuple[int, bytes]] = []
    first, last = 0, len(leaves) - 1
    while first < last:
        bit_index = min(bits[first:last])
        middle = bits.index(bit_index, first) + 1
        left = first, middle - 1
        right = middle, last
        taken, other = (right, left) if number >> (255 - bit_index) & 1 else (left, right)
        sibling = _compute_digest(bits[other[0] : other[1]], digests[other[0] : other[1] + 1])
        steps.append((bit_index, sibling))
        first, last = taken
    return steps, leaves[first]
