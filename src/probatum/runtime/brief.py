"""Which runs take moments, so that a turn of another thread would cost more than they do.

Learned from runs that there were, in processor time: what else keeps a machine busy says nothing of
a model. Must not know engines, sessions or threads: whoever holds it holds a lock.
"""

from __future__ import annotations

from typing import Final

from probatum.protocol.primitives import Digest

__all__ = ["BriefRuns"]

_BRIEF_S: Final = 0.000_5
"""As long as two requests take an event loop; a turn of a thread takes a third of it."""
_FAR_S: Final = 0.01
"""What takes so long where as much took moments is not told by its size."""


class BriefRuns:
    """Remembers of each model how much input went through it in moments."""

    def __init__(self) -> None:
        """Know nothing yet."""
        self._sizes: dict[Digest, int] = {}

    def is_brief(self, package: Digest, size_bytes: int) -> bool:
        """Tell whether a run of so many bytes of inputs takes moments, going by those before."""
        return size_bytes <= self._sizes.get(package, 0)

    def learn(self, package: Digest, size_bytes: int, seconds: float) -> None:
        """Learn what a run took of a processor; one that surprises is the last that was brief."""
        known = self._sizes.get(package, 0)
        if known < 0:
            return
        if seconds <= _BRIEF_S:
            self._sizes[package] = max(known, size_bytes)
        elif size_bytes <= known:
            # How long it takes may be what its values say, as of a loop: a stranger chooses those.
            self._sizes[package] = -1 if seconds > _FAR_S else size_bytes - 1
