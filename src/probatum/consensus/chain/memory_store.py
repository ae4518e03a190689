"""The store in memory: the twin of `sqlite_store` for storm and tests.

It works on a mapping that the caller may own, as storm's simulated disk does. Must not know what
the rows mean.
"""

from __future__ import annotations

from collections.abc import Iterable
from heapq import nsmallest

from probatum.consensus.engine import Row

__all__ = ["MemoryStore"]


class MemoryStore:
    """Rows in dictionaries."""

    def __init__(self, tables: dict[str, dict[bytes, bytes]] | None = None) -> None:
        """Work on `tables` (table, key, value), or on new and empty ones."""
        self._tables = {} if tables is None else tables

    def get(self, table: str, key: bytes) -> bytes | None:
        """Get a value, or None."""
        rows = self._tables.get(table)
        return None if rows is None else rows.get(key)

    def scan(
        self, table: str, prefix: bytes, after: bytes, limit: int
    ) -> tuple[tuple[bytes, bytes], ...]:
        """List at most `limit` rows under a prefix, in key order, with keys above `after`."""
        rows = self._tables.get(table, {})
        keys = nsmallest(limit, (k for k in rows if k.startswith(prefix) and k > after))
        return tuple((key, rows[key]) for key in keys)

    def commit(self, rows: Iterable[Row]) -> None:
        """Write rows, in order."""
        for table, key, value in rows:
            if value is None:
                self._tables.get(table, {}).pop(key, None)
            else:
                self._tables.setdefault(table, {})[key] = value
