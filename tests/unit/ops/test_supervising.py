"""Keeping validators up: the application first, always again, and only moving time is life."""

from __future__ import annotations

import itertools
import random

import pytest

from probatum.ops.supervising import (
    AHEAD,
    CALM_S,
    LINGER_S,
    LONGEST_DELAY_S,
    RESTARTS,
    LastBlock,
    Say,
    Seen,
    Start,
    Stop,
    Supervisor,
)

NAMES = ("validator-1", "validator-2", "validator-3", "validator-4")
STILL_S = 15.0


class World:
    """Toy validators: processes that start when told, and blocks while three of four run."""

    def __init__(self, names=NAMES):
        self.now = 100.0
        self.supervisor = Supervisor(names, still_s=STILL_S, now_s=self.now)
        self.app = dict.fromkeys(names, "down")
        self.engine = dict.fromkeys(names, False)
        self.block = dict.fromkeys(names)
        self.height = 0
        self.diverged = set()
        self.broken = set()
        self.hanging = set()
        self.stuck = {}
        self.silent = set()
        self.full = set()
        self.peers_height = dict.fromkeys(names)
        self.stops = []
        self.said = []
        self.starts = []

    def step(self, seconds=0.1):
        self.now += seconds
        for name, state in self.app.items():
            if state == "starting":
                self.app[name] = "ready"
            if self.app[name] == "down" and name not in self.hanging:
                self.engine[name] = False
        up = [n for n in self.app if self.app[n] == "ready" and self.engine[n]]
        if 3 * len([n for n in up if n not in self.diverged]) > 2 * len(self.app):
            self.height += 1
        for name in up:
            if name not in self.diverged and not self.stuck.get(name):
                self.block[name] = LastBlock(height=self.height, time_ms=1_000 * self.height)
        seen = {
            name: Seen(
                app=self.app[name],
                engine=self.engine[name],
                block=self.block[name] if self.engine[name] and name not in self.silent else None,
                peers_height=self.peers_height[name],
                cause="it disagrees" if name in self.diverged else "",
                has_room=name not in self.full,
            )
            for name in self.app
        }
        for action in self.supervisor.decide(seen, self.now):
            match action:
                case Start(name=name, part=part):
                    self.starts.append((self.now, name, part))
                    if (name, part) in self.broken:
                        continue
                    if part == "app":
                        assert self.app[name] == "down"
                        self.app[name] = "starting"
                    else:
                        assert self.app[name] == "ready", "the application comes first"
                        assert not self.engine[name]
                        self.engine[name] = True
                case Stop(name=name, part="app"):
                    self.stops.append((self.now, name))
                    self.app[name] = "down"
                    self.stuck[name] = self.stuck.get(name, 1) - 1
                case Stop(name=name):
                    self.engine[name] = False
                    self.hanging.discard(name)
                case Say():
                    self.said.append(action)

    def run(self, seconds):
        until = self.now + seconds
        while self.now < until:
            self.step()

    def get_codes(self):
        return [one.code for one in self.said]


def test_everything_starts_the_application_before_its_engine():
    world = World()
    world.run(2)
    assert all(world.engine.values())
    assert [part for _, _, part in world.starts] == ["app"] * 4 + ["engine"] * 4
    assert world.said == []
    assert world.height > 5


@pytest.mark.parametrize("part", ["app", "engine"])
def test_what_ends_is_started_again_whatever_its_exit_code(part):
    world = World()
    world.run(CALM_S + 5)
    if part == "app":
        world.app["validator-2"] = "down"  # its engine then ends too, with exit code 0
    else:
        world.engine["validator-2"] = False
    world.run(1)
    assert world.app["validator-2"] == "ready"
    assert world.engine["validator-2"]
    assert world.said == []


def test_what_keeps_ending_is_tried_ever_later_and_told():
    world = World()
    world.broken.add(("validator-3", "engine"))
    world.run(300)
    tries = [at for at, name, part in world.starts if (name, part) == ("validator-3", "engine")]
    gaps = [after - before for before, after in itertools.pairwise(tries)]
    assert gaps[0] < 1
    assert gaps[-1] == pytest.approx(LONGEST_DELAY_S, abs=0.5)
    assert len(tries) < 20
    told = [one for one in world.said if one.code == "validator.restarts"]
    assert told
    assert {one.name for one in told} == {"validator-3"}
    world.broken.clear()
    world.run(LONGEST_DELAY_S + 1)
    assert world.engine["validator-3"]
    world.run(CALM_S + 1)
    world.engine["validator-3"] = False
    world.run(1)
    assert world.engine["validator-3"], "it lived long: the delays begin anew"


