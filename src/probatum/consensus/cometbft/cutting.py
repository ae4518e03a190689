"""A state cut into parts that its root commits to, one chunk each (`SNAP-1`).

The state's root is that of a binary tree over the hashes of keys (`STATE-1`). A part is everything
below one place in that tree, so its root stands in the state's: whoever knows the parts' roots can
compute the state root, and whoever has one part's records can compute that part's root. So neither
a list of parts nor a chunk can be false and pass. Must not know headers, stores or ABCI. Read next:
`snapshots`.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from probatum.errors import Refusal
from probatum.ledger.statemap import MemoryNodeStore, MerkleMap
from probatum.protocol import limits
from probatum.protocol.blocks import Change
from probatum.protocol.encoding import LedgerValue, decode, encode
from probatum.protocol.mapproof import EMPTY_MAP_ROOT, compute_inner
from probatum.protocol.primitives import Digest, make_digest

__all__ = ["CHUNK_BYTES", "Part", "compute_state_root", "cut_parts", "open_chunk"]

CHUNK_BYTES: Final = 4 * limits.MIB
"""A part has at most so many bytes of records, or one record; the engine takes 16 MiB."""
_CHUNK_RECORDS: Final = 200_000
_LARGEST_CHUNK: Final = 2 * CHUNK_BYTES
"""Encoded; eight bytes are counted for each record beside its key and value."""
_AT_ONCE_BYTES: Final = 16 * CHUNK_BYTES
"""So much of the state is held in memory while it is cut."""
_BUCKET_BITS: Final = 12
_HASH_BITS: Final = 256

Records: TypeAlias = Iterable[tuple[bytes, bytes]]
_Row: TypeAlias = tuple[bytes, bytes, bytes]
"""A key's hash, the key, the value."""


class Part(LedgerValue, frozen=True, kw_only=True):
    """All records whose keys' hashes begin with the same bits.

    Attributes:
        bits: How many; which follows from the parts before, since parts stand in order and
            cover everything.
        root: Root of the state map of these records alone.
    """

    bits: Annotated[int, Meta(ge=0, lt=_HASH_BITS)]
    root: Digest

    @property
    def is_empty(self) -> bool:
        """Whether there are no such records; then it has no chunk."""
        return self.root == EMPTY_MAP_ROOT


class _Chunk(LedgerValue, frozen=True, kw_only=True):
    """One part's records, in key order."""

    records: Annotated[tuple[Change, ...], Meta(min_length=1, max_length=_CHUNK_RECORDS)]


def compute_state_root(parts: Iterable[Part]) -> Digest:
    """Compute the root of a state from those of its parts.

    Raises:
        Refusal: `snapshot.bad-parts` unless they cover every key, each once, in order.
    """
    open_ones: list[tuple[int, bytes]] = []
    for part in parts:
        bits, root = part.bits, bytes(part.root)
        while bits and open_ones and open_ones[-1][0] == bits:
            bits -= 1
            root = _join(bits, open_ones.pop()[1], root)
        open_ones.append((bits, root))
    if len(open_ones) != 1 or open_ones[0][0]:
        raise Refusal("snapshot.bad-parts", "the parts do not cover the state, each key once")
    return make_digest(open_ones[0][1])


def _join(bit_index: int, left: bytes, right: bytes) -> bytes:
    """Join the two halves of a part; where one is empty there is no node."""
    if left == EMPTY_MAP_ROOT:
        return right
    return left if right == EMPTY_MAP_ROOT else compute_inner(bit_index, left, right)


def open_chunk(part: Part, chunk: bytes) -> tuple[Change, ...]:
    """Check that a chunk holds exactly a part's records.

    Raises:
        Refusal: `snapshot.other-chunk`.
    """
    try:
        records = decode(_Chunk, chunk, limit_bytes=_LARGEST_CHUNK).records
    except Refusal as refusal:
        raise _refuse(refusal.message) from None
    last = b""
    for record in records:
        if record.key <= last or record.value is None:
            raise _refuse("records are not in key order, each with a value")
        last = record.key
    if _compute_root(records) != part.root:
        raise _refuse("its records are not those of the state")
    return records


def _refuse(why: str) -> Refusal:
    return Refusal("snapshot.other-chunk", f"this is not the chunk that the state has: {why:.200}")


def _compute_root(records: tuple[Change, ...]) -> Digest:
    changes = {record.key: record.value for record in records}
    return MerkleMap(MemoryNodeStore()).update(changes).root.digest


def cut_parts(
    scan: Callable[[], Records],
    *,
    chunk_bytes: int = CHUNK_BYTES,
    at_once_bytes: int = _AT_ONCE_BYTES,
) -> Iterator[tuple[Part, bytes]]:
    """Cut a state into parts; yields each with its chunk, empty for an empty part.

    Args:
        scan: Begins to list all records, in any order but always the same ones: the state is
            gone through once for each stretch that fits into memory.
        chunk_bytes: How large a part may be.
        at_once_bytes: How much is held in memory at once, about.
    """
    sizes = [0] * (1 << _BUCKET_BITS)
    for key, value in scan():
        sizes[_get_bucket(hashlib.sha256(key).digest())] += _measure(key, value)
    yield from _Cutter(scan, sizes, chunk_bytes, at_once_bytes).cut(0, 0, len(sizes))


@dataclass(frozen=True, slots=True)
class _Cutter:
    scan: Callable[[], Records]
    sizes: list[int]
    chunk_bytes: int
    at_once_bytes: int

    def cut(self, bits: int, first: int, end: int) -> Iterator[tuple[Part, bytes]]:
        """Cut what is in some buckets; all of it has its first bits in common."""
        if sum(self.sizes[first:end]) <= self.at_once_bytes or end - first == 1:
            yield from self._cut_rows(bits, self._load(first, end))
            return
        middle = (first + end) // 2
        yield from self.cut(bits + 1, first, middle)
        yield from self.cut(bits + 1, middle, end)

    def _load(self, first: int, end: int) -> list[_Row]:
        rows = []
        if any(self.sizes[first:end]):
            for key, value in self.scan():
                key_hash = hashlib.sha256(key).digest()
                if first <= _get_bucket(key_hash) < end:
                    rows.append((key_hash, key, value))
        return sorted(rows)

    def _cut_rows(self, bits: int, rows: list[_Row]) -> Iterator[tuple[Part, bytes]]:
        size = sum(_measure(key, value) for _, key, value in rows)
        fits = size <= self.chunk_bytes and len(rows) <= _CHUNK_RECORDS
        if not rows:
            yield Part(bits=bits, root=EMPTY_MAP_ROOT), b""
        elif fits or len(rows) == 1:
            pairs = sorted((key, value) for _, key, value in rows)
            records = tuple(Change(key=key, value=value) for key, value in pairs)
            yield Part(bits=bits, root=_compute_root(records)), encode(_Chunk(records=records))
        else:
            place, bit = divmod(bits, 8)
            middle = bisect_left(rows, 1, key=lambda row: row[0][place] >> (7 - bit) & 1)
            yield from self._cut_rows(bits + 1, rows[:middle])
            yield from self._cut_rows(bits + 1, rows[middle:])


def _get_bucket(key_hash: bytes) -> int:
    return int.from_bytes(key_hash[:2], "big") >> (16 - _BUCKET_BITS)


def _measure(key: bytes, value: bytes) -> int:
    return len(key) + len(value) + 8
