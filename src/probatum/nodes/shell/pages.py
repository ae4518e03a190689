"""Pages: GET endpoints that show something, files sent in pieces, binary values in JSON.

Must not know any role.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, TypeAlias

import msgspec
from starlette.types import Receive, Scope, Send

from probatum.errors import Fault, Refusal
from probatum.hub.files import open_regular
from probatum.nodes.shell.front import JSON_TYPE, respond
from probatum.protocol import limits

__all__ = ["BYTES_TYPE", "Page", "Shown", "make_health", "send_file", "show_json", "show_value"]

BYTES_TYPE: Final = b"application/octet-stream"
_CHUNK_BYTES: Final = 256 * limits.KIB

_Headers: TypeAlias = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What a page shows."""

    body: bytes
    status: int = HTTPStatus.OK
    content_type: bytes = JSON_TYPE
    headers: _Headers = ()


class Page:
    """An endpoint for GET and HEAD."""

    def __init__(self, show: Callable[[Scope], Awaitable[Shown]]) -> None:
        """Make it; `show` finds path parameters in ``scope["path_params"]``."""
        self._show = show

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        """Serve one exchange."""
        if scope["method"] not in {"GET", "HEAD"}:
            raise Refusal("door.wrong-method", "this path is only for GET")
        shown = await self._show(scope)
        await respond(send, shown.status, shown.body, shown.content_type, headers=shown.headers)


def show_value(value: Any) -> Any:
    """Turn a ledger value into what JSON can say: objects by field name, bytes as hex."""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, tuple):
        return [show_value(item) for item in value]
    if isinstance(value, msgspec.Struct):
        return {name: show_value(getattr(value, name)) for name in value.__struct_fields__}
    return value


def show_json(value: Any, *, status: int = HTTPStatus.OK) -> Shown:
    """Show a ledger value, or what JSON knows, as JSON."""
    return Shown(body=msgspec.json.encode(show_value(value)), status=status)


def make_health(is_ready: Callable[[], bool]) -> Page:
    """Make ``/healthz``: 200 as long as the process serves; says whether it takes work."""

    async def show(_: Scope) -> Shown:
        return Shown(body=msgspec.json.encode({"serving": True, "ready": is_ready()}))

    return Page(show)


async def send_file(path: Path, size: int, scope: Scope, send: Send) -> None:
    """Send a regular file of known size in pieces, read beside the event loop.

    Raises:
        Refusal: `package.missing-file` and others of `probatum.hub.files.open_regular`.
        Fault: `door.short-file`: the file on disk ended early; the response is cut off.
    """
    with open_regular(path) as descriptor:
        head = [(b"content-type", BYTES_TYPE), (b"content-length", b"%d" % size)]
        await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": head})
        left = 0 if scope["method"] == "HEAD" else size
        while left:
            piece = await asyncio.to_thread(os.read, descriptor, min(left, _CHUNK_BYTES))
            if not piece:
                raise Fault("door.short-file", f"{path.name} is shorter than it should be")
            left -= len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})
