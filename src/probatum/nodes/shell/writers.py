"""Writing to disk in order, in groups, answering for each piece.

A writer has one thread. What is asked for while a write runs waits and goes with the next one: so
a flush costs once however many wait for it. Where nobody else would wait for it, a short write is
done on the event loop itself: a thread's turn costs as much as the flush. Must not know what is
written.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

__all__ = ["GroupWriter", "Pace"]

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace(Generic[T]):
    """When a writer writes, and where.

    Attributes:
        group_pieces: How many pieces one write gets at most.
        linger_s: How long a write waits for more to come along, if the one before had many.
        are_many: Tells whether so many pieces are many.
        hold_s: How long it waits at most for what is expected.
        expects_more: Tells by the tickets of all that wait whether for each another is expected.
        is_brief: Tells whether writing these pieces on the event loop keeps nobody waiting.
    """

    group_pieces: int
    linger_s: float = 0.0
    are_many: Callable[[int], bool] = lambda size: size > 1
    hold_s: float = 0.0
    expects_more: Callable[[Iterable[str]], bool] = lambda _: False
    is_brief: Callable[[list[T]], bool] = lambda _: False


class GroupWriter(Generic[T]):
    """Takes (ticket, piece) pairs; calls `done` with each ticket once its piece is on disk."""

    def __init__(
        self,
        *,
        write: Callable[[list[T]], None],
        done: Callable[[str], None],
        failed: Callable[[BaseException], None],
        pace: Pace[T],
    ) -> None:
        """Make a writer.

        Args:
            write: Writes and flushes pieces, in its own thread or on the event loop, never both
                at one time; all of them or an exception.
            done: Called on the event loop, in the order of the pieces.
            failed: Called on the event loop with what `write` raised; nothing is written then.
            pace: When to write, and where.
        """
        self._write = write
        self._done = done
        self._failed = failed
        self._pace = pace
        self._crowded = False
        self._waiting: deque[tuple[str, T]] = deque()
        self._flushing: asyncio.Task[None] | None = None
        self._held: asyncio.TimerHandle | None = None
        self._broken = False
        self._thread = ThreadPoolExecutor(max_workers=1)

    def add(self, ticket: str, piece: T) -> None:
        """Queue a piece; `kick` starts the writing."""
        self._waiting.append((ticket, piece))

    def kick(self) -> None:
        """Write what waits, unless a write runs: that one will take it along."""
        if not self._waiting or self._flushing is not None or self._broken:
            return
        tickets = (ticket for ticket, _ in self._waiting)
        if self._crowded or not self._pace.expects_more(tickets):
            self._begin()
        elif self._held is None:
            loop = asyncio.get_running_loop()
            self._held = loop.call_later(self._pace.hold_s, self._begin)

    @property
    def is_waiting(self) -> bool:
        """Whether `kick` may have something to begin with."""
        return bool(self._waiting) and self._flushing is None

    def is_idle(self) -> bool:
        """Tell whether nothing waits and no write runs."""
        return not self._waiting and self._flushing is None

    def close(self) -> None:
        """Wait for a write that runs and end the thread."""
        self._let_go()
        self._thread.shutdown(wait=True)

    def _let_go(self) -> None:
        """Hold pieces back no longer."""
        held, self._held = self._held, None
        if held is not None:
            held.cancel()

    def _begin(self) -> None:
        self._let_go()
        pieces = [piece for _, piece in self._waiting]
        fits = len(pieces) <= self._pace.group_pieces
        if self._crowded or not fits or not self._pace.is_brief(pieces):
            self._flushing = asyncio.get_running_loop().create_task(self._flush())
            return
        try:
            self._write(pieces)
        except Exception as error:  # noqa: BLE001 - as in `_flush`
            self._fail(error)
            return
        self._tell(len(pieces))

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                if self._crowded:
                    await asyncio.sleep(self._pace.linger_s)
                size = min(len(self._waiting), self._pace.group_pieces)
                pieces = [self._waiting[place][1] for place in range(size)]
                self._crowded = self._pace.are_many(size)
                await loop.run_in_executor(self._thread, self._write, pieces)
                self._tell(size)
        # A party's process cannot go on when its disk does not: this is its outermost loop.
        except Exception as error:  # noqa: BLE001
            self._fail(error)
        finally:
            self._flushing = None

    def _tell(self, size: int) -> None:
        for _ in range(size):
            self._done(self._waiting.popleft()[0])

    def _fail(self, error: Exception) -> None:
        self._broken = True
        self._failed(error)
