"""A disk that fails at any call, and a process killed after any: each commit is there or is not."""

import random
import shutil
import sqlite3
from pathlib import Path

import pytest

from probatum.consensus.chain.memory_store import MemoryStore
from probatum.consensus.chain.sqlite_store import SqliteStore
from probatum.consensus.tables import BLOCK, META, NODE, OUTCOME, RECORD
from probatum.errors import Fault

WRITTEN = (RECORD, NODE, OUTCOME, META, BLOCK)
KEYS = [number.to_bytes(8, "big") for number in range(40)]
HELD_BYTES = (1, 500, 3_000, 9_000, 40_000)


class Disk:
    """A store's writing connection: fails at a call, before or after it is done; tells of each."""

    def __init__(self, store):
        self.link, self.left, self.done_first = store._writer, None, False
        self.told = lambda: None
        store._writer = self

    def __getattr__(self, name):
        return getattr(self.link, name)

    def _call(self, call, statement, *values):
        fails = False
        if self.left is not None and statement != "ROLLBACK":
            self.left -= 1
            fails = self.left < 0
            if fails:
                self.left = None
                # What is committed and then said to have failed no store can tell from the other.
                if not self.done_first or statement == "COMMIT":
                    raise sqlite3.OperationalError("disk full")
        found = call(statement, *values)
        self.told()
        if fails:
            raise sqlite3.OperationalError("disk full")
        return found

    def execute(self, *said):
        return self._call(self.link.execute, *said)

    def executemany(self, *said):
        return self._call(self.link.executemany, *said)


def draw_rows(chance):
    return [
        (
            chance.choice(WRITTEN),
            chance.choice(KEYS),
            chance.choice((None, chance.randbytes(3), b"")),
        )
        for _ in range(chance.randrange(14))
    ]


def check_same(store, twin):
    for table in WRITTEN:
        assert store.scan(table, b"", b"", 999) == twin.scan(table, b"", b"", 999), table
        for key in KEYS:
            assert store.get(table, key) == twin.get(table, key), (table, key)


@pytest.mark.parametrize("seed", range(4))
def test_a_disk_that_fails_anywhere(tmp_path, seed):
    chance, twin = random.Random(seed), MemoryStore()
    failed = 0
    for _ in range(7):
        store = SqliteStore.open(tmp_path / "ledger.db", held_bytes=chance.choice(HELD_BYTES))
        check_same(store, twin)
        disk = Disk(store)
        for _ in range(13):
            rows = draw_rows(chance)
            if chance.random() < 0.4:
                disk.left, disk.done_first = chance.randrange(22), chance.random() < 0.5
            try:
                store.commit(rows)
                twin.commit(rows)
            except Fault:
                failed += 1
            disk.left = None
            check_same(store, twin)
        store.close()
    assert failed > 10


@pytest.mark.parametrize("seed", range(2))
def test_a_process_killed_after_any_call(tmp_path, seed):
    chance, twin = random.Random(seed), MemoryStore()
    path = tmp_path / "ledger.db"
    store = SqliteStore.open(path, held_bytes=2_500)
    disk, copies = Disk(store), []

    def copy():
        copies.append(tmp_path / f"copy-{len(copies)}.db")
        for end in ("", "-wal"):
            shutil.copy(f"{path}{end}", f"{copies[-1]}{end}")

    disk.told = copy
    for _ in range(12):
        rows = draw_rows(chance)
        copies.clear()
        store.commit(rows)
        for each in copies:
            if each is copies[-1]:
                twin.commit(rows)
            hold_copy(each, twin, chance)
    store.close()


def hold_copy(path, before, chance):
    """Open what a killed process left, write on, and open it again."""
    twin = MemoryStore()
    twin.commit(
        (table, key, value) for table in WRITTEN for key, value in before.scan(table, b"", b"", 999)
    )
    for _ in range(2):
        store = SqliteStore.open(path, held_bytes=chance.choice(HELD_BYTES))
        check_same(store, twin)
        for _ in range(chance.randrange(6)):
            rows = draw_rows(chance)
            store.commit(rows)
            twin.commit(rows)
        check_same(store, twin)
        store.close()
    for left in Path(path.parent).glob(f"{path.name}*"):
        left.unlink()
