"""Making openings and children fast: BLAKE3's tree over a whole tensor, by numpy (`CANON-5`).

The library gives roots only; whoever is asked for a chunk or walks down in a dispute needs the
chaining values between. They are computed for 1,024 chunks at a time, row by row of BLAKE3's state.
What is made here is checked by `probatum.canon.trace`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from probatum.canon.trace.compression import CHUNK_BYTES, compute_chunk_value
from probatum.canon.trace.openings import Opening
from probatum.canon.trace.roots import compute_keyed_root
from probatum.canon.trace.tree import Subtree, get_chunk_length, list_children, split, whole
from probatum.protocol.primitives import Root, make_root

__all__ = ["ChunkTree"]

_BATCH: Final = 1024
_IV: Final = np.array([0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A], "<u4")
_PERMUTATION: Final = np.array([2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8])
_START, _END, _PARENT, _KEYED = 1, 2, 4, 16
_Words = NDArray[np.uint32]


class ChunkTree:
    """All chaining values over one tensor's bytes: 6 % of their size.

    Attributes:
        data: The tensor's bytes.
        root: Its root.
    """

    def __init__(self, key: bytes, data: bytes | memoryview) -> None:
        self.data = memoryview(data).cast("B") if isinstance(data, memoryview) else memoryview(data)
        self.root: Root = compute_keyed_root(key, self.data)
        words = np.frombuffer(key, "<u4")
        values = _hash_chunks(words, key, self.data)
        self._levels = [values]
        while len(values) > 2:
            values = _hash_parents(words, values)
            self._levels.append(values)

    def get_value(self, node: Subtree) -> bytes:
        """Get the chaining value of a node; of the whole, the root."""
        if node == whole(len(self.data)):
            return self.root
        # A node that is not full lies on the right edge, where odd ones move up as they are.
        level = (node.size - 1).bit_length()
        value: bytes = self._levels[level][node.first >> level].tobytes()
        return value

    def list_child_values(self, node: Subtree) -> tuple[bytes, ...]:
        """List the chaining values of a node's children, for a step of a walk (`DISPUTE-1`)."""
        return tuple(self.get_value(child) for child in list_children(node))

    def open_chunks(self, numbers: tuple[int, ...]) -> Opening:
        """Open chunks by their numbers, rising."""
        length = len(self.data)
        return Opening(
            chunks=tuple(
                bytes(self.data[number * CHUNK_BYTES :][: get_chunk_length(length, number)])
                for number in numbers
            ),
            path=tuple(self._walk(whole(length), numbers)),
        )

    def _walk(self, node: Subtree, numbers: tuple[int, ...]) -> Iterator[Root]:
        if not numbers:
            yield make_root(self.get_value(node))
        elif node.size > 1:
            left, right = split(node)
            middle = bisect_left(numbers, right.first)
            yield from self._walk(left, numbers[:middle])
            yield from self._walk(right, numbers[middle:])


def _hash_chunks(key_words: _Words, key: bytes, data: memoryview) -> _Words:
    """Compute the chaining values of all chunks, shape [chunks, 8]."""
    full = len(data) // CHUNK_BYTES
    rest = data[full * CHUNK_BYTES :]
    values = np.empty((full + (len(rest) > 0 or full == 0), 8), "<u4")
    words = np.frombuffer(data[: full * CHUNK_BYTES], "<u4").reshape(full, 16, 16)
    for first in range(0, full, _BATCH):
        batch = words[first : first + _BATCH]
        numbers = np.arange(first, first + len(batch), dtype=np.uint64)
        value = np.repeat(key_words.reshape(2, 4, 1), len(batch), axis=2)
        for block in range(16):
            flags = _KEYED | (_START if block == 0 else 0) | (_END if block == 15 else 0)
            value = _compress(value, np.ascontiguousarray(batch[:, block].T), numbers, flags)
        values[first : first + len(batch)] = value.reshape(8, -1).T
    if len(values) > full:
        last = compute_chunk_value(key, bytes(rest), full)
        values[full] = np.frombuffer(last, "<u4")
    return values


def _hash_parents(key_words: _Words, values: _Words) -> _Words:
    """Compute the next level; an odd last node moves up as it is."""
    pairs = len(values) // 2
    above = np.empty((len(values) - pairs, 8), "<u4")
    words = values[: 2 * pairs].reshape(pairs, 16)
    for first in range(0, pairs, _BATCH):
        batch = words[first : first + _BATCH]
        start = np.repeat(key_words.reshape(2, 4, 1), len(batch), axis=2)
        numbers = np.zeros(len(batch), np.uint64)
        value = _compress(start, np.ascontiguousarray(batch.T), numbers, _KEYED | _PARENT)
        above[first : first + len(batch)] = value.reshape(8, -1).T
    above[pairs:] = values[2 * pairs :]
    return above


def _compress(value: _Words, block: _Words, numbers: NDArray[np.uint64], flags: int) -> _Words:
    """Compress full blocks, one a column.

    Args:
        value: Chaining values, shape [2, 4, n].
        block: Message words, shape [16, n].
        numbers: The counters, shape [n].
        flags: The same for all.

    Returns:
        Chaining values, shape [2, 4, n].
    """
    a, b = value[0].copy(), value[1].copy()
    c = np.repeat(_IV.reshape(4, 1), block.shape[1], axis=1)
    d = np.empty_like(c)
    d[0], d[1] = numbers & np.uint64(0xFFFFFFFF), numbers >> np.uint64(32)
    d[2], d[3] = 64, flags
    spare = np.empty_like(c)
    order = np.arange(16)
    for _ in range(7):
        _mix(a, b, c, d, block[order[0:8:2]], block[order[1:8:2]], spare)
        b, c, d = np.roll(b, -1, 0), np.roll(c, -2, 0), np.roll(d, -3, 0)
        _mix(a, b, c, d, block[order[8::2]], block[order[9::2]], spare)
        b, c, d = np.roll(b, 1, 0), np.roll(c, 2, 0), np.roll(d, 3, 0)
        order = order[_PERMUTATION]
    return np.stack((a ^ c, b ^ d))


def _mix(a: Any, b: Any, c: Any, d: Any, x: Any, y: Any, spare: Any) -> None:
    """Apply G to four columns of every message at once, in place."""
    for word, turns in ((x, (16, 12)), (y, (8, 7))):
        a += b
        a += word
        d ^= a
        _rotate(d, turns[0], spare)
        c += d
        b ^= c
        _rotate(b, turns[1], spare)


def _rotate(row: Any, bits: int, spare: Any) -> None:
    np.left_shift(row, 32 - bits, out=spare)
    row >>= bits
    row |= spare
