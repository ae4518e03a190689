"""The kernel grants wishes as the shell does: timers, journals, computations, chance, crashes."""

from __future__ import annotations

import os
import subprocess
import sys

from probatum.errors import Fault
from probatum.machine.events import Computed, Durable, Fired, Started
from probatum.machine.wishes import CancelTimer, Compute, Halt, Journal, Report, SetTimer
from probatum.protocol.primitives import make_digest
from probatum.protocol.tensors import Tensor
from probatum.storm.kernel import START_MS
from tests.unit.storm.toys import World, on_start

PACKAGE = make_digest(bytes(32))
ONE = Tensor(name="x", dtype="uint8", shape=(1,), data=b"\x01")


def codes(world):
    return [finding.code for finding in world.kernel.trace.findings]


def test_started_comes_first_and_time_is_virtual():
    toy = World().add("a")
    assert toy.seen == [(START_MS, Started())]


def test_a_timer_fires_once_after_its_time():
    world = World()
    toy = world.add("a", on_start(SetTimer("t", 250)))
    world.run()
    assert [(at - START_MS, event) for at, event in toy.seen[1:]] == [(250, Fired("t"))]


def test_setting_a_timer_again_replaces_it():
    world = World()
    toy = world.add("a", on_start(SetTimer("t", 250), SetTimer("u", 10), SetTimer("t", 30)))
    world.run()
    assert [(at - START_MS, e.timer) for at, e in toy.seen[1:]] == [(10, "u"), (30, "t")]


def test_a_timer_taken_back_does_not_fire():
    world = World()
    start = on_start(SetTimer("t", 20), SetTimer("u", 10))
    toy = world.add("a", start | {Fired: (CancelTimer("t"),)})
    world.run()
    assert [event.timer for event in toy.of(Fired)] == ["u"]


def test_a_timer_set_when_it_fires_runs_again():
    world = World()
    toy = world.add("a", on_start(SetTimer("t", 300)) | {Fired: (SetTimer("t", 300),)})
    world.run()
    assert len(toy.of(Fired)) == 3


def test_timers_of_an_earlier_life_stay_silent():
    world = World()
    world.add("a", on_start(SetTimer("t", 100)))
    world.kernel.plan(50, lambda: world.kernel.crash("a"))
    world.kernel.plan(60, lambda: world.kernel.start("a"))
    world.run()
    first, second = world.lives["a"]
    assert first.of(Fired) == []
    assert [at - START_MS for at, event in second.seen if isinstance(event, Fired)] == [160]


def test_computing_takes_time_and_uses_the_engine():
    world = World()
    double = lambda _, inputs: inputs + inputs  # noqa: E731
    toy = world.add("a", on_start(Compute("j", PACKAGE, (ONE,))), engine=double)
    world.run()
    ((at, event),) = [(at, e) for at, e in toy.seen if isinstance(e, Computed)]
    assert event == Computed("j", (ONE, ONE))
    assert 5 <= at - START_MS <= 60


def test_a_party_without_an_engine_gets_a_fault():
    world = World()
    toy = world.add("a", on_start(Compute("j", PACKAGE, (ONE,))))
    world.run()
    assert isinstance(toy.of(Computed)[0].outcome, Fault)


def test_a_computation_dies_with_its_party():
    world = World()
    world.add("a", on_start(Compute("j", PACKAGE, (ONE,))), engine=lambda _, inputs: inputs)
    world.kernel.crash("a")
    world.kernel.start("a")
    world.run()
    assert len(world.lives["a"][0].of(Computed)) == 0
    assert len(world.lives["a"][1].of(Computed)) == 1


def test_a_step_that_raises_is_a_finding_and_ends_the_party():
    def trip(_):
        raise ValueError("tripped")

    world = World()
    world.add("a", on_start(SetTimer("t", 10)) | {Fired: trip})
    world.run()
    (finding,) = world.kernel.trace.findings
    assert (finding.code, finding.party) == ("kernel.step-raised", "a")
    assert "tripped" in finding.message
    assert "test_kernel.py" in finding.message
    assert world.kernel.parties["a"].machine is None


def test_a_party_that_cannot_be_built_is_a_finding():
    world = World()

    def build(_):
        raise ValueError("bad disk")

    world.kernel.add("a", "http://a", build)
    world.kernel.start("a")
    assert codes(world) == ["kernel.start-raised"]


def test_halt_ends_the_party_for_good():
    world = World()
    world.add("a", on_start(Halt("a.done", "no"), Journal("j", (b"never",))))
    world.kernel.start("a")
    world.run()
    assert codes(world) == ["kernel.halted"]
    assert len(world.lives["a"]) == 1
    assert world.kernel.parties["a"].disk.journal == []


def test_reports_are_counted_by_code():
    world = World()
    world.add("a", on_start(Report("warning", "a.odd", "odd"), Report("info", "a.even", "even")))
    assert world.counts("report warning a.odd") == 1


def test_entropy_is_fresh_in_every_step_and_every_life():
    world = World()
    world.add("a", on_start(SetTimer("t", 1), SetTimer("u", 2)))
    world.add("b")
    world.run(10)
    world.kernel.crash("a")
    world.kernel.start("a")
    world.run(20)
    toys = [*world.lives["a"], *world.lives["b"]]
    drawn = [entropy for toy in toys for entropy in toy.entropies]
    assert len(set(drawn)) == len(drawn) == 7
    assert all(len(entropy) == 32 for entropy in drawn)


def test_a_trap_springs_after_the_wish_and_before_those_behind_it():
    world = World()
    script = on_start(Journal("j", (b"1",)), Compute("c", PACKAGE, ()), Journal("k", (b"2",)))
    world.kernel.plan(0, lambda: None)
    world.add("a")
    world.kernel.crash("a")
    world.lives["a"].clear()
    party = world.kernel.parties["a"]

    def build(disk):
        from tests.unit.storm.toys import Toy

        toy = Toy(script)
        world.lives["a"].append(toy)
        return toy

    party.build = build
    world.kernel.trap("a", Compute)
    world.kernel.start("a")
    assert party.machine is None
    assert b"2" not in party.disk.journal
    assert world.counts("crashes at Compute") == 1
    world.kernel.start("a")
    world.run()
    assert party.disk.journal[-2:] == [b"1", b"2"]
    assert [e.ticket for e in world.lives["a"][1].of(Durable)] == ["j", "k"]


def test_a_trap_lets_as_many_go_by_as_it_is_told():
    world = World()
    world.add(
        "a", on_start(SetTimer("t", 10)) | {Fired: (Journal("j", (b"r",)), SetTimer("t", 10))}
    )
    world.kernel.trap("a", Journal, skip=2)
    world.run()
    assert len(world.lives["a"][0].of(Fired)) == 3


STORM_OF_TOYS = """
from tests.unit.storm.test_network import run_a_busy_day
print(run_a_busy_day(7).kernel.trace.digest)
"""


def test_the_same_seed_gives_the_same_trace_whatever_the_hash_seed():
    digests = {
        subprocess.run(
            [sys.executable, "-c", STORM_OF_TOYS],
            capture_output=True,
            text=True,
            check=True,
            env=os.environ | {"PYTHONHASHSEED": hash_seed, "PYTHONPATH": ".:src"},
        ).stdout
        for hash_seed in ("0", "1", "4711")
    }
    assert len(digests) == 1
