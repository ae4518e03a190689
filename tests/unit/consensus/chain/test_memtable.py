"""Rows that wait for their tables: the same as if none waited, whatever happens in between."""

import random
import sqlite3
import threading

import pytest

from probatum.consensus.chain.memory_store import MemoryStore
from probatum.consensus.chain.memtable import MISSING, Layer, Memtable, read_through
from probatum.consensus.chain.sqlite_store import SqliteStore
from probatum.consensus.tables import META, NODE, OUTCOME, RECORD
from probatum.errors import Fault

SCATTERED = (RECORD, NODE, OUTCOME)


@pytest.fixture(params=[1, 3_000, 20_000])
def open_store(request, tmp_path):
    """Opens the same store again and again; generations are full soon."""
    return lambda: SqliteStore.open(tmp_path / "ledger.db", held_bytes=request.param)


def make_rows(chance):
    return [
        (
            chance.choice(SCATTERED),
            chance.randrange(60).to_bytes(8, "big"),
            chance.choice((None, chance.randbytes(3))),
        )
        for _ in range(chance.randrange(12))
    ]


def check_same(store, twin):
    for table in SCATTERED:
        for number in range(60):
            key = number.to_bytes(8, "big")
            assert store.get(table, key) == twin.get(table, key)
        for after, limit in ((b"", 999), (b"", 7), ((30).to_bytes(8, "big"), 9)):
            assert store.scan(table, b"", after, limit) == twin.scan(table, b"", after, limit)


@pytest.mark.parametrize("seed", range(3))
def test_what_waits_is_read_as_if_it_did_not(open_store, seed):
    chance, store, twin = random.Random(seed), open_store(), MemoryStore()
    for turn in range(60):
        rows = make_rows(chance)
        store.commit(rows)
        twin.commit(rows)
        if turn % 10 == 9:
            check_same(store, twin)
            frozen, past = store.freeze(), twin.scan(RECORD, b"", b"", 999)
            store.commit([(RECORD, b"frozen", b"1")])
            assert frozen.scan(RECORD, b"", b"", 999) == past
            frozen.close()
            store.commit([(RECORD, b"frozen", None)])
        if turn % 17 == 16:
            store.close()
            store = open_store()
            check_same(store, twin)
    store.close()


def test_what_waits_never_grows_past_two_generations(open_store):
    chance, store = random.Random(1), open_store()
    limit = store._held._limit
    for _ in range(200):
        store.commit([(RECORD, chance.randbytes(8), bytes(50)) for _ in range(5)])
        waiting = sum(len(layer.rows) for layer in store._held.get_layers(RECORD))
        assert waiting * 250 <= 2 * limit + 3 * 5 * 300
        entries = store._writer.execute("SELECT count(*) FROM log").fetchone()[0]
        assert entries * 5 * 250 <= 2 * limit + 3 * 5 * 300
    assert store._writer.execute("SELECT count(*) FROM record_rows").fetchone()[0] > 500
    store.close()


def test_rows_of_small_commits_wait_for_few(tmp_path):
    store = SqliteStore.open(tmp_path / "ledger.db")
    for number in range(3 * 128):
        store.commit([(RECORD, b"%03d" % number, b"")])
        held = [key for layer in store._held.get_layers(RECORD) for key in layer.rows]
        assert len(held) <= 2 * 128
    assert min(held) == b"%03d" % 256
    assert store._writer.execute("SELECT count(*) FROM log").fetchone() == (128,)
    store.close()


def test_a_commit_that_fails_is_as_if_it_had_not_been(open_store):
    chance, store, twin = random.Random(2), open_store(), MemoryStore()
    for _ in range(40):
        rows = make_rows(chance)
        with pytest.raises(Fault):
            store.commit([*rows, ("block", b"b", object())])
        check_same(store, twin)
        store.commit(rows)
        twin.commit(rows)
    store.close()
    store = open_store()
    check_same(store, twin)
    store.close()


def test_killed_after_any_commit_all_of_it_is_there(open_store, tmp_path):
    chance, store, twin = random.Random(3), open_store(), MemoryStore()
    for turn in range(12):
        rows = make_rows(chance)
        store.commit(rows)
        twin.commit(rows)
        copy = tmp_path / f"copy-{turn}.db"
        with sqlite3.connect(copy) as other:
            store._writer.backup(other)
        other.close()
        again = SqliteStore.open(copy, held_bytes=1_000)
        check_same(again, twin)
        again.close()
    store.close()


