"""How a gateway says no. Must not know to what."""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.machine.wishes import Reply
from probatum.protocol.messages import Refused

__all__ = ["refuse"]

_TRY_LATER = frozenset(
    {
        "gateway.busy",
        "gateway.stopping",
        "gateway.not-ready",
        "gateway.not-registered",
        "gateway.no-node",
        "gateway.no-manifest",
        "gateway.no-answer",
    }
)


def refuse(conversation: str, refusal: Refusal) -> Reply:
    """Say no, and whether the same may succeed later."""
    return Reply(
        conversation,
        Refused(
            code=refusal.code,
            message=refusal.message[:2000],
            hint=refusal.hint[:2000],
            retryable=refusal.code in _TRY_LATER,
        ),
    )
