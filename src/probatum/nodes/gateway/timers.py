"""The timers of a request at a gateway, by name. Must not know what follows from them."""

from __future__ import annotations

from typing import Final

from probatum.machine.wishes import CancelTimer, Wish
from probatum.nodes.gateway.request import OpenRequest

__all__ = ["ACCEPT", "AGAIN", "DEADLINE", "QUIET", "SILENCE", "let_go"]

ACCEPT: Final = "accept:"
"""Before request id and branch: for a node's acceptance."""
SILENCE: Final = "branch:"
"""Before request id and branch: for a node's answer, or for the next tokens of its text."""
AGAIN: Final = "again:"
"""Before a request id: the pause before nodes are tried once more."""
QUIET: Final = "quiet:"
"""Before a request id: for who comes back to a text that nobody waits for."""
DEADLINE: Final = "deadline:"
"""Before a request id: the whole request."""


def let_go(request: OpenRequest) -> tuple[Wish, ...]:
    """Take back the timers of a request that is decided: at load there are thousands of them."""
    branches = range(len(request.branches))
    names = [f"{kind}{request.request_id}:{n}" for n in branches for kind in (ACCEPT, SILENCE)]
    if request.reading is not None:
        names.append(f"{QUIET}{request.request_id}")
    return tuple(CancelTimer(name) for name in (f"{DEADLINE}{request.request_id}", *names))
