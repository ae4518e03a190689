"""Conversations over HTTP: one framed message up, framed replies down.

Bounded in bytes and time whatever the other side does. What goes wrong in the world is a Fault
with one of few codes; what the other side's door refuses is a Refusal under that door's code. A
party's own `Refused` is a reply like any other. Must not know what messages mean.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from types import TracebackType
from typing import Final, Self

import msgspec

from probatum.client.lines import Line, LineCut, Lines, Where, locate
from probatum.errors import Fault, Refusal
from probatum.protocol import limits
from probatum.protocol.frames import FrameReader, encode_frame
from probatum.protocol.messages import Message
from probatum.protocol.primitives import Code

__all__ = ["HttpTransport"]

_FRAMES: Final = "application/x-probatum-frames"
_FRAMES_BYTES: Final = _FRAMES.encode()
_CONVERSATIONS: Final = 256
_PROBLEM_BYTES: Final = 64 * limits.KIB
_REPLY_BYTES: Final = limits.FRAME_BYTES + limits.MIB
"""All replies of one conversation together."""


class _Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What a door says no with (RFC 9457); members that are not named here are left."""

    code: Code = ""
    detail: str = ""
    hint: str = ""


class HttpTransport:
    """Talks to parties. Made anywhere; it belongs to the event loop that first uses it."""

    def __init__(self, api_keys: Mapping[str, str] | None = None) -> None:
        """Make a transport; nothing is opened before it is used.

        Args:
            api_keys: By endpoint, what to show at its door; nobody else sees it.
        """
        self._api_keys = dict(api_keys or {})
        self._lines: Lines | None = None

    async def __aenter__(self) -> Self:
        """Enter; leaving closes all connections."""
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Close all connections."""
        await self.close()

    async def close(self) -> None:
        """Close all connections; the transport can be used again."""
        if self._lines is not None:
            lines, self._lines = self._lines, None
            lines.close()

    async def converse(
        self, endpoint: str, message: Message, timeout_s: float
    ) -> AsyncGenerator[Message, None]:
        """Open a conversation and yield its replies until the other side ends it.

        Args:
            endpoint: ``http://host:port`` of the other party.
            message: What to say.
            timeout_s: For the whole conversation.

        Raises:
            Fault: `transport.unreachable`, `transport.timeout`, `transport.cut`,
                `transport.bad-reply` (no Probatum party, or more bytes than any reply has),
                `transport.unavailable`.
            Refusal: `frame.*`, `encoding.*` for replies that are none; the door's own code where
                it refuses what was said.
        """
        if self._lines is None:
            self._lines = Lines(limit=_CONVERSATIONS)
        lines, line = self._lines, None
        try:
            where = locate(endpoint)
            head = self._make_head(endpoint, where)
            line = await lines.send(where, head, encode_frame(message), timeout_s)
            if line.status != 200 or line.content_type != _FRAMES:
                raise await _explain(endpoint, line)
            reader, taken = FrameReader(), 0
            while piece := await line.read():
                taken += len(piece)
                if taken > _REPLY_BYTES:
                    raise _bad_reply(endpoint, "more bytes than any reply has")
                for reply in reader.feed(piece):
                    yield reply
            reader.finish()
        except TimeoutError:
            raise Fault(
                "transport.timeout", f"{endpoint} did not answer within {timeout_s:g} s"
            ) from None
        except LineCut as error:
            raise Fault("transport.cut", f"{endpoint} broke off: {error}") from None
        except ValueError:
            # Also what resolvers raise for odd names.
            raise Refusal(
                "transport.bad-address",
                f"{endpoint[:200]!r} is no address of a party",
                hint="scheme, host and port: http://127.0.0.1:8080",
            ) from None
        except OSError as error:
            raise Fault(
                "transport.unreachable",
                f"nobody answers at {endpoint}: {error.strerror or error}",
                hint="is the network running, or the address another?",
            ) from None
        finally:
            if line is not None:
                lines.put_back(line)

    def _make_head(self, endpoint: str, where: Where) -> bytes:
        """Make a request's head. Raises ValueError for an API key that cannot stand in one."""
        head = b"POST %b/message HTTP/1.1\r\nHost: %b" % (where.path, where.name)
        head += b"\r\nContent-Type: %b\r\nAccept: %b" % (_FRAMES_BYTES, _FRAMES_BYTES)
        key = self._api_keys.get(endpoint)
        if key is None:
            return head
        if not (key.isascii() and key.isprintable()):
            raise ValueError("an API key has printable characters")
        return b"%b\r\nAuthorization: Bearer %b" % (head, key.encode())

    async def ask(self, endpoint: str, message: Message, timeout_s: float) -> Message:
        """Hold a conversation of one reply.

        Raises:
            Fault: as `converse`; `transport.cut` if no reply came.
            Refusal: as `converse`.
        """
        last: Message | None = None
        async for reply in self.converse(endpoint, message, timeout_s):
            last = reply
        if last is None:
            raise Fault("transport.cut", f"{endpoint} said nothing")
        return last


def _bad_reply(endpoint: str, what: str) -> Fault:
    return Fault(
        "transport.bad-reply",
        f"{endpoint} does not answer as a Probatum party: {what}",
        retryable=False,
    )


async def _explain(endpoint: str, line: Line) -> Refusal | Fault:
    """Make an error of a response that is no stream of frames."""
    body = b""
    while len(body) < _PROBLEM_BYTES and (piece := await line.read()):
        body += piece
    try:
        problem = msgspec.json.decode(body[:_PROBLEM_BYTES], type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        problem = _Problem()
    if not problem.code:
        return _bad_reply(endpoint, f"HTTP status {line.status}")
    # What a stranger wrote ends up in terminals and logs.
    detail = "".join(mark for mark in problem.detail if mark.isprintable())
    what = f"{endpoint}: {detail or problem.code}"
    if line.status >= 500 or line.status in {408, 429}:
        return Fault("transport.unavailable", f"{what} ({problem.code})", hint=problem.hint)
    return Refusal(problem.code, what, hint=problem.hint)
