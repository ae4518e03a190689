"""How an inference node says no. Must not know to what."""

from __future__ import annotations

from typing import Final

from probatum.errors import Fault, Refusal
from probatum.machine.wishes import Reply
from probatum.protocol.messages import Refused

__all__ = ["refuse"]

_TRY_ELSEWHERE: Final = frozenset(
    {"node.busy", "node.stopping", "node.not-ready", "handover.stale"}
)


def refuse(conversation: str, error: Refusal | Fault) -> Reply:
    """Say no, and whether the same may succeed later or elsewhere."""
    retryable = error.retryable if isinstance(error, Fault) else error.code in _TRY_ELSEWHERE
    return Reply(
        conversation,
        Refused(
            code=error.code,
            message=error.message[:2000],
            hint=error.hint[:2000],
            retryable=retryable,
        ),
    )
