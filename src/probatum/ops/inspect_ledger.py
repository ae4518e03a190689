"""Whether the ledger is there, signed by whom it should be, and moving; and a node's place in it.

Must not know homes' files. Read next: `doctor`.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Final

from probatum.errors import Fault, ProbatumError
from probatum.ledger.params import Params, decode_params
from probatum.ops.findings import Finding, from_error
from probatum.ops.onboarding import Converse, LedgerDesk
from probatum.protocol import limits
from probatum.protocol.eip712 import Domain
from probatum.protocol.encoding import decode
from probatum.protocol.headers import Header, SignedHeader
from probatum.protocol.messages import (
    GetHeader,
    GetLogFile,
    GetState,
    GotHeader,
    GotLogFile,
    GotState,
)
from probatum.protocol.notes import log_origin, open_checkpoint
from probatum.protocol.primitives import Address, make_digest
from probatum.protocol.records import PARAMS_KEY, NodeRecord, get_node_key
from probatum.protocol.trust import Trust, check_signed_header, get_domain

__all__ = ["inspect_ledger", "inspect_node"]

_MOVING_S: Final = 15.0
_POLL_S: Final = 0.1
_SKEW_WARN_MS: Final = 3_000
_SKEW_FAIL_MS: Final = 60_000
_NO_DOMAIN: Final = Domain(
    chain_id=1, genesis_hash=make_digest(bytes(32))
)  # nothing is signed here


def _make_desk(converse: Converse, endpoint: str) -> LedgerDesk:
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
    desk = _make_desk(converse, endpoint)
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
        return reached, moves
    if header.height < first.height:
        detail = f"went from height {first.height} back to {header.height}"
        advice = "do not use this full node: a ledger never goes back"
        return reached, Finding(check="ledger moves", status="fail", detail=detail, advice=advice)
    detail = f"from height {first.height} to {header.height}"
    moves = Finding(check="ledger moves", status="ok", detail=detail)
    return reached, moves, _judge_clock(skew_ms)


def _judge_clock(skew_ms: int) -> Finding:
    ahead = "ahead of" if skew_ms > 0 else "behind"
    detail = f"{abs(skew_ms)} ms {ahead} the ledger's last block"
    if abs(skew_ms) <= _SKEW_WARN_MS:
        return Finding(check="clock", status="ok", detail=detail)
    advice = "set the clock (timedatectl set-ntp true)"
    status = Finding(check="clock", status="warn", detail=detail, advice=advice)
    return replace(status, status="fail") if abs(skew_ms) > _SKEW_FAIL_MS else status


async def _get_header(desk: LedgerDesk, trust: Trust | None) -> Header:
    reply = await desk.ask(GetHeader(height=0))
    if not isinstance(reply, GotHeader):
        raise Fault("network.odd-reply", f"the full node replied {type(reply).__name__}")
    return _check(reply.header, trust)


def _check(signed: SignedHeader, trust: Trust | None) -> Header:
    return signed.header if trust is None else check_signed_header(trust, signed)


async def inspect_node(
    converse: Converse, ledger: str, trust: Trust, operator: Address, key: str | None
) -> tuple[Finding, ...]:
    """Look at what the ledger knows of a node, and whether the node's newest log is its own.

    Args:
        converse: How to reach others.
        ledger: A full node.
        trust: The network.
        operator: The node's operator.
        key: The operating key in the node's home, in hex; None if there is none to compare.
    """
    try:
        record, params, height = await _get_place(_make_desk(converse, ledger), trust, operator)
    except ProbatumError as error:
        return (from_error("registration", error),)
    if record is None:
        advice = "stake, then register the node with its operator's account"
        detail = "the ledger does not know this operator's node"
        return (Finding(check="registration", status="fail", detail=detail, advice=advice),)
    if key is not None and record.operating_key.hex() != key:
        advice = "register this home's key, or use the home that has the registered one"
        detail = f"registered with another key: {record.operating_key.hex()[:16]}…"
        return (Finding(check="registration", status="fail", detail=detail, advice=advice),)
    detail = f"{', '.join(record.roles)} at {record.endpoint}"
    registered = Finding(check="registration", status="ok", detail=detail)
    if "inference" not in record.roles:
        return (registered,)
    session = await _inspect_session(converse, trust, record)
    return registered, _judge_heartbeat(record, params, height), session


async def _get_place(
    desk: LedgerDesk, trust: Trust, operator: Address
) -> tuple[NodeRecord | None, Params, int]:
    reply = await desk.ask(GetState(keys=(get_node_key(operator), PARAMS_KEY), prove=False))
    if not isinstance(reply, GotState) or len(reply.items) != 2:
        raise Fault("network.odd-reply", f"the full node replied {type(reply).__name__}")
    height = _check(reply.header, trust).height
    value, params = (item.value for item in reply.items)
    record = (
        None if value is None else decode(NodeRecord, value, limit_bytes=limits.STATE_VALUE_BYTES)
    )
    return record, decode_params(params or b""), height


def _judge_heartbeat(record: NodeRecord, params: Params, height: int) -> Finding:
    age = height - record.heartbeat_at
    detail = f"last heartbeat {age} blocks ago, {params.heartbeat_window_blocks} are allowed"
    if age <= params.heartbeat_window_blocks:
        return Finding(check="heartbeat", status="ok", detail=detail)
    advice = "start the node; if it runs, look into its log and at its payer's balance"
    return Finding(check="heartbeat", status="fail", detail=detail, advice=advice)


async def _inspect_session(converse: Converse, trust: Trust, record: NodeRecord) -> Finding:
    """Ask the node itself for a signed checkpoint of the newest session that the ledger knows."""
    check = "log session"
    if record.sessions == 0:
        return Finding(check=check, status="fail", detail="none opened", advice="start the node")
    newest = record.sessions - 1
    node = _make_desk(converse, record.endpoint)
    try:
        reply = await node.ask(GetLogFile(session=newest, path="checkpoint"))
        data = reply.data if isinstance(reply, GotLogFile) else b""
        origin = log_origin(get_domain(trust), record.account, newest)
        checkpoint = open_checkpoint(data, origin, record.operating_key)
    except Fault as error:
        return from_error(check, error)
    except ProbatumError as error:
        advice = "stop every copy of this node but one; one that sees a newer session stops itself"
        detail = f"the node does not hold its newest session {newest}: {error.code}"
        return Finding(check=check, status="fail", detail=detail, advice=advice)
    detail = f"the newest, {newest}, is its own and has {checkpoint.size} entries"
    return Finding(check=check, status="ok", detail=detail)
