"""Bounded holding: what a party may keep in memory at one time.

Every map that grows with what others send goes through here. Must not know what is held.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from probatum.errors import Refusal

__all__ = ["Held", "Recent"]

K = TypeVar("K")
V = TypeVar("V")


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
