"""Timers of one driver, by name. Must not know what they are for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

__all__ = ["Timers"]


class Timers:
    """Timers of one event loop; each fires once."""

    def __init__(self, loop: asyncio.AbstractEventLoop, fire: Callable[[str], None]) -> None:
        """Make it without timers; `fire` is called with the name of each that runs out."""
        self._loop = loop
        self._fire = fire
        self._handles: dict[str, asyncio.TimerHandle] = {}

    def set(self, timer: str, after_s: float) -> None:
        """Set a timer; one that is set again is replaced."""
        self.cancel(timer)
        self._handles[timer] = self._loop.call_later(after_s, self._run_out, timer)

    def cancel(self, timer: str) -> None:
        """Take a timer back; harmless if there is none."""
        handle = self._handles.pop(timer, None)
        if handle is not None:
            handle.cancel()

    def close(self) -> None:
        """Take all back."""
        for handle in self._handles.values():
            handle.cancel()

    def _run_out(self, timer: str) -> None:
        del self._handles[timer]
        self._fire(timer)
