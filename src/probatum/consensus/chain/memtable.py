"""Rows that are committed and not in their tables yet: held in memory, written in order of keys.

A block changes rows anywhere in a large table, and each would cost a page of the file to itself.
So a commit appends such rows to a log, in one piece, and they stay here. When a *generation* of
them is full the next one begins, and every commit from then on writes a share of the full one into
the tables, neighbours together and each row once, however often it changed: shares are such that
it is written before the next one is full. Whoever opens the log again writes all of it first. Must
not know disks, nor what rows mean. Read next: `sqlite_store`.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

__all__ = ["GENERATION_BYTES", "MISSING", "Layer", "Memtable", "Share", "Writes", "read_through"]

Writes: TypeAlias = Mapping[str, Mapping[bytes, bytes | None]]
"""New values by table and key; None deletes."""

GENERATION_BYTES: Final = 32 * 1024 * 1024
"""What a full generation takes in memory; there are two at most, and what one commit adds."""
_COMMITS: Final = 128
"""A generation is full after so many commits at the latest: rows of small ones do not wait long."""
MISSING: Final = b"missing"
"""Said, by identity, of a key of which nothing is held."""
_ROW_BYTES: Final = 200
"""What a row takes in memory beside its key and value."""


class Layer:
    """What a generation holds of one table."""

    __slots__ = ("_keys", "rows")

    def __init__(self, rows: dict[bytes, bytes | None]) -> None:
        """Hold rows; whoever adds to them takes none away."""
        self.rows = rows
        self._keys: list[bytes] = []

    @property
    def keys(self) -> list[bytes]:
        """The keys in order; sorted when they are asked for."""
        keys = self._keys
        if len(keys) != len(self.rows):
            # A commit in another thread may add rows meanwhile, not while this copies the keys.
            # New ones stand at the end, and to sort two ordered runs is to merge them.
            new = list(self.rows)[len(keys) :]
            self._keys = keys = sorted(keys + sorted(new))
        return keys

    def iterate(
        self, prefix: bytes, after: bytes, end: bytes | None
    ) -> Iterator[tuple[bytes, bytes | None]]:
        """Yield rows under a prefix, in key order, above `after` and below `end`, if any."""
        keys = self.keys
        first = max(bisect_left(keys, prefix), bisect_right(keys, after))
        last = len(keys) if end is None else bisect_left(keys, end)
        for place in range(first, last):
            yield keys[place], self.rows[keys[place]]


def read_through(
    layers: Iterable[Iterable[tuple[bytes, bytes | None]]], limit: int
) -> tuple[tuple[bytes, bytes], ...]:
    """List at most `limit` rows of layers over one another.

    Args:
        layers: The rows of each in key order, the newest layer first; the oldest is the table.
        limit: How many.
    """
    found: list[tuple[bytes, bytes]] = []
    last = None
    for key, _, value in heapq.merge(*(_mark(age, rows) for age, rows in enumerate(layers))):
        if key == last:
            continue
        last = key
        if value is not None:
            if len(found) == limit:
                break
            found.append((key, value))
    return tuple(found)


def _mark(
    age: int, rows: Iterable[tuple[bytes, bytes | None]]
) -> Iterator[tuple[bytes, int, bytes | None]]:
    for key, value in rows:
        yield key, age, value


class _Generation:
    """Rows of consecutive commits, each key's last one."""

    __slots__ = ("cost", "last", "layers")

    def __init__(self, names: Iterable[str]) -> None:
        self.layers = {name: Layer({}) for name in names}
        self.cost = 0
        self.last = -1

    def count(self) -> int:
        return sum(len(layer.rows) for layer in self.layers.values())


@dataclass(frozen=True, slots=True, kw_only=True)
class Share:
    """What the next commit writes into the tables.

    Attributes:
        rows: By table, in key order.
        place: Table and row at which the share after it begins.
        done: The number of the last entry of the log that nobody needs then; None if there is
            none.
    """

    rows: tuple[tuple[str, list[tuple[bytes, bytes | None]]], ...] = ()
    place: tuple[int, int] = (0, 0)
    done: int | None = None


class Memtable:
    """The generations: one that grows, and one that is being written, if any.

    One thread at a time commits: it asks for a share, writes it, and `advance`s. Others may read:
    first here, then in the table, where a row may have come from here meanwhile.
    """

    def __init__(self, names: Iterable[str], limit_bytes: int) -> None:
        """Hold nothing yet, of the tables of these names; a generation is full at so much."""
        self._names = tuple(names)
        self._limit = limit_bytes
        self._growing = _Generation(self._names)
        self._full: _Generation | None = None
        self._full_count = 0
        self._place = (0, 0)
        self._layers: dict[str, tuple[Layer, ...]] = {}
        self._show()

    def _show(self) -> None:
        """Let readers see both generations as they are now, at once."""
        shown = (self._growing, self._full) if self._full else (self._growing,)
        self._layers = {
            name: tuple(generation.layers[name] for generation in shown) for name in self._names
        }

    def get(self, table: str, key: bytes) -> bytes | None:
        """Get what is held of a key: its value, None if it is deleted, else `MISSING`."""
        for layer in self._layers[table]:
            value = layer.rows.get(key, MISSING)
            if value is not MISSING:
                return value
        return MISSING

    def get_layers(self, table: str) -> tuple[Layer, ...]:
        """Get what is held of a table, the newest layer first."""
        return self._layers[table]

    def copy_layers(self, table: str) -> tuple[Layer, ...]:
        """Get what is held of a table, as it is now and stays."""
        return tuple(Layer(dict(layer.rows)) for layer in self._layers[table])

    def compute_cost(self, writes: Writes, entry_bytes: int) -> int:
        """Compute what a commit takes of a generation, by its rows' memory; as long in the log."""
        held_bytes = entry_bytes + _ROW_BYTES * sum(len(rows) for rows in writes.values())
        return max(held_bytes, self._limit // _COMMITS)

    def make_share(self, cost: int) -> Share:
        """Say what a commit writes beside its own entry in the log.

        Args:
            cost: Of its own rows.
        """
        full = self._full
        if full is None:
            return Share()
        left = self._full_count * cost // self._limit + 1
        table, row = self._place
        parts: list[tuple[str, list[tuple[bytes, bytes | None]]]] = []
        while left > 0 and table < len(self._names):
            layer = full.layers[self._names[table]]
            order = layer.keys
            keys = order[row : row + left]
            parts.append((self._names[table], [(key, layer.rows[key]) for key in keys]))
            left -= len(keys)
            row += len(keys)
            if row == len(order):
                table, row = table + 1, 0
        done = full.last if table == len(self._names) else None
        return Share(rows=tuple(parts), place=(table, row), done=done)

    def advance(self, number: int, writes: Writes, cost: int, share: Share) -> None:
        """Take note of a commit.

        Args:
            number: Of its entry in the log; they grow.
            writes: Its rows.
            cost: Theirs.
            share: What it wrote into the tables.
        """
        growing = self._growing
        for name, rows in writes.items():
            growing.layers[name].rows.update(rows)
        growing.cost += cost
        growing.last = number
        self._place = share.place
        if share.done is not None:
            self._full = None
        if self._full is None and growing.cost >= self._limit:
            self._full, self._growing = growing, _Generation(self._names)
            self._full_count, self._place = growing.count(), (0, 0)
        self._show()
