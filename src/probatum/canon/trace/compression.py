"""BLAKE3's tree hash, keyed, in plain Python (`CANON-5`).

The library hashes whole tensors, but whoever checks an opening needs what it does not show: the
chaining value of one chunk and of one parent. Four words are worked on at once, in lanes of 64 bits
of one integer: a compression takes some 30 microseconds, an opening one or two milliseconds.

Source: O'Connor, Aumasson, Neves, Wilcox-O'Hearn, "BLAKE3: one function, fast everywhere" (2020),
§2. Must not know tensors.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import itemgetter
from struct import Struct
from typing import Final, TypeAlias

__all__ = ["CHUNK_BYTES", "compute_chunk_value", "compute_parent_value"]

CHUNK_BYTES: Final = 1024
BLOCK_BYTES: Final = 64

_CHUNK_START: Final = 1
_CHUNK_END: Final = 2
_PARENT: Final = 4
_ROOT: Final = 8
_KEYED: Final = 16

_LANE: Final = 64
_ALL: Final = sum(0xFFFFFFFF << _LANE * lane for lane in range(4))
_LANES: Final = Struct("<4Q")
_WORDS: Final = Struct("<16I")
_Pick: TypeAlias = Callable[[tuple[int, ...]], tuple[int, ...]]
_IV: Final = (0x6A09E667, 0xBB67AE85, 0x3C6EF372, 0xA54FF53A)
"""The first four words of BLAKE3's IV (SHA-256's): all that a compression takes of it."""
_PERMUTATION: Final = (2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8)


def _list_schedule() -> tuple[tuple[_Pick, _Pick, _Pick, _Pick], ...]:
    """List for each round what picks the words of its four half-steps, lane by lane."""
    order = tuple(range(16))
    rounds = []
    for _ in range(7):
        halves = (order[0:8:2], order[1:8:2], order[8::2], order[9::2])
        first, second, third, fourth = (itemgetter(*half) for half in halves)
        rounds.append((first, second, third, fourth))
        order = tuple(order[source] for source in _PERMUTATION)
    return tuple(rounds)


_SCHEDULE: Final = _list_schedule()


def _pack(words: tuple[int, ...]) -> int:
    return int.from_bytes(_LANES.pack(*words), "little")


_IV_LANES: Final = _pack(_IV)


def _mix(a: int, b: int, c: int, d: int, x: int, y: int) -> tuple[int, int, int, int]:
    """Apply G to four columns at once; bits that leave a lane are masked away."""
    a = (a + b + x) & _ALL
    d ^= a
    d = (d >> 16 | d << 16) & _ALL
    c = (c + d) & _ALL
    b ^= c
    b = (b >> 12 | b << 20) & _ALL
    a = (a + b + y) & _ALL
    d ^= a
    d = (d >> 8 | d << 24) & _ALL
    c = (c + d) & _ALL
    b ^= c
    b = (b >> 7 | b << 25) & _ALL
    return a, b, c, d


def _turn(value: int, lanes: int) -> int:
    """Rotate lanes downwards."""
    shift = _LANE * lanes
    return value >> shift | (value & ((1 << shift) - 1)) << 4 * _LANE - shift


def _compress(
    value: tuple[int, int], block: bytes, counter: int, length: int, flags: int
) -> tuple[int, int]:
    """Compress a block of 64 bytes into a chaining value, both halves of four lanes."""
    words = _WORDS.unpack(block)
    a, b = value
    c = _IV_LANES
    d = _pack((counter & 0xFFFFFFFF, counter >> 32, length, flags))
    for first, second, third, fourth in _SCHEDULE:
        a, b, c, d = _mix(a, b, c, d, _pack(first(words)), _pack(second(words)))
        b, c, d = _turn(b, 1), _turn(c, 2), _turn(d, 3)
        a, b, c, d = _mix(a, b, c, d, _pack(third(words)), _pack(fourth(words)))
        b, c, d = _turn(b, 3), _turn(c, 2), _turn(d, 1)
    return a ^ c, b ^ d


def _load(value: bytes) -> tuple[int, int]:
    words = Struct("<8I").unpack(value)
    return _pack(words[:4]), _pack(words[4:])


def _store(value: tuple[int, int]) -> bytes:
    halves = (half.to_bytes(32, "little") for half in value)
    return b"".join(half[at : at + 4] for half in halves for at in (0, 8, 16, 24))


def compute_chunk_value(key: bytes, chunk: bytes, number: int, *, is_root: bool = False) -> bytes:
    """Compute the chaining value of a chunk, or the hash of a message of one chunk.

    Args:
        key: 32 bytes.
        chunk: At most 1,024 bytes; fewer only in a message's last chunk, none only in an empty one.
        number: The chunk's place in the message.
        is_root: Whether the message is this chunk alone.
    """
    value = _load(key)
    last = max(len(chunk) - 1, 0) // BLOCK_BYTES
    for at in range(last + 1):
        block = chunk[at * BLOCK_BYTES : (at + 1) * BLOCK_BYTES]
        flags = _KEYED | (_CHUNK_START if at == 0 else 0)
        if at == last:
            flags |= _CHUNK_END | (_ROOT if is_root else 0)
        value = _compress(value, block.ljust(BLOCK_BYTES, b"\x00"), number, len(block), flags)
    return _store(value)


def compute_parent_value(key: bytes, left: bytes, right: bytes, *, is_root: bool = False) -> bytes:
    """Compute the chaining value of two subtrees' parent, or the hash where it is the root.

    Args:
        key: 32 bytes.
        left: Chaining value of the first subtree, 32 bytes.
        right: Chaining value of the second.
        is_root: Whether nothing is above.
    """
    flags = _KEYED | _PARENT | (_ROOT if is_root else 0)
    return _store(_compress(_load(key), left + right, 0, BLOCK_BYTES, flags))
