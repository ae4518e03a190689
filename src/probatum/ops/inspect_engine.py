"""A full node's engine: its files, whether its last block's time moves, and whose chain it is on.

That CometBFT answers, and as healthy, proves nothing: a node whose application computed another
hash than the others stands still for ever and answers all the while. So its block time is watched,
and its application's hash is held to the header that another full node proves. Must not know
processes. Read next: `engine_homes`, `engine_status`.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Final

from probatum.consensus.trusting import Believed, believe, check_next
from probatum.errors import Fault, ProbatumError, Refusal
from probatum.nodes.shell.engine_files import get_rpc_port
from probatum.nodes.shell.genesis_file import load_genesis
from probatum.ops.children import read_log_tail
from probatum.ops.cometbft import VERSION, find_cometbft
from probatum.ops.engine_homes import check_engine_home, load_validator_key
from probatum.ops.engine_status import read_peers_height, read_status
from probatum.ops.findings import Finding, from_error
from probatum.ops.inspect_ledger import make_desk
from probatum.ops.keeping import NAME
from probatum.ops.kept_tip import read_kept_tip
from probatum.ops.onboarding import Converse
from probatum.ops.supervising import LastBlock
from probatum.protocol.headers import compute_header_hash
from probatum.protocol.messages import GetHeader, GotHeader
from probatum.protocol.primitives import OperatingKey
from probatum.protocol.trust import Trust

__all__ = ["inspect_agreement", "inspect_engine"]

_MOVING_S: Final = 10.0
_POLL_S: Final = 0.5
_HALTED: Final = "docs/operating/validators.md, a halted chain: do the others move?"
_START: Final = "start it (probatum network keep HOME); if it does not stay up: its log"
_ANOTHER: Final = "end the other, or give this one a port of its own: laddr of [rpc], config.toml"
_ALONE: Final = "look at persistent_peers of config.toml, the others' addresses, the firewall"
_DIVERGED: Final = "docs/operating/validators.md, a diverged node: stop it, roll back, start it"


def inspect_engine(home: Path) -> tuple[Finding, ...]:
    """Inspect an engine's files, and for some seconds whether its last block moves."""
    try:
        path = find_cometbft()
        program = Finding(check="cometbft", status="ok", detail=f"{VERSION} at {path}")
    except ProbatumError as error:
        program = from_error("cometbft", error)
    try:
        check_engine_home(home, load_genesis(home / "genesis.json"))
        key = load_validator_key(home).key
        port = get_rpc_port(home)
    except ProbatumError as error:
        return program, from_error("engine files", error)
    detail = (
        f"consensus key {key.hex()[:16]}…, readable by its owner alone; genesis is this chain's"
    )
    files = Finding(check="engine files", status="ok", detail=detail)
    return program, files, _inspect_motion(home, port, key)


def _inspect_motion(home: Path, port: int, key: OperatingKey) -> Finding:
    check = "block time"
    try:
        first = last = read_status(port, key=key)
        deadline = time.monotonic() + _MOVING_S
        while last.time_ms == first.time_ms and time.monotonic() < deadline:
            time.sleep(_POLL_S)
            last = read_status(port, key=key)
    except Fault as error:
        advice = _ANOTHER if error.code == "engine.another" else _START
        detail = f"{error.code}: {error.message}{_find_last_errors(home.absolute())}"
        return Finding(check=check, status="fail", detail=detail, advice=advice)
    if last.time_ms != first.time_ms:
        detail = f"moves, from height {first.height} to {last.height}"
        return Finding(check=check, status="ok", detail=detail)
    detail, advice = _tell_still(last), _HALTED
    with contextlib.suppress(Fault):
        if read_peers_height(port) is None:
            detail, advice = f"{detail}; it has no peers", _ALONE
    return Finding(check=check, status="fail", detail=detail, advice=advice)


def _find_last_errors(home: Path) -> str:
    """Find what application and engine said as they were refused their start, if they were.

    A taken port, an address that is none, a ledger of another chain: whoever keeps them up tries
    again, and these are the last words of every try. In order they end with other words.
    """
    said = ""
    for folder, name in ((home / "logs", NAME), (home.parent.parent / "logs", home.name)):
        for log in (folder / f"{name}.jsonl", folder / f"{name}-engine.jsonl"):
            words = read_log_tail(log)
            word = next(iter(words[:1] if _is_panic(words) else words[-1:]), "")
            if _is_panic(words) or word.lower().startswith("error: "):
                said += f"; {log} ends with {word}"
    return said


def _is_panic(words: tuple[str, ...]) -> bool:
    return bool(words) and words[0].startswith("panic: ")


def _tell_still(last: LastBlock) -> str:
    age_s = time.time() - last.time_ms / 1_000
    return f"stands still at height {last.height}; that block is {age_s:.0f} s old"


async def inspect_agreement(
    converse: Converse, home: Path, other: str, trust: Trust
) -> tuple[Finding, ...]:
    """Hold the last header on this node's disk to the one that another full node proves.

    Args:
        converse: How to reach the other.
        home: This node's folder.
        other: Another full node's endpoint.
        trust: The network: the other is not believed either. What this node has sealed itself
            counts as well, so that the file may be of long ago.
    """
    check = "agreement"
    try:
        tip = await asyncio.to_thread(read_kept_tip, home)
        if not tip.height:
            return (Finding(check=check, status="skip", detail="it has no block yet"),)
        believed = believe(trust, tip.sealed)
        header = await _wait_header(converse, other, tip.height, believed)
    except Fault as error:
        return (from_error(check, error, status="skip"),)
    except ProbatumError as error:
        # It has none of that height yet, or what it shows is not proven: nothing to hold this to.
        return (from_error(check, error, status="warn"),)
    if header == tip.header_hash:
        detail = f"height {tip.height} is the same at {other}, and proven there"
        return (Finding(check=check, status="ok", detail=detail),)
    detail = f"DIVERGED: at height {tip.height} this node has {tip.header_hash.hex()[:16]}…, "
    detail += f"the network {header.hex()[:16]}…"
    return (Finding(check=check, status="fail", detail=detail, advice=_DIVERGED),)


async def _wait_header(converse: Converse, other: str, height: int, believed: Believed) -> bytes:
    """Wait for the header: others prove a height one block after they have it."""
    deadline = time.monotonic() + _MOVING_S
    while True:
        try:
            return await _get_header(converse, other, height, believed)
        except Refusal:
            if time.monotonic() > deadline:
                raise
            await asyncio.sleep(_POLL_S)


async def _get_header(converse: Converse, other: str, height: int, believed: Believed) -> bytes:
    reply = await make_desk(converse, other).ask(GetHeader(height=height))
    if not isinstance(reply, GotHeader):
        raise Fault("network.odd-reply", f"the full node replied {type(reply).__name__}")
    check_next(believed, reply.header, time.time_ns() // 1_000_000)
    header = reply.header.header
    if header.height != height:
        raise Refusal("network.odd-header", f"asked for {height}, got {header.height}")
    return compute_header_hash(header)
