"""Bounded holding: what a party may keep in memory at one time.

Every map that grows with what others send goes through here. Must not know what is held.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final, Generic, TypeVar

from probatum.errors import Misuse, Refusal

__all__ = ["Held", "Recent", "RecentDigests"]

K = TypeVar("K")
V = TypeVar("V")

_DIGEST_BYTES: Final = 32


class Held(Generic[K, V]):
    """A map that refuses a new entry when it is full: for work that must not be forgotten."""

    def __init__(self, *, limit: int, code: str) -> None:
        """Make an empty map of at most `limit` entries; `code` names the refusal when full."""
        self._limit = limit
        self._code = code
        self._entries: dict[K, V] = {}

    def add(self, key: K, value: V) -> None:
        """Add or replace an entry. Raises Refusal with the map's code if it is full."""
        if key not in self._entries and len(self._entries) >= self._limit:
            raise Refusal(self._code, f"{self._limit} are held already", hint="try again later")
        self._entries[key] = value

    def get(self, key: K) -> V | None:
        """Look an entry up."""
        return self._entries.get(key)

    def remove(self, key: K) -> V | None:
        """Take an entry out, if it is there."""
        return self._entries.pop(key, None)

    def items(self) -> Iterator[tuple[K, V]]:
        """Iterate over a copy of the entries, in order of insertion."""
        return iter(tuple(self._entries.items()))

    def __len__(self) -> int:
        """Count the entries."""
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        """Tell whether an entry is there."""
        return key in self._entries


class Recent(Generic[K, V]):
    """A map that forgets the oldest entry when it is full: for what may be asked again.

    Bounded by the sum of weights; one entry heavier than the limit is not kept at all.
    """

    def __init__(self, *, limit: int, weigh: Callable[[V], int] = lambda _: 1) -> None:
        """Make an empty map of at most `limit` total weight."""
        self._limit = limit
        self._weigh = weigh
        self._total = 0
        self._entries: OrderedDict[K, V] = OrderedDict()

    def put(self, key: K, value: V) -> None:
        """Add or replace an entry, forgetting the oldest ones to make room."""
        old = self._entries.pop(key, None)
        if old is not None:
            self._total -= self._weigh(old)
        weight = self._weigh(value)
        if weight > self._limit:
            return
        self._entries[key] = value
        self._total += weight
        while self._total > self._limit:
            _, gone = self._entries.popitem(last=False)
            self._total -= self._weigh(gone)

    def get(self, key: K) -> V | None:
        """Look an entry up; does not make it younger."""
        return self._entries.get(key)

    def __len__(self) -> int:
        """Count the entries."""
        return len(self._entries)

    def __contains__(self, key: object) -> bool:
        """Tell whether an entry is there."""
        return key in self._entries


class RecentDigests:
    """A set of digests that forgets the oldest half when it is full; 42 bytes each, not 240.

    Holds the last `limit` that were put, and of those before them no more than as many.
    """

    def __init__(self, *, limit: int) -> None:
        """Make an empty set; at its fullest it takes 84 bytes for each of `limit`."""
        self._limit = limit
        self._older = self._newer = _Generation(limit)

    def put(self, digest: bytes) -> None:
        """Add a digest. Raises Misuse `budget.no-digest` if it has not 32 bytes."""
        if len(digest) != _DIGEST_BYTES:
            raise Misuse("budget.no-digest", f"{len(digest)} bytes are no digest")
        if digest in self._newer:
            return
        if len(self._newer) >= self._limit:
            self._older, self._newer = self._newer, _Generation(self._limit)
        self._newer.add(digest)

    def __contains__(self, digest: bytes) -> bool:
        """Tell whether a digest is there."""
        return digest in self._newer or digest in self._older


class _Generation:
    """Digests one behind the other, and where each is: a table twice as long, probed in a row."""

    def __init__(self, limit: int) -> None:
        self._digests = bytearray()
        self._mask = (1 << (2 * limit).bit_length()) - 1
        # Memory that was never written to is not resident.
        self._table = memoryview(bytearray(4 * (self._mask + 1))).cast("I")

    def __len__(self) -> int:
        return len(self._digests) // _DIGEST_BYTES

    def add(self, digest: bytes) -> None:
        """Add a digest that is not there."""
        slot = self._find(digest)
        self._digests += digest
        self._table[slot] = len(self)

    def __contains__(self, digest: bytes) -> bool:
        return self._table[self._find(digest)] != 0

    def _find(self, digest: bytes) -> int:
        """Find the slot that a digest has, or would get: places are counted from 1."""
        # Keyed by the process: nobody can make digests that meet in one slot.
        slot = hash(bytes(digest)) & self._mask
        while place := self._table[slot]:
            if self._digests[_DIGEST_BYTES * (place - 1) : _DIGEST_BYTES * place] == digest:
                break
            slot = (slot + 1) & self._mask
        return slot
