"""An answer's tokens as text, cut where a client wants it cut.

A stop is text, not tokens: it may lie across them. What may be the beginning of a stop is held
back until it is certain. Where the text is cut does not depend on the runs that tokens come in.
Must not know HTTP. Read next: `openai_text`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Protocol

__all__ = ["Spelling", "Wording"]


class Spelling(Protocol):
    """Turns one answer's tokens into text as they come (`probatum.runtime.text.chat`)."""

    def push(self, token: int) -> str:
        """Take the next token; give the text that is certain now, perhaps none."""
        ...

    def finish(self) -> str:
        """Give what is left."""
        ...


class Wording:
    """One answer's text.

    Attributes:
        is_stopped: Whether a stop was found: nothing comes after it.
    """

    def __init__(self, spelling: Spelling, stops: tuple[str, ...], *, counts: bool = False) -> None:
        """Make it, before the first token; no stop is empty.

        Args:
            spelling: Turns tokens into text.
            stops: Texts before which the answer is cut.
            counts: Whether `take_offsets` will be asked.
        """
        self._spelling = spelling
        self._stops = stops
        self._longest = max(map(len, stops), default=0)
        self._held = ""
        self._counts = counts
        self._offsets: deque[int] = deque()
        self._spelled = self._told = 0
        self.is_stopped = False

    def push(self, ids: Iterable[int]) -> str:
        """Take the next tokens; give the text that is certain now, perhaps none.

        Raises:
            Refusal: `tokens.bad-tokenizer`.
        """
        if self.is_stopped:
            return ""
        self._held += "".join([self._push(one) for one in ids])
        return self._release(keep=self._count_doubtful())

    def take_offsets(self) -> tuple[int, ...]:
        """Take where those tokens begin in the text whose text has come out since the last time.

        A token comes out with its first character; one that has none of its own, with the next.
        """
        found = []
        while self._offsets and self._offsets[0] < self._told:
            found.append(self._offsets.popleft())
        return tuple(found)

    def take_rest(self) -> tuple[int, ...]:
        """Take where the other tokens begin, once there is no further text; none behind a stop."""
        found = () if self.is_stopped else tuple(self._offsets)
        self._offsets.clear()
        return found

    def _push(self, token: int) -> str:
        if self._counts:
            self._offsets.append(self._spelled)
        piece = self._spelling.push(token)
        self._spelled += len(piece)
        return piece

    def finish(self) -> str:
        """Give the rest: there is no further token.

        Raises:
            Refusal: `tokens.bad-tokenizer`.
        """
        if self.is_stopped:
            return ""
        self._held += self._spelling.finish()
        return self._release(keep=0)

    def _release(self, *, keep: int) -> str:
        cut = self._find_cut()
        if cut is not None:
            self.is_stopped = True
            text, self._held = self._held[:cut], ""
        else:
            at = len(self._held) - keep
            text, self._held = self._held[:at], self._held[at:]
        self._told += len(text)
        return text

    def _find_cut(self) -> int | None:
        """Find where the stop begins that is whole first; of several, the longest."""
        found = ((self._held.find(stop), len(stop)) for stop in self._stops)
        ends = [(at + size, at) for at, size in found if at >= 0]
        return min(ends)[1] if ends else None

    def _count_doubtful(self) -> int:
        """Count the characters at the end that may be the beginning of a stop."""
        for size in range(min(self._longest - 1, len(self._held)), 0, -1):
            tail = self._held[-size:]
            if any(stop.startswith(tail) for stop in self._stops):
                return size
        return 0
