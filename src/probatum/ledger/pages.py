"""Pages of slots of the state map's tree: four levels of inner nodes in one row (`STATE-1`).

A page at *level* n holds the inner nodes with bit indexes 4n to 4n + 3 that stand above one
another, by what hangs below them: sixteen slots, one for each value of nibble n of key hashes.
Inner nodes stand only where both their halves are filled, so the slots say which there are; their
hashes are computed again when the page is, for less than it costs to read them. Where few leaves
are left a page is a *bucket* instead. Pure functions of bytes. Must not know stores nor versions.
Read next: `buckets`, `statemap`.

A page:

    0x02 ‖ level u8 ‖ key hash of any key below 32 ‖ filled slots u16 ‖ leaves among them u16
    ‖ for each filled slot in order its ref: page id 8 ‖ digest 32
                                      or leaf key hash 32 ‖ value hash 32 ‖ digest 32

A page id: version of the update u40 ‖ 1 bit, set for buckets ‖ counter u23. Pages of slots are
replaced sooner, so they stand together: a store in the order of ids drops them together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final, TypeAlias

from probatum.ledger.buckets import BUCKET, INNER_HEADS, LEAF_BYTES, compute_bucket_steps

__all__ = [
    "NIBBLES",
    "NODE_ID_BYTES",
    "PAGE_REF",
    "VERSION_BYTES",
    "Ref",
    "Slots",
    "compute_steps",
    "count_shared",
    "encode_page",
    "get_level",
    "get_nibble",
    "is_bucket",
    "make_id",
    "split_page",
]

Ref: TypeAlias = bytes | None
Slots: TypeAlias = list[bytes | None]
"""Sixteen refs, in the order of nibbles."""

NIBBLES: Final = 16
VERSION_BYTES: Final = 5
NODE_ID_BYTES: Final = VERSION_BYTES + 3
"""Length of a page's id, which begins with the version that wrote it."""
PAGE_REF: Final = NODE_ID_BYTES + 32
"""Length of a page's ref; a leaf's is longer."""
_COUNTER_BITS: Final = 8 * (NODE_ID_BYTES - VERSION_BYTES)
_BUCKETS: Final = 1 << _COUNTER_BITS - 1
_HEAD: Final = 38
_BITS: Final = 4
_sha256: Final = hashlib.sha256
_ALL: Final = (1 << NIBBLES) - 1
_FULL: Final = _HEAD + NIBBLES * PAGE_REF


def make_id(version: int, counter: int, *, bucket: bool) -> bytes:
    """Make the id of a page, by its update's version and how many pages that wrote before."""
    assert counter < _BUCKETS, "more pages than one update can make"
    number = version << _COUNTER_BITS | (_BUCKETS if bucket else 0) | counter
    return number.to_bytes(NODE_ID_BYTES, "big")


def get_nibble(key_hash: bytes, level: int) -> int:
    """Get a key hash's nibble at a level."""
    byte = key_hash[level >> 1]
    return byte & 15 if level & 1 else byte >> 4


def count_shared(one: bytes, other: bytes) -> int:
    """Count the leading nibbles that two key hashes share."""
    differing = int.from_bytes(one, "big") ^ int.from_bytes(other, "big")
    return 256 - differing.bit_length() >> 2


def is_bucket(page: bytes) -> bool:
    """Tell whether a page is a bucket."""
    return page[0] == BUCKET


def get_level(page: bytes) -> int:
    """Get the level that a page of slots stands at."""
    return page[1]


def split_page(page: bytes) -> Slots:
    """Get the slots of a page of slots."""
    filled, leaves = int.from_bytes(page[34:36], "big"), int.from_bytes(page[36:38], "big")
    if filled == _ALL and not leaves:
        return [page[at : at + PAGE_REF] for at in range(_HEAD, _FULL, PAGE_REF)]
    slots: Slots = [None] * NIBBLES
    at = _HEAD
    for nibble in range(NIBBLES):
        if filled >> nibble & 1:
            end = at + (LEAF_BYTES if leaves >> nibble & 1 else PAGE_REF)
            slots[nibble] = page[at:end]
            at = end
    return slots


def encode_page(level: int, member: bytes, slots: Slots) -> tuple[bytes, bytes]:
    """Encode a page and compute its digest, that of its topmost inner node.

    Args:
        level: Its level.
        member: Begins with the hash of any key below.
        slots: What hangs below; one at least.
    """
    filled = leaves = 0
    refs: list[bytes] = []
    for nibble, slot in enumerate(slots):
        if slot is not None:
            refs.append(slot)
            filled |= 1 << nibble
            if len(slot) != PAGE_REF:
                leaves |= 1 << nibble
    head = b"\x02%c%b%b%b" % (
        level,
        member[:32],
        filled.to_bytes(2, "big"),
        leaves.to_bytes(2, "big"),
    )
    *_, top = _iterate_digests(level, slots)
    return head + b"".join(refs), top[0] or b""


def _iterate_digests(level: int, slots: Slots) -> Iterator[Slots]:
    """Yield the digests at each bit of a page, from its sixteen slots to its one top.

    Where a half is empty the other's digest stands for both: no inner node is there.
    """
    row: Slots = [slot and slot[-32:] for slot in slots]
    yield row
    for bit in range(_BITS - 1, -1, -1):
        head, halves = INNER_HEADS[_BITS * level + bit], iter(row)
        row = [
            _sha256(head + left + right).digest() if left and right else left or right
            for left, right in zip(halves, halves, strict=True)
        ]
        yield row


def compute_steps(page: bytes, key_hash: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """Walk through a page as a key does.

    Returns:
        Bit index and sibling's digest of each inner node on the walk, from the top downwards; and
        the ref of what the walk comes to.
    """
    if is_bucket(page):
        return compute_bucket_steps(page, key_hash)
    level, slots = get_level(page), split_page(page)
    rows = list(_iterate_digests(level, slots))[::-1]
    nibble = get_nibble(key_hash, level)
    steps: list[tuple[int, bytes]] = []
    place = 0
    for bit in range(_BITS):
        wanted = 2 * place + (nibble >> (_BITS - 1 - bit) & 1)
        taken, sibling = rows[bit + 1][wanted], rows[bit + 1][wanted ^ 1]
        if taken and sibling:
            steps.append((_BITS * level + bit, sibling))
        # Where only one half is filled there is no inner node, and no turn to take.
        place = wanted if taken else wanted ^ 1
    ref = slots[place]
    assert ref is not None, "a page without slots"
    return steps, ref
