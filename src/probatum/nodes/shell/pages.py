"""Pages: GET endpoints that show something, and the way of binary values into JSON.

Must not know any role.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeAlias

import msgspec
from starlette.types import Receive, Scope, Send

from probatum.errors import Refusal
from probatum.nodes.shell.front import JSON_TYPE, respond

__all__ = ["Page", "Shown", "make_health", "show_json", "show_value"]

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
