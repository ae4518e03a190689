"""A node's place in the ledger: registered, alive, staked, unconvicted, funded, and with its log.

Must not know homes' files. Read next: `doctor`.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Final, TypeVar

from probatum.client.proofs import reach_header
from probatum.errors import Fault, ProbatumError
from probatum.ledger.params import Params, decode_params, get_minimum_stake
from probatum.ops.findings import Finding, from_error
from probatum.ops.inspect_ledger import make_desk
from probatum.ops.onboarding import Converse, LedgerDesk
from probatum.protocol import limits
from probatum.protocol.encoding import LedgerValue, decode
from probatum.protocol.messages import (
    GetLogFile,
    GetState,
    GotLogFile,
    GotState,
    ListedState,
    ListState,
)
from probatum.protocol.notes import Checkpoint, log_origin, open_checkpoint
from probatum.protocol.primitives import UNITS_PER_TOKEN, Address
from probatum.protocol.records import (
    CHALLENGE,
    OFFENCE,
    PARAMS_KEY,
    Account,
    ChallengeRecord,
    LogRecord,
    NodeRecord,
    OffenceRecord,
    StakeRecord,
    get_account_key,
    get_log_key,
    get_node_key,
    get_stake_key,
)
from probatum.protocol.trust import Trust, get_domain

__all__ = ["Registrant", "inspect_node"]

_SETTLE_S: Final = 15.0
"""How long an old tail is given to be settled while one looks."""
_POLL_S: Final = 0.5
_FEES_WARN: Final = 10_000
"""Transactions that the payer can pay for; a busy node sends some a minute."""
_LISTED: Final = 100
V = TypeVar("V", bound=LedgerValue)


@dataclass(frozen=True, slots=True, kw_only=True)
class Registrant:
    """Whose place is looked at.

    Attributes:
        operator: The account that registered the node.
        key: The operating key in the node's home, in hex; None if there is none to compare.
        payer: The account that pays the node's fees; None if it has none.
    """

    operator: Address
    key: str | None
    payer: Address | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Place:
    """What the ledger knows of a node."""

    record: NodeRecord | None
    params: Params
    stake: StakeRecord
    balance: int | None
    height: int


async def inspect_node(
    converse: Converse, ledger: str, trust: Trust, whose: Registrant
) -> tuple[Finding, ...]:
    """Look at what the ledger knows of a node, and whether the node's newest log is its own.

    Args:
        converse: How to reach others.
        ledger: A full node.
        trust: The network.
        whose: The node.
    """
    desk = make_desk(converse, ledger)
    try:
        place = await _get_place(desk, trust, whose)
        convictions = await _inspect_offences(desk, whose.operator)
        challenges = await _inspect_challenges(desk, whose.operator, place.height)
    except ProbatumError as error:
        return (from_error("registration", error),)
    record = place.record
    if record is None:
        advice = "`probatum node register HOME`, with its operator's account"
        detail = "the ledger does not know this operator's node"
        return (Finding(check="registration", status="fail", detail=detail, advice=advice),)
    if whose.key is not None and record.operating_key.hex() != whose.key:
        advice = "register this home's key, or use the home that has the registered one"
        detail = f"registered with another key: {record.operating_key.hex()[:16]}…"
        return (Finding(check="registration", status="fail", detail=detail, advice=advice),)
    detail = f"{', '.join(record.roles)} at {record.endpoint}"
    registered = Finding(check="registration", status="ok", detail=detail)
    common = (registered, _judge_stake(place, record), convictions, *_judge_fees(place))
    if "inference" not in record.roles:
        return common
    log = await _inspect_log(converse, desk, trust, record, place)
    return (*common, challenges, _judge_heartbeat(record, place.params, place.height), log)


async def _get_place(desk: LedgerDesk, trust: Trust, whose: Registrant) -> _Place:
    keys = [get_node_key(whose.operator), PARAMS_KEY, get_stake_key(whose.operator)]
    if whose.payer is not None:
        keys.append(get_account_key(whose.payer))
    reply = await desk.ask(GetState(keys=tuple(keys), prove=False))
    if not isinstance(reply, GotState) or len(reply.items) != len(keys):
        raise Fault("network.odd-reply", f"the full node replied {type(reply).__name__}")
    values = [item.value for item in reply.items]
    account = _decode(Account, values[3]) if whose.payer is not None else None
    balance = account.balance if account else 0
    return _Place(
        record=_decode(NodeRecord, values[0]),
        params=decode_params(values[1] or b""),
        stake=_decode(StakeRecord, values[2]) or StakeRecord(bonded=0, unbonding=()),
        balance=None if whose.payer is None else balance,
        height=(await reach_header(desk.ask, trust, reply.header)).height,
    )


def _decode(kind: type[V], value: bytes | None) -> V | None:
    return None if value is None else decode(kind, value, limit_bytes=limits.STATE_VALUE_BYTES)


def _judge_stake(place: _Place, record: NodeRecord) -> Finding:
    needed = get_minimum_stake(place.params, record.roles)
    leaving = sum(part.amount for part in place.stake.unbonding)
    detail = f"{_say(place.stake.bonded)} tokens are bonded, {_say(needed)} are needed"
    detail += f"; {_say(leaving)} are on their way out" if leaving else ""
    if place.stake.bonded >= needed:
        return Finding(check="stake", status="ok", detail=detail)
    advice = "probatum node register HOME bonds what is missing; until then nobody hands it work"
    return Finding(check="stake", status="fail", detail=detail, advice=advice)


def _judge_fees(place: _Place) -> tuple[Finding, ...]:
    if place.balance is None:
        return ()
    count = place.balance // max(1, place.params.min_fee_units)
    detail = f"the payer has {_say(place.balance)} tokens, for {count} transactions at most"
    if count >= _FEES_WARN:
        return (Finding(check="fees", status="ok", detail=detail),)
    advice = "send it tokens: a node that cannot pay can neither settle nor beat"
    status = Finding(check="fees", status="warn", detail=detail, advice=advice)
    if count:
        return (status,)
    return (Finding(check="fees", status="fail", detail=detail, advice=advice),)


async def _inspect_offences(desk: LedgerDesk, operator: Address) -> Finding:
    found = await _list(desk, OFFENCE + operator, OffenceRecord)
    if not found:
        return Finding(check="convictions", status="ok", detail="none")
    last = max(found, key=lambda one: one.convicted_at)
    slashed = sum(one.slashed_units for one in found)
    detail = f"{len(found)}, {_say(slashed)} tokens slashed; the last: {last.kind} in session "
    detail += f"{last.session}, at height {last.convicted_at}"
    advice = "find out which copy of the node signed that before anything else: docs/operating"
    return Finding(check="convictions", status="warn", detail=detail, advice=advice)


async def _inspect_challenges(desk: LedgerDesk, operator: Address, height: int) -> Finding:
    found = await _list(desk, CHALLENGE + operator, ChallengeRecord)
    if not found:
        return Finding(check="challenges", status="ok", detail="none open")
    first = min(found, key=lambda one: one.deadline_at)
    detail = f"{len(found)} open; entry {first.index} of session {first.session} must be settled "
    detail += f"within {max(0, first.deadline_at - height)} blocks"
    advice = "start the node with the journal and the key of that session, now"
    return Finding(check="challenges", status="fail", detail=detail, advice=advice)


async def _list(desk: LedgerDesk, prefix: bytes, kind: type[V]) -> tuple[V, ...]:
    page = await desk.ask(ListState(prefix=prefix, after=b"", limit=_LISTED))
    if not isinstance(page, ListedState):
        raise Fault("network.odd-reply", f"the full node replied {type(page).__name__}")
    values = (_decode(kind, item.value) for item in page.items)
    return tuple(value for value in values if value is not None)


def _judge_heartbeat(record: NodeRecord, params: Params, height: int) -> Finding:
    age = height - record.heartbeat_at
    detail = f"last heartbeat {age} blocks ago, {params.heartbeat_window_blocks} are allowed"
    if age <= params.heartbeat_window_blocks:
        return Finding(check="heartbeat", status="ok", detail=detail)
    advice = "start the node; if it runs, look into its log and at its payer's balance"
    return Finding(check="heartbeat", status="fail", detail=detail, advice=advice)


async def _inspect_log(
    converse: Converse, desk: LedgerDesk, trust: Trust, record: NodeRecord, place: _Place
) -> Finding:
    """Ask the node itself for a signed checkpoint of the newest session that the ledger knows."""
    check = "log session"
    if record.sessions == 0:
        return Finding(check=check, status="fail", detail="none opened", advice="start the node")
    newest = record.sessions - 1
    try:
        checkpoint = await _get_checkpoint(converse, trust, record, newest)
        settled = await _get_log(desk, record.account, newest)
        window = place.params.include_window_blocks
        deadline = time.monotonic() + _SETTLE_S
        while checkpoint.size > settled.size and time.monotonic() < deadline:
            # Work that came a moment ago is no old tail: its settlement is due any block.
            if place.height - settled.settled_at <= window // 2:
                break
            await asyncio.sleep(_POLL_S)
            settled = await _get_log(desk, record.account, newest)
    except Fault as error:
        return from_error(check, error)
    except ProbatumError as error:
        advice = "stop every copy of this node but one; one that sees a newer session stops itself"
        detail = f"the node does not hold its newest session {newest}: {error.code}"
        return Finding(check=check, status="fail", detail=detail, advice=advice)
    return _judge_tail(newest, checkpoint.size, settled, place.height, window)


def _judge_tail(newest: int, size: int, settled: LogRecord, height: int, window: int) -> Finding:
    check = "log session"
    tail, age = max(0, size - settled.size), max(0, height - settled.settled_at)
    detail = f"the newest, {newest}, is its own, opened at height {settled.opened_at}, and has "
    detail += f"{size} entries"
    if tail == 0:
        return Finding(check=check, status="ok", detail=detail + ", all settled")
    detail += f", {tail} not settled; the last settlement was {age} blocks ago"
    if age <= window // 2:
        return Finding(check=check, status="ok", detail=detail)
    advice = "look for settle in the node's log and at its payer's balance: receipts promise to be "
    advice += f"settled within {window} blocks, and who breaks that pays"
    return Finding(check=check, status="fail", detail=detail, advice=advice)


async def _get_checkpoint(
    converse: Converse, trust: Trust, record: NodeRecord, session: int
) -> Checkpoint:
    node = make_desk(converse, record.endpoint)
    reply = await node.ask(GetLogFile(session=session, path="checkpoint"))
    data = reply.data if isinstance(reply, GotLogFile) else b""
    origin = log_origin(get_domain(trust), record.account, session)
    return open_checkpoint(data, origin, record.operating_key)


async def _get_log(desk: LedgerDesk, operator: Address, session: int) -> LogRecord:
    found = await desk.get(get_log_key(operator, session), LogRecord)
    if found is None:
        raise Fault("network.odd-reply", f"the full node shows no log session {session}")
    return found


def _say(units: int) -> str:
    return f"{units / UNITS_PER_TOKEN:,.6f}".rstrip("0").rstrip(".")
