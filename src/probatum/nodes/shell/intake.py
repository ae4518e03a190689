"""Reading request bodies: bounded in size, in time, and in the sum of all that are held.

A declared length over the limit is refused before a byte is read; an undeclared one is counted as
it comes. Must not know what a body means.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Final, TypeAlias

from starlette.types import Receive, Scope

from probatum.errors import Refusal
from probatum.protocol import limits

__all__ = ["WHOLE", "Intake"]

WHOLE: Final = "probatum.whole"
"""Key of an HTTP scope under which the server says that the body has come: no time is taken."""

_Headers: TypeAlias = list[tuple[bytes, bytes]]
_DRAIN_BYTES: Final = 64 * limits.MIB
_DRAIN_S: Final = 2.0


class Intake:
    """Reads bodies for one process."""

    def __init__(self, *, held_bytes: int = 512 * limits.MIB, timeout_s: float = 20.0) -> None:
        """Make an intake.

        Args:
            held_bytes: All bodies together; one more is refused as busy.
            timeout_s: A body that is not complete after this long is refused.
        """
        self._held_bytes = held_bytes
        self._timeout_s = timeout_s
        self._held = 0

    async def read(self, scope: Scope, receive: Receive, *, limit_bytes: int) -> bytes:
        """Read a whole body; give its length back to `release` when it is done with.

        Raises:
            Refusal: `door.too-large`, `door.too-slow`, `door.busy`, `door.gone`,
                `door.bad-length`.
        """
        declared = _get_length(scope["headers"])
        if declared > limit_bytes:
            await _drain(receive)
            raise _too_large(limit_bytes)
        self._reserve(declared)
        reserved = declared
        taken = False
        try:
            if WHOLE in scope:
                body = await _read_on(await receive(), receive, limit_bytes)
            else:
                async with asyncio.timeout(self._timeout_s):
                    body = await _read_on(await receive(), receive, limit_bytes)
            if len(body) > limit_bytes:
                raise _too_large(limit_bytes)
            self._reserve(len(body) - reserved)
            reserved = len(body)
            taken = True
        except TimeoutError:
            raise Refusal(
                "door.too-slow", f"the body did not come within {self._timeout_s:g} s"
            ) from None
        finally:
            if not taken:
                self._held -= reserved
        return body

    def release(self, size_bytes: int) -> None:
        """Say that a body is not held any more."""
        self._held -= size_bytes

    def _reserve(self, size_bytes: int) -> None:
        if self._held + size_bytes > self._held_bytes:
            raise Refusal(
                "door.busy",
                "this node holds as many bytes of requests as it may",
                hint="try again in a moment, or ask another node",
            )
        self._held += size_bytes


async def _read_on(message: Any, receive: Receive, limit_bytes: int) -> bytes:
    if message["type"] == "http.request" and not message.get("more_body", False):
        whole: bytes = message.get("body", b"")
        return whole
    parts = bytearray()
    while True:
        if message["type"] != "http.request":
            raise Refusal("door.gone", "the other side hung up inside the body")
        parts += message.get("body", b"")
        if len(parts) > limit_bytes:
            await _drain(receive)
            raise _too_large(limit_bytes)
        if not message.get("more_body", False):
            return bytes(parts)
        message = await receive()


async def _drain(receive: Receive) -> None:
    """Swallow some of a body that is refused, so that its sender gets to read the refusal."""
    swallowed = 0
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(_DRAIN_S):
            while swallowed < _DRAIN_BYTES:
                message = await receive()
                swallowed += len(message.get("body", b""))
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return


def _get_length(headers: _Headers) -> int:
    for name, value in headers:
        if name == b"content-length":
            if not value.isdigit() or len(value) > 18:
                raise Refusal("door.bad-length", "Content-Length is no number")
            return int(value)
    return 0


def _too_large(limit_bytes: int) -> Refusal:
    return Refusal("door.too-large", f"a body here has at most {limit_bytes} bytes")
