"""Writing the journal at the right moment: a flush costs as much as half a request does.

Records that come together are flushed together. An acceptance waits for its answer where models are
quick: nobody needs it sooner, and one flush does for both. Nothing else waits. A flush that nobody
else would wait for is done on the event loop. Must not know what a record means. Read next:
`writers`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from typing import Final, Protocol

from probatum.errors import Misuse
from probatum.nodes.shell.writers import GroupWriter, Pace
from probatum.protocol import limits

__all__ = ["RecordSink", "Recorder"]

GROUP_RECORDS: Final = 1_024
LINGER_S: Final = 0.002
"""How long a flush waits for more records while there are many."""
QUICK_S: Final = 0.02
"""Models that answer within this are quick, and an acceptance is held back no longer."""
BRIEF_S: Final = 0.005
BRIEF_BYTES: Final = 256 * limits.KIB
"""A flush on the event loop takes no longer, going by the last one, and has no more bytes."""


class RecordSink(Protocol):
    """Where journal wishes go."""

    def append(self, records: tuple[bytes, ...], /) -> None:
        """Write and flush records."""
        ...

    def is_brief(self, size_bytes: int, /) -> bool:
        """Tell whether appending so many bytes takes one write and one flush, and no more."""
        ...


class Recorder:
    """Writes records to a sink; tells each ticket once its records are on disk."""

    def __init__(
        self,
        sink: RecordSink | None,
        *,
        done: Callable[[str], None],
        failed: Callable[[BaseException], None],
        is_crowded: Callable[[], bool],
    ) -> None:
        """Make a recorder.

        Args:
            sink: Where records go; None for a party that has nothing to write down.
            done: Called with each ticket, in order.
            failed: Called with what the sink raised; nothing is written after that.
            is_crowded: Tells whether several ask.
        """
        self._sink = sink
        self._is_crowded = is_crowded
        self._jobs: dict[str, float] = {}
        self._acceptances: set[str] = set()
        self._newest = ""
        self._done = done
        self._job_s = math.inf
        self._flush_s = math.inf
        pace = Pace(
            group_pieces=GROUP_RECORDS,
            linger_s=LINGER_S,
            are_many=self._are_many,
            hold_s=QUICK_S,
            expects_more=self._expects_answers,
            is_brief=self._is_brief,
        )
        self._writer = GroupWriter(write=self._write, done=self._tell, failed=failed, pace=pace)
        self.kick = self._writer.kick
        self.close = self._writer.close

    @property
    def is_idle(self) -> bool:
        """Whether nothing is left to write, and nothing is computed that would be written down."""
        return self._writer.is_idle() and not self._jobs

    @property
    def is_waiting(self) -> bool:
        """Whether something is to be written that no write has taken along."""
        return self._writer.is_waiting

    @property
    def is_quick(self) -> bool:
        """Whether models answer within moments, going by those before."""
        return self._job_s < QUICK_S

    def add(self, ticket: str, records: tuple[bytes, ...]) -> None:
        """Queue records; `kick` starts the writing."""
        self._newest = ticket
        self._writer.add(ticket, records)

    def begin_job(self, job: str) -> None:
        """Note that a model has been asked for an answer; what was added last accepts that."""
        self._jobs[job] = time.monotonic()
        if self._newest:
            self._acceptances.add(self._newest)

    def end_job(self, job: str, *, answered: bool) -> None:
        """Note that it has answered, or not."""
        begun = self._jobs.pop(job, None)
        if begun is None or not answered:
            return
        took_s = time.monotonic() - begun
        known = not math.isinf(self._job_s)
        self._job_s = 0.875 * self._job_s + took_s / 8 if known else took_s

    def _are_many(self, pieces: int) -> bool:
        """Tell whether several requests write so much: one may bring acceptance and answer."""
        return pieces > (2 if self.is_quick else 1)

    def _expects_answers(self, tickets: Iterable[str]) -> bool:
        """Tell whether all that waits to be written accepts what quick models compute.

        Everything else is held back for nothing: answers, and texts, which are heard from their
        first token on.
        """
        if not self._job_s < QUICK_S:
            return False
        waiting = set(tickets)
        return waiting <= self._acceptances and len(waiting) <= len(self._jobs)

    def _tell(self, ticket: str) -> None:
        self._acceptances.discard(ticket)
        if ticket == self._newest:
            self._newest = ""
        self._done(ticket)

    def _is_brief(self, pieces: list[tuple[bytes, ...]]) -> bool:
        """Tell whether a flush may be done on the event loop: it is short, and one asker waits."""
        if self._sink is None or self._is_crowded() or self._flush_s > BRIEF_S:
            return False
        size = sum(len(record) for piece in pieces for record in piece)
        return size <= BRIEF_BYTES and self._sink.is_brief(size)

    def _write(self, pieces: list[tuple[bytes, ...]]) -> None:
        if self._sink is None:
            raise Misuse("driver.no-journal", "a party without a journal wished to write")
        begun = time.monotonic()
        self._sink.append(tuple(record for piece in pieces for record in piece))
        self._flush_s = time.monotonic() - begun
