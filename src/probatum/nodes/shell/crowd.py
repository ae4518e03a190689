"""Whether several ask at once, or did a moment ago. Must not know what they ask."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

__all__ = ["Crowd"]

_S: Final = 0.1
"""For so long after two asked at once more of them are expected: quick answers leave gaps between
askers, and in a gap each would seem alone."""


class Crowd:
    """Remembers when there was one last."""

    def __init__(self, count: Callable[[], int]) -> None:
        """Nobody has asked yet; `count` tells how many ask now."""
        self._count = count
        self._until = 0.0

    def is_there(self) -> bool:
        """Tell whether there is one."""
        now = time.monotonic()
        if self._count() > 1:
            self._until = now + _S
        return now < self._until