def test_what_got_on_before_it_ended_is_started_again_at_once():
    world = World()
    world.run(2)
    for _ in range(20):
        world.app["validator-2"] = "down"
        world.run(1)
        assert world.engine["validator-2"], "killed again and again, it is back within a second"
        world.run(1)
    assert world.said == []


def test_a_validator_that_lives_and_does_not_move_is_named_once():
    world = World()
    world.run(5)
    world.diverged.add("validator-4")
    height = world.height
    world.run(60)
    (told,) = world.said
    assert (told.code, told.name) == ("validator.still", "validator-4")
    assert f"at height {height}" in told.text
    assert "it disagrees" in told.text
    assert world.stops == [], "no restart mends it"
    world.diverged.clear()
    world.run(2)
    assert world.get_codes() == ["validator.still", "validator.moves"]


def test_one_that_stands_still_alone_is_started_again():
    world = World()
    world.run(5)
    world.stuck["validator-2"] = 2  # so many restarts does it take
    world.run(STILL_S + 1)
    assert world.get_codes() == ["validator.still", "validator.revived"]
    world.run(2 * STILL_S + 5)
    assert world.get_codes()[2:] == ["validator.revived", "validator.moves"]
    (first, name), (second, _) = world.stops
    assert name == "validator-2"
    assert second - first == pytest.approx(2 * STILL_S, abs=0.5)
    world.run(5 * STILL_S)
    world.stuck["validator-2"] = 1
    world.run(STILL_S + 5)
    assert len(world.stops) == 3, "it was well for a while: it begins anew"
    assert world.block["validator-2"].height == world.height


def test_one_that_falls_silent_is_started_again_but_not_one_that_has_not_spoken_yet():
    world = World()
    world.run(5)
    world.silent.add("validator-3")
    world.run(STILL_S + 2)
    assert [name for _, name in world.stops] == ["validator-3"]
    world.run(20 * STILL_S)
    assert len(world.stops) == 1, "it may be computing its past again"


def test_what_no_restart_mends_is_left_as_it_is_in_the_end():
    world = World()
    world.run(5)
    world.stuck["validator-2"] = 1 << 30
    world.run(60 * STILL_S)
    assert len(world.stops) == RESTARTS
    gaps = [after - before for (before, _), (after, _) in itertools.pairwise(world.stops)]
    assert gaps == [pytest.approx(STILL_S * 2**n, abs=0.5) for n in range(1, RESTARTS)]
    assert world.get_codes() == ["validator.still", *["validator.revived"] * 3, "validator.stuck"]
    assert world.engine["validator-2"], "it answers, for whoever looks into it"


def test_nobody_is_started_again_where_nobody_moves():
    world = World()
    world.run(5)
    world.broken |= {("validator-1", "app"), ("validator-2", "app")}
    world.app["validator-1"] = world.app["validator-2"] = "down"
    world.run(20 * STILL_S)
    assert world.stops == []
    world.broken.clear()
    world.run(LONGEST_DELAY_S + 2)
    assert all(world.engine.values())
    assert world.stops == [], "nor when it moves again"


@pytest.mark.parametrize("names", [("mine",), NAMES])
def test_who_stood_still_on_a_full_disk_is_started_again_once_there_is_room(names):
    """Its engine votes no more after one write that failed, and says that all is well."""
    world = World(names)
    world.run(5)
    last = names[-1]
    world.full.add(last)
    world.run(3 * STILL_S)
    assert world.stops == [], "it moves"
    world.stuck[last] = 1 << 30
    world.run(60 * STILL_S)
    tried = len(world.stops)
    assert tried == (0 if len(names) == 1 else RESTARTS), "in vain"
    assert world.said[0].code == ("chain.still" if len(names) == 1 else "validator.still")
    assert "full" in world.said[0].text
    world.stuck[last] = 1
    world.full.clear()
    world.run(3)
    assert [name for _, name in world.stops[tried:]] == [last]
    assert (
        "disk was full" in [one for one in world.said if one.code == "validator.revived"][-1].text
    )
    assert world.block[last].height == world.height
    world.run(10 * STILL_S)
    assert len(world.stops) == tried + 1


