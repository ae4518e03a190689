"""Whether the ledger is there, signed by whom it should be, and moving; and this machine's clock.

Must not know homes' files, nor nodes. Read next: `inspect_node`.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Final

from probatum.client.proofs import get_header, reach_header
from probatum.errors import ProbatumError
from probatum.ops.findings import Finding, from_error
from probatum.ops.onboarding import Converse, LedgerDesk
from probatum.protocol.eip712 import Domain
from probatum.protocol.headers import Header
from probatum.protocol.primitives import make_digest
from probatum.protocol.trust import Trust

__all__ = ["inspect_ledger", "make_desk"]

_MOVING_S: Final = 15.0
_POLL_S: Final = 0.1
_SKEW_WARN_MS: Final = 3_000
_SKEW_FAIL_MS: Final = 60_000
_ROUND_MS: Final = 4_000
"""What a round takes whose proposer is down: so much later the next block of validators comes."""
_NO_DOMAIN: Final = Domain(
    chain_id=1, genesis_hash=make_digest(bytes(32))
)  # nothing is signed here


def make_desk(converse: Converse, endpoint: str) -> LedgerDesk:
    """Make a desk that asks and signs nothing."""
    return LedgerDesk(converse=converse, endpoint=endpoint, domain=_NO_DOMAIN)


async def inspect_ledger(
    converse: Converse, endpoint: str, trust: Trust | None
) -> tuple[Finding, ...]:
    """Look at a full node twice, and at this machine's clock when a block comes.

    Args:
        converse: How to reach it.
        endpoint: Where it is.
        trust: Whose signature makes its headers true; None believes them.
    """
    desk = make_desk(converse, endpoint)
    try:
        first = await _get_header(desk, trust)
    except ProbatumError as error:
        return (from_error("ledger", error),)
    reached = Finding(
        check="ledger",
        status="ok" if trust else "warn",
        detail=f"{endpoint} is at height {first.height}"
        + ("" if trust else "; its signature was not checked"),
        advice="" if trust else "name the network's trust file",
    )
    deadline = time.monotonic() + _MOVING_S
    header = first
    try:
        while header.height == first.height and time.monotonic() < deadline:
            await asyncio.sleep(_POLL_S)
            header = await _get_header(desk, trust)
    except ProbatumError as error:
        return reached, from_error("ledger moves", error)
    # A fresh block's time is the ledger's time now, up to the way here.
    skew_ms = time.time_ns() // 1_000_000 - header.time_ms
    if header.height == first.height:
        moves = Finding(
            check="ledger moves",
            status="fail",
            detail=f"still at height {first.height} after {_MOVING_S:.0f} s",
            advice="whoever runs the ledger must look at it: deadlines stand still too",
        )
        detail = "no fresh block to hold this machine's clock against"
        return reached, moves, Finding(check="clock", status="skip", detail=detail)
    if header.height < first.height:
        detail = f"went from height {first.height} back to {header.height}"
        advice = "do not use this full node: a ledger never goes back"
        return reached, Finding(check="ledger moves", status="fail", detail=detail, advice=advice)
    detail = f"from height {first.height} to {header.height}"
    moves = Finding(check="ledger moves", status="ok", detail=detail)
    late_ms = 0
    if trust is not None and trust.engine == "cometbft":
        # A block has the time of the votes before it, and is proven by the votes after it.
        interval_ms = (header.time_ms - first.time_ms) // (header.height - first.height)
        late_ms = 2 * interval_ms + _ROUND_MS
    return reached, moves, _judge_clock(skew_ms, late_ms)


def _judge_clock(skew_ms: int, late_ms: int) -> Finding:
    ahead = "ahead of" if skew_ms > 0 else "behind"
    detail = f"{abs(skew_ms)} ms {ahead} the ledger's last block"
    if -_SKEW_WARN_MS <= skew_ms <= _SKEW_WARN_MS + late_ms:
        return Finding(check="clock", status="ok", detail=detail)
    advice = "set the clock (timedatectl set-ntp true)"
    status = Finding(check="clock", status="warn", detail=detail, advice=advice)
    return replace(status, status="fail") if abs(skew_ms) > _SKEW_FAIL_MS else status


async def _get_header(desk: LedgerDesk, trust: Trust | None) -> Header:
    signed = await get_header(desk.ask, 0)
    return signed.header if trust is None else await reach_header(desk.ask, trust, signed)
