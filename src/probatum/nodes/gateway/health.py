"""What a gateway has seen of nodes itself: how fast they answer, how often they failed of late.

Only own observations, only advice: the public policy (`probatum.evidence.routing`) decides what
they weigh. Must not know requests.
"""

from __future__ import annotations

from dataclasses import dataclass

from probatum.evidence.routing import Health
from probatum.nodes.gateway.settings import GatewaySettings
from probatum.protocol.primitives import Address

__all__ = ["Observations"]

_WEIGHT = 4
"""The newest latency counts one in so many."""


@dataclass(slots=True)
class _Seen:
    latency_ms: int = 0
    failures: int = 0
    avoided_until_ms: int = 0
    inflight: int = 0


class Observations:
    """Health by operator. Bounded by the operators that ever had an offer."""

    def __init__(self, settings: GatewaySettings) -> None:
        """Make it; nothing was seen yet."""
        self._back_off_ms = settings.back_off_ms
        self._limit_ms = settings.back_off_limit_ms
        self._seen: dict[Address, _Seen] = {}

    def begin(self, operator: Address) -> None:
        """See a hand-over go out."""
        self._seen.setdefault(operator, _Seen()).inflight += 1

    def end(self, operator: Address) -> None:
        """See a hand-over end, well or not."""
        seen = self._seen.setdefault(operator, _Seen())
        seen.inflight = max(0, seen.inflight - 1)

    def succeed(self, operator: Address, latency_ms: int) -> None:
        """See a valid answer."""
        seen = self._seen.setdefault(operator, _Seen())
        seen.failures = seen.avoided_until_ms = 0
        old = seen.latency_ms or latency_ms
        seen.latency_ms = max(1, (old * (_WEIGHT - 1) + latency_ms) // _WEIGHT)

    def fail(self, operator: Address, now_ms: int) -> None:
        """See a hand-over fail: the node is ranked behind for a while, longer each time."""
        seen = self._seen.setdefault(operator, _Seen())
        seen.failures += 1
        pause = min(self._limit_ms, self._back_off_ms << min(seen.failures - 1, 20))
        seen.avoided_until_ms = now_ms + pause

    def get(self, now_ms: int) -> dict[Address, Health]:
        """Get what the routing policy is told now; past its back-off a node is as good as new."""
        return {
            operator: Health(
                latency_ms=seen.latency_ms,
                failures=seen.failures if now_ms < seen.avoided_until_ms else 0,
                inflight=seen.inflight,
            )
            for operator, seen in sorted(self._seen.items())
        }
