"""Both stores are one interface; the one on disk is ours, locked and atomic."""

import sqlite3

import pytest

from probatum.consensus.chain.memory_store import MemoryStore
from probatum.consensus.chain.sqlite_store import SqliteStore
from probatum.consensus.tables import BLOCK, NODE, RECORD, TABLES
from probatum.errors import Fault
from probatum.protocol.transactions.kinds import Transfer
from tests.chain import Chain, account

NODES = [number.to_bytes(8, "big") for number in range(8)]


@pytest.fixture(params=["memory", "sqlite", "sqlite, small generations"])
def store(request, tmp_path):
    if request.param == "memory":
        yield MemoryStore()
        return
    held = {"held_bytes": 1_000} if "small" in request.param else {}
    made = SqliteStore.open(tmp_path / "ledger.db", **held)
    yield made
    made.close()


def test_rows_are_put_replaced_deleted_in_order(store):
    a, b, *_ = NODES
    store.commit([(RECORD, b"a", b"1"), (RECORD, b"b", b"2"), (NODE, a, b"3")])
    store.commit([(RECORD, b"a", b"4"), (RECORD, b"b", None), (RECORD, b"none", None)])
    store.commit([(NODE, a, None), (NODE, a, b"5"), (NODE, b, b"6")])
    store.commit([(NODE, b, b"7"), (NODE, b, None)])
    assert store.get(RECORD, b"a") == b"4"
    assert store.get(RECORD, b"b") is None
    assert store.get(NODE, a) == b"5"
    assert store.get(NODE, b) is None
    assert all(store.get(table, NODES[-1]) is None for table in TABLES)


def test_scans_are_ordered_and_bounded(store):
    keys = [b"a", b"ab", b"ab\x00", b"ab\xff", b"ab\xff\xff", b"ac", b"\xff", b"\xff\xff1"]
    store.commit([(RECORD, key, b"v" + key) for key in reversed(keys)])
    under = [k for k in keys if k.startswith(b"ab")]
    assert store.scan(RECORD, b"ab", b"", 10) == tuple((k, b"v" + k) for k in under)
    assert [k for k, _ in store.scan(RECORD, b"ab", b"ab", 2)] == under[1:3]
    assert [k for k, _ in store.scan(RECORD, b"ab", b"ac", 9)] == []
    assert [k for k, _ in store.scan(RECORD, b"\xff", b"", 9)] == [b"\xff", b"\xff\xff1"]
    assert [k for k, _ in store.scan(RECORD, b"", b"", 99)] == sorted(keys)
    assert store.scan(NODE, b"", b"", 9) == ()
    store.commit([(NODE, key, b"v" + key) for key in NODES])
    assert store.scan(NODE, b"", b"", 99) == tuple((key, b"v" + key) for key in NODES)
    assert [k for k, _ in store.scan(NODE, bytes(7), NODES[2], 3)] == NODES[3:6]
    assert store.scan(NODE, bytes(6) + b"\1", b"", 3) == ()


def test_the_disk_holds_what_was_committed(tmp_path):
    path = tmp_path / "ledger.db"
    store = SqliteStore.open(path)
    chain, twin = Chain(store=store), Chain()
    for each in (chain, twin):
        each.block(each.make(account(0), Transfer(to=account(1).address, amount=5)))
    store.close()
    again = SqliteStore.open(path)
    assert Chain(store=again).engine.last_header == twin.engine.last_header
    for table in TABLES:
        assert dict(again.scan(table, b"", b"", 10_000)) == twin.store._tables.get(table, {})
    again.close()


def test_a_commit_that_fails_leaves_nothing(tmp_path):
    store = SqliteStore.open(tmp_path / "ledger.db")
    store.commit([(RECORD, b"a", b"1")])
    with pytest.raises(Fault) as caught:
        store.commit([(RECORD, b"a", b"2"), (BLOCK, b"n", object())])
    assert caught.value.code == "store.failed"
    assert store.get(RECORD, b"a") == b"1"
    with pytest.raises(AssertionError, match="no such tables"):
        store.commit([(RECORD, b"a", b"2"), ("nonsense", b"n", b"")])
    assert store.get(RECORD, b"a") == b"1"
    store.commit([(RECORD, b"a", b"3")])
    assert store.get(RECORD, b"a") == b"3"
    store.close()


def test_a_store_has_one_process_at_a_time(tmp_path):
    path = tmp_path / "ledger.db"
    store = SqliteStore.open(path)
    with pytest.raises(Fault) as caught:
        SqliteStore.open(path)
    assert caught.value.code == "store.in-use"
    store.close()
    SqliteStore.open(path).close()


def test_other_peoples_files_are_left_alone(tmp_path):
    path = tmp_path / "ledger.db"
    with sqlite3.connect(path) as other:
        other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(Fault) as caught:
        SqliteStore.open(path)
    assert caught.value.code == "store.other-format"
    path.write_bytes(b"not a database, but long enough to be looked at" * 100)
    with pytest.raises(Fault) as caught:
        SqliteStore.open(path)
    assert caught.value.code == "store.failed"


def test_commits_are_flushed(tmp_path):
    store = SqliteStore.open(tmp_path / "ledger.db")
    for connection in (store._writer, store._reader):
        assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    store.close()
