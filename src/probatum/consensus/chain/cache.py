"""Tables of a store behind a cache: what was read lately stays in memory.

The cache has two generations, the older of which goes in bulk: as good as a least-recently-used
list for a state that is read again and again, at the price of two dictionaries. Must not know
what it holds.
"""

from __future__ import annotations

from probatum.consensus.engine import Store

__all__ = ["CachedTable", "Generations"]


class Generations:
    """At most twice `limit` entries."""

    __slots__ = ("_limit", "_old", "_young")

    def __init__(self, limit: int) -> None:
        """Make an empty cache."""
        self._limit = limit
        self._young: dict[bytes, bytes] = {}
        self._old: dict[bytes, bytes] = {}

    def get(self, key: bytes) -> bytes | None:
        """Look an entry up, and keep it for another generation."""
        value = self._young.get(key)
        if value is None:
            value = self._old.get(key)
            if value is not None:
                self.put(key, value)
        return value

    def put(self, key: bytes, value: bytes) -> None:
        """Add or replace an entry."""
        self._young[key] = value
        if len(self._young) >= self._limit:
            self._old = self._young
            self._young = {}

    def remove(self, key: bytes) -> None:
        """Take an entry out, if it is there."""
        self._young.pop(key, None)
        self._old.pop(key, None)


class CachedTable:
    """One table of a store, read through a cache that only committed rows enter."""

    __slots__ = ("_cache", "_store", "_table")

    def __init__(self, store: Store, table: str, limit: int) -> None:
        """Read a table with a cache of `limit` entries a generation."""
        self._store = store
        self._table = table
        self._cache = Generations(limit)

    def get(self, key: bytes) -> bytes | None:
        """Get a value, or None."""
        value = self._cache.get(key)
        if value is None:
            value = self._store.get(self._table, key)
            if value is not None:
                self._cache.put(key, value)
        return value

    def scan(self, prefix: bytes, after: bytes, limit: int) -> tuple[tuple[bytes, bytes], ...]:
        """List rows under a prefix, past the cache."""
        return self._store.scan(self._table, prefix, after, limit)

    def note(self, key: bytes, value: bytes | None) -> None:
        """Take note of a committed row."""
        if value is None:
            self._cache.remove(key)
        else:
            self._cache.put(key, value)
