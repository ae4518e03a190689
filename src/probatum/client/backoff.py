"""How long to wait before trying again: twice as long each time, spread by chance, never too long.

Must not know what is tried.
"""

from __future__ import annotations

from typing import Final

from probatum.machine.events import Moment
from probatum.machine.machine import draw

__all__ = ["LONGEST_MS", "SHORTEST_MS", "compute_backoff_ms"]

SHORTEST_MS: Final = 200
LONGEST_MS: Final = 5_000


def compute_backoff_ms(
    failures: int, moment: Moment, purpose: str, *, longest_ms: int = LONGEST_MS
) -> int:
    """Compute the wait after so many failures in a row.

    Args:
        failures: How many attempts have failed, at least 1.
        moment: Where the chance comes from that keeps parties from trying in step.
        purpose: Names the draw, see `probatum.machine.machine.draw`.
        longest_ms: No wait is longer.

    Returns:
        Milliseconds: between half of and the full doubled span, at most `longest_ms`.
    """
    span = min(longest_ms, SHORTEST_MS << min(failures - 1, 16))
    chance = int.from_bytes(draw(moment, purpose)[:4], "big")
    return span // 2 + chance % (span // 2 + 1)
