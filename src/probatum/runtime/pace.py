"""How many rows to join into one run, learned from runs that there were.

Two ways to learn it, one a class. Must not know engines, sessions or threads: whoever holds a pace
holds a lock.
"""

from __future__ import annotations

from typing import Final, Protocol

from probatum.runtime.batching import choose_rows

__all__ = ["Pace", "ShortRuns", "TriedRuns"]

_NEWEST: Final = 0.4
"""Share of the newest run in what is believed of runs of its size."""
_DOUBT: Final = 0.998
"""What was seen of the sizes beside it fades by this at every run, until they are tried again."""


class Pace(Protocol):
    """What is known of one model's runs."""

    def learn(self, rows: int, seconds: float) -> None:
        """Learn what a run took."""
        ...

    def fail(self, rows: int, seconds: float) -> None:
        """Learn that a joint run failed after so long, so that each row runs again, alone."""
        ...

    def choose(self) -> int:
        """Choose how many rows the next run may have at most."""
        ...


class ShortRuns:
    """As many rows as short runs have, going by the fastest row that was seen."""

    def __init__(self, *, most_rows: int, most_seconds: float) -> None:
        """Know nothing yet."""
        self._most_rows = most_rows
        self._most_seconds = most_seconds
        self._row_seconds: float | None = None

    def learn(self, rows: int, seconds: float) -> None:
        """Keep the fastest that was seen, fading: a busy machine makes single runs look slow."""
        row_seconds = seconds / rows
        before = self._row_seconds if self._row_seconds is not None else row_seconds
        self._row_seconds = min(row_seconds, before * 1.05)

    def fail(self, rows: int, seconds: float) -> None:
        """Nothing: such runs are short, and a bad request is not its neighbours' fault."""

    def choose(self) -> int:
        """Choose how many rows the next run may have at most."""
        return choose_rows(
            self._row_seconds, most_rows=self._most_rows, most_seconds=self._most_seconds
        )


class TriedRuns:
    """Twice as many rows while a row gets cheaper by it, and the run does not get too long.

    A canonical evaluation costs tens of microseconds an entry whatever its size, so that sixteen
    rows of a small model cost as much as one; with large tensors rows leave the processor's caches
    and each gets dearer. Which it is only trying can tell.
    """

    def __init__(self, *, most_rows: int, most_seconds: float) -> None:
        """Know nothing yet."""
        self._most_rows = most_rows
        self._most_seconds = most_seconds
        self._row_seconds: dict[int, float] = {}
        """By the power of two that a run's rows begin with."""
        self._chosen = 1

    def learn(self, rows: int, seconds: float) -> None:
        """Learn what a run took, and doubt a little what is known of the sizes beside it."""
        size = rows.bit_length() - 1
        newest = seconds / rows
        before = self._row_seconds.get(size, newest)
        # Runs that are small for want of company say nothing of what would be better.
        for other in (size - 1, size + 1) if rows >= self._chosen else ():
            if other in self._row_seconds:
                self._row_seconds[other] *= _DOUBT
        self._row_seconds[size] = before + _NEWEST * (newest - before)

    def fail(self, rows: int, seconds: float) -> None:
        """Count what a row alone takes in: joint answers may be too large for every such run."""
        alone = max((took for took in self._row_seconds.values()), default=0.0)
        self.learn(rows, seconds + rows * alone)

    def choose(self) -> int:
        """Choose how many rows the next run may have at most."""
        if not self._row_seconds:
            return 1
        best = min(self._row_seconds, key=lambda size: (self._row_seconds[size], size))
        most = (2 << best) - 1
        if best == max(self._row_seconds):
            most += 1  # just enough to try the next size
        allowed = int(self._most_seconds / max(self._row_seconds[best], 1e-9))
        self._chosen = max(1, min(most, allowed, self._most_rows))
        return self._chosen
