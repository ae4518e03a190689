"""The fault schedule: by seed, everything within its storm, everything healed after it."""

from __future__ import annotations

from probatum.machine.events import Fired
from probatum.machine.wishes import Journal, SetTimer
from probatum.storm.faults import Faults
from probatum.storm.plan import CALM, ROUGH, Plan
from tests.unit.storm.toys import World, on_start

BUSY = on_start(SetTimer("t", 50)) | {Fired: (Journal("j", (b"r",)), SetTimer("t", 50))}
PLAN = Plan(storm_ms=10_000, crashes=6, traps=6, partitions=2, downtime_ms=(10, 500))


def storm(seed):
    world = World(seed=seed)
    for name in ("a", "b", "c"):
        world.add(name, BUSY)
    faults = Faults(world.kernel, PLAN, {"a": "inference", "b": "gateway", "c": "full"})
    faults.begin()
    world.run(9_999)
    assert world.kernel.network.weather == ROUGH
    world.run(10_000)
    return world


def test_everything_breaks_and_everything_heals():
    sprung = 0
    for seed in range(10):
        world = storm(seed)
        assert world.kernel.network.weather == CALM
        assert world.kernel.network._groups == {}
        assert all(party.machine is not None for party in world.kernel.parties.values())
        assert world.counts("crashes") >= 3
        assert world.counts("partitions") >= 1
        assert world.kernel.trace.findings == []
        sprung += world.counts("crashes at Journal")
        crashed = world.counts("crashes")
        world.run(30_000)
        assert world.counts("crashes") == crashed
    assert sprung > 0


def test_the_schedule_is_the_seeds():
    assert storm(3).kernel.trace.digest == storm(3).kernel.trace.digest
    assert storm(3).kernel.trace.digest != storm(4).kernel.trace.digest
