"""Whether a header is to be believed, by whichever engine sealed it (`HEADER-1`).

One call for receipts, followers and commands, so that nothing above this room asks which engine
a network runs on. Must not know where headers come from.
"""

from __future__ import annotations

from functools import partial

from probatum.protocol.headers import Header, SignedHeader
from probatum.protocol.trust import HeaderCheck, Trust, check_signed_header

__all__ = ["check_header", "make_header_check"]


def check_header(trust: Trust, signed: SignedHeader, now_ms: int) -> Header:
    """Check that a header is of the trusted chain and sealed by whom the trust file names.

    Args:
        trust: The trust file.
        signed: The header.
        now_ms: Unix time, of whoever checks; a key's trust has no end.

    Raises:
        Refusal: `trust.*`, `ed25519.bad-signature`.
    """
    del now_ms
    return check_signed_header(trust, signed)


def make_header_check(trust: Trust, now_ms: int) -> HeaderCheck:
    """Make the check that `probatum.evidence` needs of a settled bundle."""
    return partial(_check, trust, now_ms)


def _check(trust: Trust, now_ms: int, signed: SignedHeader) -> Header:
    return check_header(trust, signed, now_ms)
