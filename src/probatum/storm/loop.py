"""Virtual time: what happens next, in an order that depends on nothing but the storm itself.

Must not know parties. Read next: `kernel`.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from typing import TypeAlias

__all__ = ["Action", "Loop", "derive_chance"]

Action: TypeAlias = Callable[[], None]
"""Something that happens at one moment of virtual time."""


class Loop:
    """Actions by virtual millisecond; those of one millisecond in order of planning."""

    def __init__(self, *, start_ms: int = 0) -> None:
        """Make an empty loop whose clock shows `start_ms`."""
        self.now_ms = start_ms
        self._planned: list[tuple[int, int, Action]] = []
        self._counter = 0

    def at(self, time_ms: int, action: Action) -> None:
        """Plan an action for a moment, for now if the moment has passed."""
        self._counter += 1
        heapq.heappush(self._planned, (max(time_ms, self.now_ms), self._counter, action))

    def after(self, delay_ms: int, action: Action) -> None:
        """Plan an action for `delay_ms` from now."""
        self.at(self.now_ms + delay_ms, action)

    def run_until(self, time_ms: int, *, is_enough: Callable[[], bool] | None = None) -> None:
        """Let everything up to a moment happen, then show that moment.

        Args:
            time_ms: Where to stop; actions planned for this very moment still happen.
            is_enough: Asked after every action; True stops at once, with the clock as it is.
        """
        while self._planned and self._planned[0][0] <= time_ms:
            self.now_ms, _, action = heapq.heappop(self._planned)
            action()
            if is_enough is not None and is_enough():
                return
        self.now_ms = max(self.now_ms, time_ms)

    def __len__(self) -> int:
        """Count what is planned."""
        return len(self._planned)


def derive_chance(seed: int, purpose: str) -> random.Random:
    """Make the seeded generator of one purpose.

    Each purpose draws from its own stream, so that one more draw for the network does not move
    every crash of the same seed.
    """
    return random.Random(f"probatum/storm/{seed}/{purpose}")  # noqa: S311 - to be repeatable is the point
