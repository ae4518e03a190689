"""Writes texts on virtual time: a few tokens now, a few later, and no more once nobody wants more.

Must not know what a text says. Read next: `kernel`, `text_model`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from probatum.errors import Fault, Refusal
from probatum.machine.events import Computed, Event, Generated
from probatum.machine.wishes import Generate
from probatum.protocol.primitives import Digest
from probatum.protocol.tensors import Tensor
from probatum.protocol.texts import Text, make_answer
from probatum.storm.loop import Loop
from probatum.storm.network import Life
from probatum.storm.trace import Trace

__all__ = ["Pen", "Scribe", "Torn"]


@dataclass(frozen=True, slots=True)
class Torn:
    """A text whose engine breaks down after these tokens."""

    ids: tuple[int, ...]


Pen: TypeAlias = Callable[
    [Digest, tuple[Tensor, ...], bytes, tuple[int, ...]], tuple[int, ...] | Refusal | Torn
]
"""Package, inputs, nonce and prefix to the whole answer, prefix included."""

_PREFILL_MS: Final = (20, 200)
_STEP_MS: Final = (20, 200)
_AT_ONCE: Final = 4


@dataclass(slots=True, kw_only=True)
class _Job:
    ids: tuple[int, ...]
    told: int
    breaks: bool = False
    is_cut: bool = False


class Scribe:
    """All texts of a storm that are being written."""

    def __init__(
        self,
        *,
        loop: Loop,
        chance: random.Random,
        trace: Trace,
        deliver: Callable[[Life, Event], None],
    ) -> None:
        """Make it; nothing is being written."""
        self._trace = trace
        self._loop = loop
        self._chance = chance
        self._deliver = deliver
        self._jobs: dict[tuple[Life, str], _Job] = {}

    def begin(self, life: Life, wish: Generate, pen: Pen | None) -> None:
        """Begin a text."""
        outcome: tuple[int, ...] | Refusal | Fault | Torn = Fault(
            "storm.no-pen", "this party writes nothing", retryable=False
        )
        if pen is not None:
            outcome = pen(wish.package, wish.inputs, wish.nonce, wish.prefix)
        after_ms = self._chance.randint(*_PREFILL_MS)
        if isinstance(outcome, Refusal | Fault):
            if outcome.code == "text.wrong-prefix":
                self._trace.count("wrong prefixes refused")
            refused = Computed(wish.job, outcome)
            self._loop.after(after_ms, lambda: self._deliver(life, refused))
            return
        breaks = isinstance(outcome, Torn)
        ids = outcome.ids if isinstance(outcome, Torn) else outcome
        job = _Job(ids=ids, told=len(wish.prefix), breaks=breaks)
        self._jobs[life, wish.job] = job
        self._loop.after(after_ms, lambda: self._go_on(life, wish.job, job))

    def curtail(self, life: Life, name: str) -> None:
        """End a text with the tokens that were told."""
        job = self._jobs.get((life, name))
        if job is not None:
            job.is_cut = True

    def _go_on(self, life: Life, name: str, job: _Job) -> None:
        if job.is_cut or job.told >= len(job.ids):
            self._jobs.pop((life, name), None)
            if job.breaks and not job.is_cut:
                broken = Fault("storm.torn", "the engine broke down")
                self._deliver(life, Computed(name, broken))
                return
            is_whole = job.told >= len(job.ids) and not job.breaks
            text = Text(ids=job.ids[: job.told], ended=is_whole)
            self._deliver(life, Computed(name, make_answer(text)))
            return
        start = job.told
        job.told = min(len(job.ids), start + self._chance.randint(1, _AT_ONCE))
        self._deliver(life, Generated(name, job.ids[start : job.told]))
        self._loop.after(self._chance.randint(*_STEP_MS), lambda: self._go_on(life, name, job))