def test_one_without_a_block_or_an_answer_is_left_alone():
    """It fetches a snapshot, or computes its past again: a restart would begin that anew."""
    world = World()
    world.stuck["validator-4"] = 1 << 30
    world.run(10 * STILL_S)
    assert world.block["validator-4"] is None
    assert world.stops == []
    assert world.get_codes() == ["validator.still"]


def test_one_alone_is_started_again_if_its_peers_go_on():
    world = World(("mine",))
    world.run(3)
    world.stuck["mine"] = 1
    height = world.block["mine"].height
    for ahead, stops in ((AHEAD - 1, 0), (AHEAD, 1)):
        world.peers_height["mine"] = height + ahead
        world.run(STILL_S + 2)
        assert len(world.stops) == stops, "they may only be about to decide the next block"
    world.run(2)
    assert world.block["mine"].height > height


def test_a_chain_that_stands_still_is_told_as_one_thing():
    world = World()
    world.run(5)
    world.broken |= {("validator-1", "app"), ("validator-2", "app")}
    world.app["validator-1"] = world.app["validator-2"] = "down"
    world.run(60)
    told = [one for one in world.said if one.code != "validator.restarts"]
    assert [one.code for one in told] == ["chain.still"]
    assert "2 of 4 validators run" in told[0].text
    world.broken.clear()
    world.run(LONGEST_DELAY_S + 2)
    told = [one.code for one in world.said if one.code != "validator.restarts"]
    assert told == ["chain.still", "chain.moves"]


def test_who_does_not_follow_when_the_chain_moves_again_is_named():
    world = World()
    world.run(5)
    world.app["validator-1"] = world.app["validator-2"] = "down"
    world.broken |= {("validator-1", "app"), ("validator-2", "app")}
    world.run(40)
    world.broken.discard(("validator-2", "app"))
    world.run(LONGEST_DELAY_S + STILL_S + 5)
    told = [(one.code, one.name) for one in world.said if one.code != "validator.restarts"]
    assert told == [("chain.still", ""), ("chain.moves", ""), ("validator.still", "validator-1")]


def test_an_engine_that_hangs_without_its_application_is_ended():
    seen = {"v": Seen(app="starting", engine=True)}
    supervisor = Supervisor(("v",), still_s=1e9, now_s=0.0)
    assert supervisor.decide(seen, 0.0) == ()
    assert supervisor.decide(seen, LINGER_S) == ()
    assert supervisor.decide(seen, LINGER_S + 0.1) == (Stop(name="v", part="engine"),)
    assert supervisor.decide(seen, LINGER_S + 0.2) == ()


def test_an_engine_that_outlives_its_application_is_ended_although_another_one_is_ready():
    """Seen of CometBFT: killed of its application in mid-start, it stopped half and stayed."""
    world = World()
    world.run(5)
    world.hanging.add("validator-2")
    world.app["validator-2"] = "down"
    world.run(1)
    assert world.app["validator-2"] == "ready"
    assert world.engine["validator-2"], "it hangs"
    world.run(LINGER_S + 1)
    assert world.hanging == set(), "it was ended"
    assert world.engine["validator-2"], "and started again"
    starts = [name for _, name, part in world.starts if part == "engine"]
    assert starts.count("validator-2") == 2


def test_one_validator_alone_is_told_of_as_the_chain():
    world = World(("validator-1",))
    world.run(3)
    world.diverged.add("validator-1")
    world.run(STILL_S + 2)
    assert world.get_codes() == ["chain.still"]
    assert "has no peers" in world.said[0].text


def test_one_with_peers_or_without_an_answer_is_not_called_alone():
    for is_silent in (False, True):
        world = World(("validator-1",))
        world.run(3)
        world.diverged.add("validator-1")
        world.peers_height["validator-1"] = None if is_silent else 1
        world.silent.update(["validator-1"] if is_silent else [])
        world.run(STILL_S + 2)
        assert world.get_codes() == ["chain.still"]
        assert "no peers" not in world.said[0].text


@pytest.mark.parametrize("seed", range(20))
def test_whatever_is_killed_everything_runs_in_the_end(seed):
    world, chance = World(), random.Random(seed)
    for _ in range(60):
        world.run(chance.uniform(0.1, 4))
        name = chance.choice(NAMES)
        if chance.random() < 0.5:
            world.app[name] = "down"
        else:
            world.engine[name] = False
    world.run(2 * LONGEST_DELAY_S + 2)
    assert all(world.engine.values())
    assert set(world.app.values()) == {"ready"}
    before = world.height
    world.run(2)
    assert world.height > before
