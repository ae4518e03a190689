"""Texts that a party of this process is writing: from its wish to the engine, and back as events.

A turn of the event loop costs an engine of the same interpreter as much as a small model's token:
tokens that come within moments of others are taken together, and those of one text are one event.
Must not know engines or the party.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, TypeAlias

from probatum.errors import Fault, Misuse, ProbatumError, Refusal
from probatum.machine.events import Computed, Event, Generated
from probatum.machine.wishes import Curtail, Generate
from probatum.nodes.shell.computing import Text, Writer
from probatum.protocol.tensors import Tensor

__all__ = ["Texts"]

PACE_S: Final = 0.002
"""Tokens are not taken sooner than this after others; how a text ended is, and all before it."""

_Outcome: TypeAlias = tuple[Tensor, ...] | ProbatumError


class Texts:
    """All texts of one driver."""

    def __init__(
        self,
        writer: Writer | None,
        loop: asyncio.AbstractEventLoop,
        post: Callable[[Event], None],
        fail: Callable[[BaseException], None],
    ) -> None:
        """Make it.

        Args:
            writer: Writes them; None for a party that never wishes for one.
            loop: Where the party lives.
            post: Takes events, on that loop.
            fail: Takes what must end the process.
        """
        self._writer = writer
        self._loop = loop
        self._post = post
        self._fail = fail
        self._texts: dict[str, Text] = {}
        self._news: deque[Generated | tuple[str, _Outcome]] = deque()
        self._is_called = False
        self._taken_at = 0.0

    def __len__(self) -> int:
        """Count the texts that are being written."""
        return len(self._texts)

    def take(self, wish: Generate | Curtail) -> None:
        """Begin a text, or end one with the tokens that it has.

        Raises:
            Misuse: `driver.no-writer`.
        """
        if isinstance(wish, Curtail):
            text = self._texts.get(wish.job)
            if text is not None:
                text.cancel()
            return
        if self._writer is None:
            raise Misuse("driver.no-writer", "a party without language models wished for a text")
        try:
            self._texts[wish.job] = self._writer.write(
                wish.package,
                wish.inputs,
                wish.nonce,
                wish.prefix,
                partial(self._cross_ids, wish.job),
                partial(self._cross_outcome, wish.job),
                top_logprobs=wish.top_logprobs,
            )
        except (Refusal, Fault) as error:
            self._post(Computed(wish.job, error))

    def close(self) -> None:
        """End all texts: nobody will hear of them."""
        for text in self._texts.values():
            text.cancel()

    def _cross_ids(self, job: str, ids: tuple[int, ...], logprobs: bytes = b"", /) -> None:
        """Come over from a thread that writes."""
        self._news.append(Generated(job, ids, logprobs))
        if not self._is_called:
            self._is_called = True
            self._call(self._look)

    def _cross_outcome(self, job: str, outcome: _Outcome) -> None:
        """Come over from a thread that writes."""
        self._news.append((job, outcome))
        self._call(self._take_news)

    def _call(self, work: Callable[[], None]) -> None:
        # A loop that has been closed says so this way; then nobody waits for tokens.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(work)

    def _look(self) -> None:
        """Take what came, now or in a moment."""
        wait_s = self._taken_at + PACE_S - time.monotonic()
        if wait_s > 0:
            self._loop.call_later(wait_s, self._take_news)
        else:
            self._take_news()

    def _take_news(self) -> None:
        """Take all that came, in order."""
        self._is_called = False  # before anything is taken: whatever comes now calls again
        runs: dict[str, list[Generated]] = {}
        while self._news:
            news = self._news.popleft()
            if isinstance(news, Generated):
                runs.setdefault(news.job, []).append(news)
                continue
            job, outcome = news
            self._tell(runs.pop(job, []))
            self._end(job, outcome)
        for run in runs.values():
            self._tell(run)
        self._taken_at = time.monotonic()

    def _tell(self, run: list[Generated]) -> None:
        """Tell a run of tokens of one text as one event."""
        if len(run) > 1:
            ids = tuple(one for news in run for one in news.ids)
            logprobs = b"".join([news.logprobs for news in run])
            self._post(Generated(run[0].job, ids, logprobs))
        elif run:
            self._post(run[0])

    def _end(self, job: str, outcome: _Outcome) -> None:
        self._texts.pop(job, None)
        if isinstance(outcome, tuple | Refusal | Fault):
            self._post(Computed(job, outcome))
        else:  # a Misuse is a bug of this process
            self._fail(outcome)
