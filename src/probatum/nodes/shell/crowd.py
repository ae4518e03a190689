"""Whether several ask at once, or did a moment ago. Must not know what they ask."""

from __future__ import annotations

import time
from typing import Final

__all__ = ["Crowd"]

_S: Final = 0.1
"""For so long after two asked at once more of them are expected: quick answers leave gaps between
askers, and in a gap each would seem alone."""


class Crowd:
    """Remembers when there was one last."""

    def __init__(self) -> None:
        """Nobody has asked yet."""
        self._until = 0.0

    def is_there(self, count: int) -> bool:
        """Tell whether there is one, where so many ask now."""
        now = time.monotonic()
        if count > 1:
            self._until = now + _S
        return now < self._until
