"""How the demo speaks: acts, lines, promises that must hold, and the figures for the end.

Must not know what is told.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

from rich.console import Console

from probatum.errors import Fault
from probatum.ops.tables import format_table

__all__ = ["Teller"]


class Teller:
    """Tells a story to a terminal, and remembers the figures."""

    def __init__(self, console: Console) -> None:
        """Begin."""
        self._console = console
        self._began = time.monotonic()
        self._acts = 0
        self.figures: list[tuple[str, str]] = []

    @property
    def elapsed_s(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self._began

    def act(self, title: str) -> None:
        """Begin the next act."""
        self._acts += 1
        self._console.print(f"\n[{self.elapsed_s:4.1f} s] {self._acts}. {title}", style="bold")

    def line(self, text: str) -> None:
        """Say something."""
        self._console.print(f"         {text}", markup=False, soft_wrap=True)

    def table(self, columns: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> None:
        """Show rows."""
        for text in format_table(columns, rows):
            self.line(text)

    def figure(self, name: str, value: str) -> None:
        """Keep a figure for the summary."""
        self.figures.append((name, value))

    def promise(self, held: object, words: str) -> None:
        """Hold the story to its word.

        Raises:
            Fault: `demo.promise-broken` if it did not.
        """
        if not held:
            raise Fault("demo.promise-broken", f"this did not hold: {words}", retryable=False)
