"""Messages to other parties over HTTP: pooled connections, bounded replies, one error each way.

One frame goes out by ``POST /message``, the frames of the reply come back as they are sent. A
problem document instead becomes the `Refused` that it says. Must not know who asks.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Final

import aiohttp
import msgspec
from msgspec import Meta

from probatum.errors import Fault
from probatum.nodes.shell.front import FRAMES_TYPE
from probatum.protocol import limits
from probatum.protocol.frames import FrameReader, encode_frame
from probatum.protocol.messages import Message, Refused

__all__ = ["HttpTransport"]

CONNECTIONS_PER_PARTY: Final = 256
_PROBLEM_BYTES: Final = 64 * limits.KIB
_HEADERS: Final = {"content-type": FRAMES_TYPE.decode()}
_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, sock_connect=5.0)


class _Problem(msgspec.Struct, frozen=True, kw_only=True):
    code: Annotated[str, Meta(min_length=1, max_length=limits.NAME_CHARS)]
    detail: Annotated[str, Meta(max_length=2000)] = ""
    hint: Annotated[str, Meta(max_length=2000)] = ""


class HttpTransport:
    """Opens conversations with other parties; one a process."""

    def __init__(self) -> None:
        """Make a transport; it connects when it is first used."""
        self._session: aiohttp.ClientSession | None = None

    async def converse(self, endpoint: str, message: Message) -> AsyncGenerator[Message, None]:
        """Send a message, yield the replies as they come; the caller bounds the time.

        Args:
            endpoint: The other party's address, ``http://host:port``.
            message: What to say.

        Raises:
            Fault: `transport.unreachable`, `transport.bad-reply`.
            Refusal: `frame.*`, `encoding.*` for replies that are no messages.
        """
        session = self._get_session()
        try:
            async with session.post(
                endpoint + "/message",
                data=encode_frame(message),
                headers=_HEADERS,
                allow_redirects=False,
                timeout=_TIMEOUT,
            ) as response:
                if response.status != 200:
                    yield await _read_problem(response)
                    return
                reader = FrameReader()
                async for data in response.content.iter_any():
                    for reply in reader.feed(data):
                        yield reply
                reader.finish()
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:
            raise Fault(
                "transport.unreachable", f"{endpoint}: {type(error).__name__}: {error}"
            ) from None

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    def _get_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=0, limit_per_host=CONNECTIONS_PER_PARTY, keepalive_timeout=60
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                max_line_size=8 * limits.KIB,
                max_field_size=8 * limits.KIB,
                read_bufsize=256 * limits.KIB,
                skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent"),
            )
        return self._session


async def _read_problem(response: aiohttp.ClientResponse) -> Refused:
    data = b""
    async for piece in response.content.iter_any():
        data += piece
        if len(data) > _PROBLEM_BYTES:
            break
    try:
        problem = msgspec.json.decode(data, type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        raise Fault(
            "transport.bad-reply", f"{response.host} answered {response.status} without a reason"
        ) from None
    return Refused(
        code=problem.code,
        message=problem.detail,
        hint=problem.hint,
        retryable=response.status in {408, 429, 502, 503, 504},
    )
