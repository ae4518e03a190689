"""Timers of one driver, by name. Must not know what they are for.

Each request sets several and takes most back: a timer of the event loop each would cost more than
a step does. So the loop has one, for the earliest, and those taken back are passed over when due.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from heapq import heapify, heappop, heappush
from typing import Final

__all__ = ["Timers"]

_EARLY_S: Final = 0.001
"""Event loops count milliseconds; they may come by so much too soon."""
_FEW: Final = 1_024
"""Of so many that wait or were taken back none is looked for."""


class Timers:
    """Timers of one event loop; each fires once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fire: Callable[[str], None]) -> None:
        """Make it without timers; `fire` is called with the name of each that runs out."""
        self._loop = loop
        self._fire = fire
        self._numbers: dict[str, int] = {}
        self._queue: list[tuple[float, int, str]] = []
        self._set = 0
        self._wakes_at = math.inf
        self._handle: asyncio.TimerHandle | None = None

    def set(self, timer: str, after_s: float) -> None:
        """Set a timer; one that is set again is replaced."""
        self._set += 1
        self._numbers[timer] = self._set
        due = self._loop.time() + after_s
        heappush(self._queue, (due, self._set, timer))
        if due < self._wakes_at:
            self._wake_at(due)
        elif len(self._queue) > _FEW + 2 * len(self._numbers):
            self._queue = [one for one in self._queue if self._numbers.get(one[2]) == one[1]]
            heapify(self._queue)

    def cancel(self, timer: str) -> None:
        """Take a timer back; harmless if there is none."""
        self._numbers.pop(timer, None)

    def close(self) -> None:
        """Take all back."""
        self._numbers.clear()
        if self._handle is not None:
            self._handle.cancel()

    def _wake_at(self, due: float) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._wakes_at = due
        self._handle = self._loop.call_at(due, self._run_out)

    def _run_out(self) -> None:
        now = self._loop.time() + _EARLY_S
        due = []
        while self._queue and self._queue[0][0] <= now:
            due.append(heappop(self._queue))
        self._handle, self._wakes_at = None, math.inf
        if self._queue:
            self._wake_at(self._queue[0][0])
        for _, number, timer in due:  # one may take another back
            if self._numbers.get(timer) == number:
                del self._numbers[timer]
                self._fire(timer)
