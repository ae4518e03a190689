"""What an engine on this machine says of its last block, of its peers, and of what it refuses.

Small questions by CometBFT's RPC, bounded and read strictly. That it answers proves nothing:
what counts is that the time of its last block moves. Must not know processes.
"""

from __future__ import annotations

import http.client
import os
import re
from base64 import b64encode
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import msgspec
from msgspec import Meta, Struct

from probatum.errors import Fault
from probatum.ops.supervising import LastBlock
from probatum.protocol.primitives import OperatingKey

__all__ = ["find_cause", "read_peers_height", "read_status"]

_ANSWER_BYTES: Final = 64 * 1024
_PEERS_BYTES: Final = 4 * 1024 * 1024
_LOG_BYTES: Final = 64 * 1024
_DISAGREES: Final = re.compile(rb"wrong Block\.Header\.([A-Za-z]{1,40})")
_Height = Annotated[str, Meta(pattern=r"^[0-9]{1,18}\Z")]


class _SyncInfo(Struct, frozen=True):
    latest_block_height: _Height
    latest_block_time: Annotated[str, Meta(max_length=40)]


class _RoundState(Struct, frozen=True):
    height: _Height


class _PeerState(Struct, frozen=True):
    round_state: _RoundState


class _PeerEntry(Struct, frozen=True):
    peer_state: _PeerState


class _Peers(Struct, frozen=True):
    peers: tuple[_PeerEntry, ...]


class _Key(Struct, frozen=True):
    value: Annotated[str, Meta(pattern=r"^[A-Za-z0-9+/=]{1,200}\Z")]


class _ValidatorInfo(Struct, frozen=True):
    pub_key: _Key


class _Status(Struct, frozen=True):
    sync_info: _SyncInfo
    validator_info: _ValidatorInfo | None = None


_S = TypeVar("_S", bound=Struct)


def read_status(
    rpc_port: int, timeout_s: float = 1.0, *, key: OperatingKey | None = None
) -> LastBlock:
    """Ask an engine for its last block.

    Args:
        rpc_port: Where it answers.
        timeout_s: How long to wait.
        key: The consensus key of the engine that is meant; any engine's answer counts if None.

    Raises:
        Fault: `engine.unreachable`, `engine.odd-reply`; `engine.another` if another one answers.
    """
    status = _ask(rpc_port, "/status", _Status, timeout_s, _ANSWER_BYTES)
    who = status.validator_info
    if key is not None and (who is None or who.pub_key.value != b64encode(key).decode()):
        shown = "names no key" if who is None else f"has the consensus key {who.pub_key.value:.60}"
        raise Fault("engine.another", f"the engine that answers at port {rpc_port} {shown}")
    said = status.sync_info
    return LastBlock(
        height=int(said.latest_block_height), time_ms=_read_time(said.latest_block_time)
    )


def read_peers_height(rpc_port: int, timeout_s: float = 1.0) -> int | None:
    """Ask an engine which height more than half of its peers decide; None without peers.

    It says what they told it: enough to look closer, and no proof of anything.

    Raises:
        Fault: `engine.unreachable`, `engine.odd-reply`.
    """
    said = _ask(rpc_port, "/dump_consensus_state", _Peers, timeout_s, _PEERS_BYTES).peers
    heights = sorted(int(one.peer_state.round_state.height) for one in said)
    return heights[(len(heights) - 1) // 2] if heights else None


def find_cause(log: Path, since: int) -> str:
    """Find out from an engine's log why it refuses the others' blocks, in a sentence.

    Args:
        log: The log.
        since: Where this engine's words begin in it.

    Returns:
        Empty if it says nothing of the kind.
    """
    try:
        with log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(since, size - _LOG_BYTES))
            found = _DISAGREES.findall(file.read(_LOG_BYTES))
    except OSError:
        return ""
    if not found:
        return ""
    if found[-1] == b"Version":
        return (
            "the others' blocks have another app version: install the release that they run, and "
            "see docs/operating/validators.md, upgrade"
        )
    return (
        f"it disagrees with the others ({found[-1].decode()}), and starting it again mends "
        "nothing: docs/operating/validators.md, a diverged node"
    )


def _ask(port: int, path: str, kind: type[_S], timeout_s: float, limit_bytes: int) -> _S:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        link.request("GET", path)
        data = link.getresponse().read(limit_bytes + 1)
    except (OSError, http.client.HTTPException) as error:
        raise Fault("engine.unreachable", f"no engine answers at port {port}: {error}") from None
    finally:
        link.close()
    try:
        if len(data) > limit_bytes:
            raise _odd(port, "it is too long")
        envelope: Any = msgspec.json.decode(data)
        return msgspec.convert(envelope["result"], kind)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, KeyError, TypeError) as error:
        raise _odd(port, str(error)) from None


def _read_time(text: str) -> int:
    """Read RFC 3339 with up to nine decimals, as Go writes it; to the millisecond below."""
    moment, _, decimals = text.removesuffix("Z").partition(".")
    try:
        found = datetime.strptime(moment, "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)
        return int(found.timestamp()) * 1_000 + int((decimals + "000")[:3])
    except ValueError:
        raise _odd(0, f"{text!r:.60} is no time") from None


def _odd(port: int, why: str) -> Fault:
    return Fault("engine.odd-reply", f"the engine at port {port} gave no such answer: {why:.200}")
