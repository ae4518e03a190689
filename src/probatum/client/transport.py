"""Conversations over HTTP: one framed message up, framed replies down.

Bounded in bytes and time whatever the other side does. What goes wrong in the world is a Fault
with one of few codes; what the other side's door refuses is a Refusal under that door's code. A
party's own `Refused` is a reply like any other. Must not know what messages mean.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping
from types import TracebackType
from typing import Final, Self

import aiohttp
import msgspec

from probatum.errors import Fault, Refusal
from probatum.protocol import limits
from probatum.protocol.frames import FrameReader, encode_frame
from probatum.protocol.messages import Message
from probatum.protocol.primitives import Code

__all__ = ["HttpTransport"]

_FRAMES: Final = "application/x-probatum-frames"
_HEADERS: Final = {"Content-Type": _FRAMES, "Accept": _FRAMES}
_CONNECT_S: Final = 5.0
_CONNECTIONS: Final = 256
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
        self._headers = {
            endpoint: {**_HEADERS, "Authorization": f"Bearer {key}"}
            for endpoint, key in (api_keys or {}).items()
        }
        self._session: aiohttp.ClientSession | None = None

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
        if self._session is not None:
            session, self._session = self._session, None
            await session.close()

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
        session = self._get_session()
        timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(_CONNECT_S, timeout_s))
        try:
            async with session.post(
                endpoint + "/message",
                data=encode_frame(message),
                headers=self._headers.get(endpoint, _HEADERS),
                timeout=timeout,
                allow_redirects=False,
            ) as response:
                if response.status != 200 or response.content_type != _FRAMES:
                    raise await _explain(endpoint, response)
                reader, taken = FrameReader(), 0
                async for piece in response.content.iter_any():
                    taken += len(piece)
                    if taken > _REPLY_BYTES:
                        raise _bad_reply(endpoint, "more bytes than any reply has")
                    for reply in reader.feed(piece):
                        yield reply
                reader.finish()
        except aiohttp.ClientConnectorError as error:
            raise Fault(
                "transport.unreachable",
                f"nobody answers at {endpoint}: {error.os_error.strerror or error.os_error}",
                hint="is the network running, or the address another?",
            ) from None
        except TimeoutError:
            raise Fault(
                "transport.timeout", f"{endpoint} did not answer within {timeout_s:g} s"
            ) from None
        except ValueError:
            # `InvalidURL`, and what resolvers and header writers raise for odd names.
            raise Refusal(
                "transport.bad-address",
                f"{endpoint[:200]!r} is no address of a party",
                hint="scheme, host and port: http://127.0.0.1:8080",
            ) from None
        except (aiohttp.ClientError, ConnectionError) as error:
            raise Fault("transport.cut", f"{endpoint} broke off: {error}") from None

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

    def _get_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
            )
        return self._session


def _bad_reply(endpoint: str, what: str) -> Fault:
    return Fault(
        "transport.bad-reply",
        f"{endpoint} does not answer as a Probatum party: {what}",
        retryable=False,
    )


async def _explain(endpoint: str, response: aiohttp.ClientResponse) -> Refusal | Fault:
    """Make an error of a response that is no stream of frames."""
    body = await response.content.read(_PROBLEM_BYTES)
    try:
        problem = msgspec.json.decode(body, type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        problem = _Problem()
    if not problem.code:
        return _bad_reply(endpoint, f"HTTP status {response.status}")
    # What a stranger wrote ends up in terminals and logs.
    detail = "".join(mark for mark in problem.detail if mark.isprintable())
    what = f"{endpoint}: {detail or problem.code}"
    if response.status >= 500 or response.status in {408, 429}:
        return Fault("transport.unavailable", f"{what} ({problem.code})", hint=problem.hint)
    return Refusal(problem.code, what, hint=problem.hint)
