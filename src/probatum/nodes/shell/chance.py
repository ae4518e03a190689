"""The system's chance, fetched for many steps at once: a system call each costs more than a step's.

What was handed out is not kept. Must not know what it is drawn for.
"""

from __future__ import annotations

import os
from typing import Final

__all__ = ["Chance"]

_STEP_BYTES: Final = 32
_FETCHED_BYTES: Final = 128 * _STEP_BYTES


class Chance:
    """Bytes that nobody can foretell. Not for use by two threads at one time, nor after a fork."""

    def __init__(self) -> None:
        """Make it; nothing is fetched before it is needed."""
        self._left = bytearray()

    def draw(self) -> bytes:
        """Draw 32 bytes for one step."""
        if not self._left:
            self._left += os.urandom(_FETCHED_BYTES)
        drawn = bytes(self._left[-_STEP_BYTES:])
        del self._left[-_STEP_BYTES:]
        return drawn
