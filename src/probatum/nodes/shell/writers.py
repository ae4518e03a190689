"""Writing to disk off the event loop, in order, in groups, answering for each piece.

A writer has one thread. What is asked for while a write runs waits and goes with the next one:
so a flush costs once however many wait for it. Must not know what is written.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

__all__ = ["GroupWriter"]

T = TypeVar("T")


class GroupWriter(Generic[T]):
    """Takes (ticket, piece) pairs; calls `done` with each ticket once its piece is on disk."""

    def __init__(
        self,
        *,
        write: Callable[[list[T]], None],
        done: Callable[[str], None],
        failed: Callable[[BaseException], None],
        group_pieces: int,
        linger_s: float = 0.0,
    ) -> None:
        """Make a writer.

        Args:
            write: Writes and flushes pieces, in its own thread; all of them or an exception.
            done: Called on the event loop, in the order of the pieces.
            failed: Called on the event loop with what `write` raised; nothing is written then.
            group_pieces: How many pieces one call of `write` gets at most.
            linger_s: How long a write waits for more to come along, if the one before had several.
        """
        self._write = write
        self._done = done
        self._failed = failed
        self._group_pieces = group_pieces
        self._linger_s = linger_s
        self._crowded = False
        self._waiting: deque[tuple[str, T]] = deque()
        self._flushing: asyncio.Task[None] | None = None
        self._thread = ThreadPoolExecutor(max_workers=1)

    def add(self, ticket: str, piece: T) -> None:
        """Queue a piece; `kick` starts the writing."""
        self._waiting.append((ticket, piece))

    def kick(self) -> None:
        """Write what waits, unless a write runs: that one will take it along."""
        if self._waiting and self._flushing is None:
            self._flushing = asyncio.get_running_loop().create_task(self._flush())

    def is_idle(self) -> bool:
        """Tell whether nothing waits and no write runs."""
        return not self._waiting and self._flushing is None

    def close(self) -> None:
        """Wait for a write that runs and end the thread."""
        self._thread.shutdown(wait=True)

    async def _flush(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._waiting:
                if self._crowded:
                    await asyncio.sleep(self._linger_s)
                size = min(len(self._waiting), self._group_pieces)
                group = [self._waiting.popleft() for _ in range(size)]
                pieces = [piece for _, piece in group]
                self._crowded = size > 1
                await loop.run_in_executor(self._thread, self._write, pieces)
                for ticket, _ in group:
                    self._done(ticket)
        # A party's process cannot go on when its disk does not: this is its outermost loop.
        except Exception as error:  # noqa: BLE001
            self._failed(error)
        finally:
            self._flushing = None
