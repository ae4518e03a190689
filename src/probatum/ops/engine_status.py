"""What an engine on this machine says of its last block.

One small question by CometBFT's RPC, bounded and read strictly. That it answers proves nothing:
what counts is that the time of its last block moves. Must not know processes.
"""

from __future__ import annotations

import http.client
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta, Struct

from probatum.errors import Fault
from probatum.ops.supervising import LastBlock

__all__ = ["read_status"]

_ANSWER_BYTES: Final = 64 * 1024
_Height = Annotated[str, Meta(pattern=r"^[0-9]{1,18}\Z")]


class _SyncInfo(Struct, frozen=True):
    latest_block_height: _Height
    latest_block_time: Annotated[str, Meta(max_length=40)]


class _Status(Struct, frozen=True):
    sync_info: _SyncInfo


def read_status(rpc_port: int, timeout_s: float = 1.0) -> LastBlock:
    """Ask an engine for its last block.

    Raises:
        Fault: `engine.unreachable`, `engine.odd-reply`.
    """
    said = _ask(rpc_port, timeout_s).sync_info
    return LastBlock(
        height=int(said.latest_block_height), time_ms=_read_time(said.latest_block_time)
    )


def _ask(port: int, timeout_s: float) -> _Status:
    link = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout_s)
    try:
        link.request("GET", "/status")
        data = link.getresponse().read(_ANSWER_BYTES + 1)
    except (OSError, http.client.HTTPException) as error:
        raise Fault("engine.unreachable", f"no engine answers at port {port}: {error}") from None
    finally:
        link.close()
    try:
        if len(data) > _ANSWER_BYTES:
            raise _odd(port, "it is too long")
        envelope: Any = msgspec.json.decode(data)
        return msgspec.convert(envelope["result"], _Status)
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
