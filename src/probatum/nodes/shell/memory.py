"""Giving memory back to the system that was needed for once.

Must not know what it was needed for.
"""

from __future__ import annotations

import contextlib
import ctypes

__all__ = ["give_memory_back"]


def give_memory_back() -> None:
    """Give back what is free: it lies in pieces among what is kept, and would stay resident."""
    with contextlib.suppress(OSError, AttributeError):  # not every C library has it
        ctypes.CDLL(None).malloc_trim(0)
