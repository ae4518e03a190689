"""How long a trust file of validators can still be started from (`LIGHT-1`).

Must not know the network: whether what the file names is true, no network can say of itself.
"""

from __future__ import annotations

from typing import Final

from probatum.ops.findings import Finding
from probatum.protocol.trust import CommitTrust, Trust

__all__ = ["inspect_trust"]

_DAY_MS: Final = 86_400_000
_WARN: Final = 3
"""A node renews its own after a quarter of the period: what has a third left was forgotten."""
_RENEW: Final = "probatum ledger trust --renew --trust FILE --ledger ADDRESS"


def inspect_trust(trust: Trust, now_ms: int) -> tuple[Finding, ...]:
    """Say when a trust file lapses; nothing of one that names a key, which never does.

    Args:
        trust: The file.
        now_ms: Unix time.
    """
    if not isinstance(trust, CommitTrust):
        return ()
    left_ms = trust.time_ms + trust.trusting_period_ms - now_ms
    days = f"{abs(left_ms) / _DAY_MS:.1f} days"
    detail = f"names height {trust.height}, "
    if left_ms <= 0:
        return (
            Finding(
                check="trust file",
                status="fail",
                detail=f"{detail}and lapsed {days} ago: nothing follows from it any more",
                advice="have a newer one from somebody you trust, by another way than the network",
            ),
        )
    detail += f"good for {days}"
    if left_ms < trust.trusting_period_ms // _WARN:
        advice = f"renew it before it lapses: {_RENEW}"
        return (Finding(check="trust file", status="warn", detail=detail, advice=advice),)
    return (Finding(check="trust file", status="ok", detail=detail),)
