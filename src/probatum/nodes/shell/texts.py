"""Texts that a party of this process is writing: from its wish to the engine, and back as events.

Must not know engines or the party.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial

from probatum.errors import Fault, Misuse, ProbatumError, Refusal
from probatum.machine.events import Computed, Event, Generated
from probatum.machine.wishes import Curtail, Generate
from probatum.nodes.shell.computing import Text, Writer
from probatum.protocol.tensors import Tensor

__all__ = ["Texts"]


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
        # A loop that has been closed says so this way; then nobody waits for tokens.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._post, Generated(job, ids, logprobs))

    def _cross_outcome(self, job: str, outcome: tuple[Tensor, ...] | ProbatumError) -> None:
        """Come over from a thread that writes."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._take, job, outcome)

    def _take(self, job: str, outcome: tuple[Tensor, ...] | ProbatumError) -> None:
        self._texts.pop(job, None)
        if isinstance(outcome, tuple | Refusal | Fault):
            self._post(Computed(job, outcome))
        else:  # a Misuse is a bug of this process
            self._fail(outcome)
