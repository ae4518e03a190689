"""The store on disk: one SQLite file, one atomic and flushed transaction a commit.

Write-ahead log with `synchronous=FULL`: when `commit` returns, the rows survive `kill -9` and
loss of power; when it does not, none of them is there. Rows that lie anywhere in large tables go
into a log of our own first, in the same transaction, and into their tables some commits later, see
`memtable`; pages of the state's tree go to their table's end at once, and wait when they are
deleted. Two connections, so that a commit in a worker thread does not hold up readers. One process
at a time, by a lock beside the file. Storm never imports this page. Must not know what the rows
mean.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from probatum.consensus.chain.memtable import (
    GENERATION_BYTES,
    MISSING,
    Layer,
    Memtable,
    Writes,
    read_through,
)
from probatum.consensus.engine import Row
from probatum.consensus.tables import NODE, OUTCOME, RECORD, TABLES
from probatum.errors import Fault

__all__ = ["FrozenStore", "SqliteStore"]

_APPLICATION_ID: Final = int.from_bytes(b"PROB", "big")
_VERSION: Final = 2
_SCATTERED: Final = (RECORD, NODE, OUTCOME)
"""Tables in which a block changes rows anywhere."""
_Rows: TypeAlias = dict[bytes, bytes | None]
_NUMBERED: Final = (NODE,)
"""Tables among them of long values, whose keys are 8 bytes and grow: stored as numbers, so that no
value lies on the way to another, and new ones at the end."""
_NUMBER_BYTES: Final = 8
_WAL_BYTES: Final = 64 * 1024 * 1024
"""Of the disk that a great commit's write-ahead log took, so much is kept for the next."""


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


def _make_column(table: str, key: bytes) -> bytes | int:
    """Make a key what its table has in the column `key`."""
    return int.from_bytes(key, "big") if table in _NUMBERED else key


def _select(
    connection: sqlite3.Connection, table: str, prefix: bytes, after: bytes, end: bytes | None
) -> Generator[tuple[bytes, bytes], None, None]:
    """Yield a table's rows under a prefix, in key order, above `after` and below `end`, if any."""
    query = f"SELECT key, value FROM {table}_rows WHERE key >= ?"  # noqa: S608 - a name from our own list
    fill = _NUMBER_BYTES if table in _NUMBERED else 0
    bounds = [_make_column(table, prefix.ljust(fill, b"\0"))]
    if after:
        query += " AND key > ?"
        bounds.append(_make_column(table, after))
    if end is not None:
        query += " AND key < ?"
        bounds.append(_make_column(table, end.ljust(fill, b"\0")))
    with closing(connection.execute(f"{query} ORDER BY key", bounds)) as cursor:
        if fill:
            yield from ((number.to_bytes(fill, "big"), value) for number, value in cursor)
        else:
            yield from cursor


def _scan(
    connection: sqlite3.Connection,
    layers: tuple[Layer, ...],
    table: str,
    prefix: bytes,
    after: bytes,
    limit: int,
) -> tuple[tuple[bytes, bytes], ...]:
    """List rows of a table with the layers over it, the newest first."""
    assert table in TABLES, f"no table {table}"
    end = _prefix_end(prefix)
    held = (layer.iterate(prefix, after, end) for layer in layers)
    with closing(_select(connection, table, prefix, after, end)) as rows:
        return read_through((*held, rows), limit)


class FrozenStore:
    """A store as it was at one moment; made by `SqliteStore.freeze`."""

    def __init__(
        self, path: Path, connection: sqlite3.Connection, layers: dict[str, tuple[Layer, ...]]
    ) -> None:
        """Use `SqliteStore.freeze` instead."""
        self._path = path
        self._connection = connection
        self._layers = layers
        # The first read of a transaction fixes what all later ones see.
        connection.execute("BEGIN")
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()

    def scan(
        self, table: str, prefix: bytes, after: bytes, limit: int
    ) -> tuple[tuple[bytes, bytes], ...]:
        """List rows, as `SqliteStore.scan` does."""
        with _failing(self._path):
            layers = self._layers.get(table, ())
            return _scan(self._connection, layers, table, prefix, after, limit)

    def close(self) -> None:
        """Let the store forget that moment."""
        self._connection.close()


