"""The disk keeps the order of writes and loses, in a crash, only what nobody was told is safe."""

from __future__ import annotations

from probatum.machine.events import Durable, Fired
from probatum.machine.wishes import Commit, Journal, SetTimer
from probatum.storm.disk import DiskPace
from probatum.storm.kernel import START_MS
from tests.unit.storm.toys import World, on_start


def list_durable(toy):
    return [(at - START_MS, event.ticket) for at, event in toy.seen if isinstance(event, Durable)]


def test_records_become_durable_in_order_and_then_survive():
    world = World()
    toy = world.add("a", on_start(Journal("1", (b"a", b"b")), Journal("2", (b"c",))))
    world.run()
    assert [ticket for _, ticket in list_durable(toy)] == ["1", "2"]
    world.kernel.crash("a")
    world.kernel.start("a")
    assert world.lives["a"][1].journal == (b"a", b"b", b"c")


def test_what_comes_during_a_flush_waits_for_the_next_one():
    world = World()
    toy = world.add(
        "a",
        on_start(Journal("1", (b"a",)), SetTimer("t", 1))
        | {Fired: (Journal("2", (b"b",)), Journal("3", (b"c",)))},
    )
    world.run()
    assert list_durable(toy) == [(2, "1"), (4, "2"), (4, "3")]


def test_a_crash_in_mid_flush_keeps_a_prefix_of_whole_records():
    kept = set()
    for seed in range(40):
        world = World(seed=seed)
        toy = world.add("a", on_start(Journal("1", (b"a", b"b")), Journal("2", (b"c", b"d"))))
        world.kernel.plan(1, lambda world=world: world.kernel.crash("a"))
        world.run()
        assert list_durable(toy) == []
        kept.add(tuple(world.kernel.parties["a"].disk.journal))
    assert kept == {(b"a", b"b", b"c", b"d")[:size] for size in range(5)}


def test_a_crash_never_takes_what_was_called_durable():
    for seed in range(20):
        world = World(seed=seed)
        world.add(
            "a",
            on_start(Journal("1", (b"safe",))) | {Durable: (Journal("2", (b"not yet",)),)},
        )
        world.kernel.plan(3, lambda world=world: world.kernel.crash("a"))
        world.run(3)
        assert world.kernel.parties["a"].disk.journal[0] == b"safe"


def test_a_commit_is_whole_or_not_there():
    rows = (("t", b"a", b"1"), ("t", b"b", b"2"), ("u", b"a", b"3"))
    seen = set()
    for seed in range(20):
        world = World(seed=seed)
        world.add("a", on_start(Commit("c", rows)))
        world.kernel.plan(1, lambda world=world: world.kernel.crash("a"))
        world.run()
        tables = world.kernel.parties["a"].disk.tables
        assert tables in ({}, {"t": {b"a": b"1", b"b": b"2"}, "u": {b"a": b"3"}})
        seen.add(bool(tables))
    assert seen == {True, False}


def test_commits_delete_and_replace_in_order():
    world = World()
    toy = world.add(
        "a",
        on_start(
            Commit("1", (("t", b"a", b"1"), ("t", b"b", b"1"))),
            Commit("2", (("t", b"a", None), ("t", b"b", b"2"), ("v", b"z", None))),
        ),
    )
    world.run()
    assert world.kernel.parties["a"].disk.tables == {"t": {b"b": b"2"}}
    assert [ticket for _, ticket in list_durable(toy)] == ["1", "2"]


def test_a_slow_disk_is_slow():
    pace = DiskPace(flush_ms=(2, 2), slow_rate=1.0, slow_ms=300)
    world = World(pace=pace)
    toy = world.add("a", on_start(Journal("1", (b"a",))))
    world.run()
    assert list_durable(toy) == [(302, "1")]


def test_lost_records_and_torn_writes_are_counted():
    lost = torn = 0
    for seed in range(20):
        world = World(seed=seed)
        world.add("a", on_start(Journal("1", (b"a", b"b", b"c"))))
        world.kernel.crash("a")
        lost += world.counts("journal writes lost")
        torn += world.counts("torn writes")
    assert lost > 0
    assert torn > 0
