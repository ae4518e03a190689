"""What breaks, and when: crashes, traps between two wishes, partitions, clocks, all by seed.

A crashed party is started again after a downtime, as its supervisor would. Must not know roles
beyond the wishes that are worth dying at.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from probatum.machine.wishes import Commit, Compute, Journal, Reply, Send, Wish
from probatum.storm.kernel import Kernel, Party
from probatum.storm.loop import Action, derive_chance
from probatum.storm.plan import CALM, Plan

__all__ = ["TRAPS", "Faults"]

TRAPS: Final[Mapping[str, Sequence[type[Wish]]]] = {
    "inference": (Compute, Journal, Reply, Send),
    "gateway": (Journal, Send, Reply),
    "full": (Commit, Reply),
}
"""At which wishes a party of each role is made to crash."""


class Faults:
    """The fault schedule of one storm."""

    def __init__(self, kernel: Kernel, plan: Plan, victims: Mapping[str, str]) -> None:
        """Make a schedule for `victims`, names with their roles; nothing happens yet."""
        self._kernel = kernel
        self._plan = plan
        self._victims = dict(sorted(victims.items()))
        self._chance = derive_chance(kernel.seed, "faults")
        self._blowing = False

    def begin(self) -> None:
        """Let the storm blow from now for `storm_ms`, then heal everything."""
        plan, names = self._plan, list(self._victims)
        self._blowing = True
        self._kernel.on_end = self._raise_again
        self._kernel.network.weather = plan.weather
        for _ in range(plan.crashes):
            self._kernel.plan(self._draw_ms(), self._make_crash(self._chance.choice(names)))
        for _ in range(plan.traps):
            self._kernel.plan(self._draw_ms(), self._make_trap(self._chance.choice(names)))
        for _ in range(plan.partitions):
            self._kernel.plan(self._draw_ms(), self._fall_apart)
        for _ in range(plan.clock_jumps):
            self._kernel.plan(self._draw_ms(), self._make_jump(self._chance.choice(names)))
        self._kernel.plan(plan.storm_ms, self.heal)

    def heal(self) -> None:
        """End the storm: calm weather, one network, no traps, everybody up."""
        self._blowing = False
        self._kernel.network.weather = CALM
        self._kernel.network.heal()
        for party in self._kernel.parties.values():
            party.trap = None
            self._kernel.start(party.name)

    def _draw_ms(self) -> int:
        return self._chance.randrange(self._plan.storm_ms)

    def _make_crash(self, name: str) -> Action:
        return lambda: self._kernel.crash(name)

    def _make_trap(self, name: str) -> Action:
        wish = self._chance.choice(TRAPS[self._victims[name]])
        skip = self._chance.randrange(3)
        return lambda: self._kernel.trap(name, wish, skip=skip)

    def _make_jump(self, name: str) -> Action:
        skew_ms = self._chance.randint(-self._plan.skew_ms, self._plan.skew_ms)

        def jump() -> None:
            self._kernel.trace.count("clock jumps")
            self._kernel.parties[name].clock_skew_ms = skew_ms

        return jump

    def _fall_apart(self) -> None:
        if not self._blowing:
            return
        names = sorted(self._kernel.parties)
        self._chance.shuffle(names)
        cut = self._chance.randrange(1, len(names))
        self._kernel.network.partition((frozenset(names[:cut]),))
        self._kernel.plan(self._chance.randint(*self._plan.partition_ms), self._kernel.network.heal)

    def _raise_again(self, party: Party) -> None:
        delay_ms = self._chance.randint(*self._plan.downtime_ms) if self._blowing else 50
        self._kernel.plan(delay_ms, lambda: self._kernel.start(party.name))