class SqliteStore:
    """Rows in a SQLite file; made by `open`.

    For one thread that commits and one that reads. What waits for its table is seen a moment after
    the other rows of its commit, unless by `freeze`.
    """

    def __init__(self, path: Path, lock: int, held_bytes: int) -> None:
        """Use `SqliteStore.open` instead."""
        self._path = path
        self._lock = lock
        self._writer = self._connect()
        self._reader = self._connect()
        self._gets = {
            name: f"SELECT value FROM {name}_rows WHERE key = ?"  # noqa: S608 - our own names
            for name in TABLES
        }
        self._held = Memtable(_SCATTERED, held_bytes)
        self._logged = 0
        self._moment = threading.Lock()
        """Held while file and memory are not of the same commit."""

    @classmethod
    def open(cls, path: Path, *, held_bytes: int = GENERATION_BYTES) -> SqliteStore:
        """Open a store, or make an empty one.

        Args:
            path: Its file.
            held_bytes: Memory for rows that are in the log and not in their tables yet; twice
                that at most.

        Raises:
            Fault: `store.in-use`, `store.other-format` for a file that is not ours or of another
                version, `store.corrupt`, `store.failed`.
        """
        lock = _lock(path)
        try:
            store = cls(path, lock, held_bytes)
        except BaseException:
            os.close(lock)
            raise
        try:
            store._prepare()
        except BaseException:
            store.close()
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
                connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES}")
            if is_new:
                self._create()
            self._settle()

    def _create(self) -> None:
        one = self._writer.execute
        one("BEGIN IMMEDIATE")
        for name in TABLES:
            if name in _NUMBERED:
                columns, rest = "key INTEGER PRIMARY KEY, value BLOB NOT NULL", ""
            else:
                columns, rest = "key BLOB PRIMARY KEY, value BLOB NOT NULL", "WITHOUT ROWID"
            one(f"CREATE TABLE {name}_rows ({columns}) {rest}")
        one("CREATE TABLE log (number INTEGER PRIMARY KEY, entry BLOB NOT NULL)")
        one(f"PRAGMA application_id = {_APPLICATION_ID}")
        one(f"PRAGMA user_version = {_VERSION}")
        one("COMMIT")
        _flush_folder(self._path.parent)

    def _settle(self) -> None:
        """Write into the tables what the log holds of the run before, whatever became of it."""
        one = self._writer.execute
        rows: dict[str, _Rows] = {name: {} for name in _SCATTERED}
        for (entry,) in one("SELECT entry FROM log ORDER BY number"):
            for name, some in self._open_entry(entry).items():
                rows[name].update(some)
        one("BEGIN IMMEDIATE")
        for name, found in rows.items():
            self._write(name, sorted(found.items()))
        one("DELETE FROM log")
        one("COMMIT")

    def _open_entry(self, entry: bytes) -> Writes:
        try:
            writes = msgspec.msgpack.decode(entry, type=dict[str, _Rows])
            if writes.keys() <= set(_SCATTERED):
                return writes
        except msgspec.MsgspecError:
            pass
        raise Fault(
            "store.corrupt",
            f"{self._path} has a damaged log",
            hint="restore a backup, or replay the chain into an empty store",
            retryable=False,
        )

    def get(self, table: str, key: bytes) -> bytes | None:
        """Get a committed value, or None. Raises Fault `store.failed`."""
        column: bytes | int = key
        if table in _SCATTERED:
            value = self._held.get(table, key)
            if value is not MISSING:
                return value
            column = _make_column(table, key)
        # Read thousands of times a block: a plain `try` costs less than a context manager.
        try:
            row = self._reader.execute(self._gets[table], (column,)).fetchone()
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
            layers = self._held.get_layers(table) if table in _SCATTERED else ()
            return _scan(self._reader, layers, table, prefix, after, limit)

    def freeze(self) -> FrozenStore:
        """Hold what is committed now, for a reader in another thread; it must be closed.

        Raises:
            Fault: `store.failed`.
        """
        with _failing(self._path), self._moment:
            layers = {name: self._held.copy_layers(name) for name in _SCATTERED}
            return FrozenStore(self._path, self._connect(), layers)

    def commit(self, rows: Iterable[Row]) -> None:
        """Write rows in one transaction and flush it. Raises Fault `store.failed`."""
        puts: dict[str, _Rows] = {}
        for table, key, value in rows:
            puts.setdefault(table, {})[key] = value
        assert not puts.keys() - set(TABLES), f"no such tables: {sorted(puts)}"
        held = self._take_held(puts)
        entry = msgspec.msgpack.encode(held)
        cost, number = self._held.compute_cost(held, len(entry)), self._logged + 1
        share = self._held.make_share(cost)
        run = self._writer
        with _failing(self._path):
            run.execute("BEGIN IMMEDIATE")
            try:
                for table, found in puts.items():
                    self._write(table, tuple(found.items()))
                for table, part in share.rows:
                    self._write(table, part)
                if held:
                    run.execute("INSERT INTO log VALUES (?, ?)", (number, entry))
                if share.done is not None:
                    run.execute("DELETE FROM log WHERE number <= ?", (share.done,))
                with self._moment:
                    run.execute("COMMIT")
                    self._logged = number
                    self._held.advance(number, held, cost, share)
            except BaseException:
                if run.in_transaction:
                    run.execute("ROLLBACK")
                raise

    def _take_held(self, puts: dict[str, _Rows]) -> Writes:
        """Take out the rows that wait for their tables."""
        held: dict[str, _Rows] = {name: puts.pop(name) for name in _SCATTERED if name in puts}
        for name in _NUMBERED:
            rows = held.pop(name, {})
            # What is deleted, and perhaps not in the table yet, comes back the way it went.
            waiting = {
                key: value
                for key, value in rows.items()
                if value is None or self._held.get(name, key) is not MISSING
            }
            puts[name] = {key: value for key, value in rows.items() if key not in waiting}
            if waiting:
                held[name] = waiting
        return held

    def _write(self, table: str, rows: Sequence[tuple[bytes, bytes | None]]) -> None:
        """Write rows of a table."""
        columns = [(_make_column(table, key), value) for key, value in rows]
        self._writer.executemany(
            f"INSERT OR REPLACE INTO {table}_rows VALUES (?, ?)",  # noqa: S608 - our own names
            [item for item in columns if item[1] is not None],
        )
        self._writer.executemany(
            f"DELETE FROM {table}_rows WHERE key = ?",  # noqa: S608 - ditto
            [(key,) for key, value in columns if value is None],
        )

    def close(self) -> None:
        """Close the file and let others have it."""
        self._reader.close()
        self._writer.close()
        os.close(self._lock)
