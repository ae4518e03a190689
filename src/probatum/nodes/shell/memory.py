"""Memory of a process that has started.

What was needed for once is given back to the system, and what stays is not looked through again
and again. Must not know what it was needed for.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from typing import Final

__all__ = ["calm_collector", "give_memory_back"]

_YOUNG: Final = 10_000
"""Objects made and not freed until those that refer to each other are looked for: more than all
requests that are open at one time have, so that they are gone by then."""


def calm_collector() -> None:
    """Let the collector of cycles leave alone what is there now, and come less often."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 10, 10)


def give_memory_back() -> None:
    """Give back what is free: it lies in pieces among what is kept, and would stay resident."""
    with contextlib.suppress(OSError, AttributeError):  # not every C library has it
        ctypes.CDLL(None).malloc_trim(0)