def test_new_pages_do_not_wait_and_those_that_go_do(open_store):
    store = open_store()
    one, other = bytes(7) + b"1", bytes(7) + b"2"

    def count_pages():
        return store._reader.execute("SELECT count(*) FROM node_rows").fetchone()[0]

    store.commit([(NODE, one, b"1"), (NODE, other, b"2")])
    assert count_pages() == 2
    store.commit([(NODE, one, None)])
    assert store.get(NODE, one) is None
    # A block that was taken back is applied again: its pages have the same ids.
    store.commit([(NODE, one, b"again")])
    for _ in range(9):
        store.commit([(RECORD, bytes(2_000), bytes(2_000))])
    assert store.scan(NODE, b"", b"", 9) == ((one, b"again"), (other, b"2"))
    store.close()
    store = open_store()
    assert store.scan(NODE, b"", b"", 9) == ((one, b"again"), (other, b"2"))
    assert count_pages() == 2
    store.close()


@pytest.mark.parametrize("entry", [b"", b"\xc1", b"\x80\x00", b"\x81\xa4meta\x80"])
def test_a_damaged_log_is_named(open_store, entry):
    store = open_store()
    store.commit([(RECORD, b"a", b"1")])
    store._writer.execute("INSERT INTO log VALUES (9, ?)", (entry,))
    store.close()
    with pytest.raises(Fault) as caught:
        open_store()
    assert caught.value.code == "store.corrupt"


def test_opening_leaves_nothing_waiting(open_store):
    for number in range(30):
        store = open_store()
        assert store._writer.execute("SELECT count(*) FROM log").fetchone() == (0,)
        assert len(store.scan(RECORD, b"", b"", 99)) == number
        store.commit([(RECORD, b"%02d" % number, b"1")])
        store.close()


def test_who_cannot_open_keeps_nobody_out(open_store, tmp_path):
    store = open_store()
    store.commit([(RECORD, b"a", b"1")])
    store._writer.execute("INSERT INTO log VALUES (9, ?)", (b"",))
    store.close()
    with pytest.raises(Fault) as caught:
        open_store()
    with sqlite3.connect(tmp_path / "ledger.db") as other:
        other.execute("DELETE FROM log WHERE number = 9")
    other.close()
    assert caught.value.code == "store.corrupt"
    store = open_store()
    assert store.get(RECORD, b"a") == b"1"
    store.close()


def test_what_is_frozen_is_of_one_commit(open_store, monkeypatch):
    """Another thread freezes when the disk has a commit that memory does not know of."""
    store, found = open_store(), []
    store.commit([(META, b"n", b"1"), (RECORD, b"n", b"1")])
    advance = store._held.advance

    def freeze():
        frozen = store.freeze()
        found.extend(frozen.scan(table, b"n", b"", 9) for table in (META, RECORD))
        frozen.close()

    def wait_and_advance(*noted):
        thread.start()
        thread.join(0.1)
        advance(*noted)

    thread = threading.Thread(target=freeze)
    monkeypatch.setattr(store._held, "advance", wait_and_advance)
    store.commit([(META, b"n", b"2"), (RECORD, b"n", b"2")])
    thread.join()
    assert found == [((b"n", b"2"),)] * 2
    store.close()


def test_no_commit_comes_between_what_waits_and_what_does_not(open_store, monkeypatch):
    store = open_store()
    store.commit([(RECORD, b"z", b"0")])
    connect = store._connect

    def commit():
        for number in range(20):
            store.commit([(RECORD, b"m%d" % number, bytes(900))])

    def wait_and_connect():
        thread.start()
        thread.join(0.1)
        return connect()

    thread = threading.Thread(target=commit)
    monkeypatch.setattr(store, "_connect", wait_and_connect)
    frozen = store.freeze()
    thread.join()
    assert frozen.scan(RECORD, b"", b"", 99) == ((b"z", b"0"),)
    frozen.close()
    store.close()


def test_layers_lie_over_one_another():
    old = [(b"a", b"1"), (b"b", b"2"), (b"d", b"4")]
    newest = [(b"b", None), (b"c", b"3"), (b"d", None)]
    middle = [(b"d", b"5"), (b"e", b"6")]
    assert read_through((newest, middle, old), 9) == ((b"a", b"1"), (b"c", b"3"), (b"e", b"6"))
    assert read_through((newest, middle, old), 2) == ((b"a", b"1"), (b"c", b"3"))
    assert read_through((old,), 0) == ()
    layer = Layer({b"ab": b"1", b"aa": None, b"b": b"2"})
    assert list(layer.iterate(b"a", b"aa", b"b")) == [(b"ab", b"1")]
    layer.rows[b"a"] = b"0"
    assert [key for key, _ in layer.iterate(b"", b"", None)] == [b"a", b"aa", b"ab", b"b"]


def test_nothing_held_is_not_deleted():
    held = Memtable((RECORD,), 1)
    held.advance(1, {RECORD: {b"a": None}}, 10, held.make_share(10))
    assert held.get(RECORD, b"a") is None
    assert held.get(RECORD, b"b") is MISSING
