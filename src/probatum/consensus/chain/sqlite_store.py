"""The store on disk: one SQLite file, one atomic and flushed transaction a commit.

Write-ahead log with `synchronous=FULL`: when `commit` returns, the rows survive `kill -9` and
loss of power; when it does not, none of them is there. Two connections, so that a commit in a
worker thread does not hold up readers. One process at a time, by a lock beside the file. Storm
never imports this page. Must not know what the rows mean.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from probatum.consensus.engine import Row
from probatum.consensus.tables import TABLES
from probatum.errors import Fault

__all__ = ["FrozenStore", "SqliteStore"]

_APPLICATION_ID: Final = int.from_bytes(b"PROB", "big")
_VERSION: Final = 1


def _fault(path: Path, error: sqlite3.Error) -> Fault:
    return Fault(
        "store.failed",
        f"{path}: {error}",
        hint="check disk space and the disk's health; what was committed is safe",
        retryable=False,
    )


@contextmanager
def _failing(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _fault(path, error) from error


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(path: Path) -> int:
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise Fault(
            "store.in-use",
            f"another process uses {path}",
            hint="stop it first; a ledger has one writer",
            retryable=False,
        ) from None
    return descriptor


def _prefix_end(prefix: bytes) -> bytes | None:
    """The least key above all that start with a prefix, None if there is none."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes((stem[-1] + 1,)) if stem else None


def _scan(
    connection: sqlite3.Connection, table: str, prefix: bytes, after: bytes, limit: int
) -> tuple[tuple[bytes, bytes], ...]:
    assert table in TABLES, f"no table {table}"
    end = _prefix_end(prefix)
    query = f"SELECT key, value FROM {table}_rows WHERE key >= ? AND key > ?"  # noqa: S608 - a name from our own list
    values: tuple[object, ...] = (prefix, after, limit)
    if end is not None:
        query += " AND key < ?"
        values = (prefix, after, end, limit)
    return tuple(connection.execute(f"{query} ORDER BY key LIMIT ?", values))


class FrozenStore:
    """A store as it was at one moment; made by `SqliteStore.freeze`."""

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        """Use `SqliteStore.freeze` instead."""
        self._path = path
        self._connection = connection
        # The first read of a transaction fixes what all later ones see.
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()

    def scan(
        self, table: str, prefix: bytes, after: bytes, limit: int
    ) -> tuple[tuple[bytes, bytes], ...]:
        """List rows, as `SqliteStore.scan` does."""
        with _failing(self._path):
            return _scan(self._connection, table, prefix, after, limit)

    def close(self) -> None:
        """Let the store forget that moment."""
        self._connection.close()


class SqliteStore:
    """Rows in a SQLite file; made by `open`."""

    def __init__(self, path: Path, lock: int) -> None:
        """Use `SqliteStore.open` instead."""
        self._path = path
        self._lock = lock
        self._writer = self._connect()
        self._reader = self._connect()
        self._gets = {
            name: f"SELECT value FROM {name}_rows WHERE key = ?"  # noqa: S608 - our own names
            for name in TABLES
        }

    @classmethod
    def open(cls, path: Path) -> SqliteStore:
        """Open a store, or make an empty one.

        Raises:
            Fault: `store.in-use`, `store.other-format` for a file that is not ours or of another
                version, `store.failed`.
        """
        lock = _lock(path)
        try:
            store = cls(path, lock)
            store._prepare()
        except BaseException:
            os.close(lock)
            raise
        return store

    def _connect(self) -> sqlite3.Connection:
        with _failing(self._path):
            return sqlite3.connect(
                self._path, isolation_level=None, check_same_thread=False, cached_statements=64
            )

    def _prepare(self) -> None:
        with _failing(self._path):
            one = self._writer.execute
            found = (
                one("PRAGMA application_id").fetchone()[0],
                one("PRAGMA user_version").fetchone()[0],
            )
            is_new = one("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
            if not is_new and found != (_APPLICATION_ID, _VERSION):
                raise Fault(
                    "store.other-format",
                    f"{self._path} is no ledger of this version (found {found})",
                    hint="start with an empty folder, or use the version that wrote it",
                    retryable=False,
                )
            if is_new:
                one("PRAGMA page_size = 8192")
            for connection in (self._writer, self._reader):
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA cache_size = -32768")
            if is_new:
                one("BEGIN IMMEDIATE")
                for name in TABLES:
                    one(
                        f"CREATE TABLE {name}_rows"
                        " (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID"
                    )
                one(f"PRAGMA application_id = {_APPLICATION_ID}")
                one(f"PRAGMA user_version = {_VERSION}")
                one("COMMIT")
                _flush_folder(self._path.parent)

    def get(self, table: str, key: bytes) -> bytes | None:
        """Get a committed value, or None. Raises Fault `store.failed`."""
        # Read thousands of times a block: a plain `try` costs less than a context manager.
        try:
            row = self._reader.execute(self._gets[table], (key,)).fetchone()
        except sqlite3.Error as error:
            raise _fault(self._path, error) from error
        return None if row is None else row[0]

    def scan(
        self, table: str, prefix: bytes, after: bytes, limit: int
    ) -> tuple[tuple[bytes, bytes], ...]:
        """List at most `limit` rows under a prefix, in key order, with keys above `after`.

        Raises:
            Fault: `store.failed`.
        """
        with _failing(self._path):
            return _scan(self._reader, table, prefix, after, limit)

    def freeze(self) -> FrozenStore:
        """Hold what is committed now, for a reader in another thread; it must be closed.

        Raises:
            Fault: `store.failed`.
        """
        with _failing(self._path):
            return FrozenStore(self._path, self._connect())

    def commit(self, rows: Iterable[Row]) -> None:
        """Write rows in one transaction and flush it. Raises Fault `store.failed`."""
        puts: dict[str, dict[bytes, bytes | None]] = {}
        for table, key, value in rows:
            puts.setdefault(table, {})[key] = value
        run = self._writer
        with _failing(self._path):
            run.execute("BEGIN IMMEDIATE")
            try:
                for table in TABLES:
                    found = puts.pop(table, {})
                    run.executemany(
                        f"INSERT OR REPLACE INTO {table}_rows VALUES (?, ?)",  # noqa: S608 - ditto
                        [item for item in found.items() if item[1] is not None],
                    )
                    run.executemany(
                        f"DELETE FROM {table}_rows WHERE key = ?",  # noqa: S608 - ditto
                        [(key,) for key, value in found.items() if value is None],
                    )
                assert not puts, f"no such tables: {sorted(puts)}"
                run.execute("COMMIT")
            except BaseException:
                if run.in_transaction:
                    run.execute("ROLLBACK")
                raise

    def close(self) -> None:
        """Close the file and let others have it."""
        self._reader.close()
        self._writer.close()
        os.close(self._lock)
