"""Kept HTTP/1.1 connections: one request at a time up each, its response down in pieces.

No general client: no redirects, cookies, proxies or compression; whole bodies up, bounded heads
down, and readers who do not read stop the sender. Must not know frames or messages.
"""

from __future__ import annotations

import asyncio
import re
import urllib.parse
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, cast

import httptools

from probatum.protocol import limits

__all__ = ["Line", "LineCut", "Lines", "Where", "locate"]

_HEAD_BYTES: Final = 64 * limits.KIB
"""Most that may come without a piece of the body among it: a head, chunks' heads, trailers."""
_UNREAD_BYTES: Final = 4 * limits.MIB
"""More than this, and the sender has to wait until some of it is read."""
_IDLE_S: Final = 15.0
"""A quiet line is kept so long; doors keep theirs longer, so that none closes under a request."""
_CONNECT_S: Final = 5.0
_PORTS: Final = {"http": 80, "https": 443}
_NAME: Final = re.compile(r"[A-Za-z0-9.:_%\[\]-]+")
_PATH: Final = re.compile(r"[A-Za-z0-9/%:@._~!$&'()*+,;=-]*")
"""What may stand in a request's head; anything else could begin a second one."""


class LineCut(ConnectionError):
    """The other side broke off, or does not speak HTTP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """An address to connect to; `name` is what HTTP calls it, `path` what its paths begin with."""

    host: str
    port: int
    secure: bool
    name: bytes
    path: bytes


@lru_cache(maxsize=1_024)
def locate(endpoint: str) -> Where:
    """Read an endpoint, ``http://host:port``.

    Raises:
        ValueError: It is none.
    """
    parts = urllib.parse.urlsplit(endpoint)
    if parts.scheme not in _PORTS or not parts.hostname or parts.query or parts.fragment:
        raise ValueError("scheme, host and port")
    host = parts.hostname if ":" in parts.hostname else parts.hostname.encode("idna").decode()
    name = f"[{host}]" if ":" in host else host
    name = name if parts.port is None else f"{name}:{parts.port}"
    path = parts.path.rstrip("/")
    if _NAME.fullmatch(name) is None or _PATH.fullmatch(path) is None or "@" in parts.netloc:
        raise ValueError("scheme, host and port")
    return Where(
        host=host,
        port=_PORTS[parts.scheme] if parts.port is None else parts.port,
        secure=parts.scheme == "https",
        name=name.encode(),
        path=path.encode(),
    )


class Line(asyncio.Protocol):
    """One connection, and the exchange that runs on it.

    Attributes:
        status: Of the response, once `begin` has returned.
        content_type: The same, lower case, without parameters.
    """

    def __init__(self, where: Where, on_close: Callable[[Line], None]) -> None:
        """Make a line, which the event loop connects; `on_close` is called once, at its end."""
        self.status = 0
        self.content_type = ""
        self.where = where
        self._on_close = on_close
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._pieces: deque[bytes] = deque()
        self._unread = 0
        self._head_bytes = 0
        self._in_head = True
        self._bounded = False
        self._complete = False
        self._error: Exception | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._busy = False
        self._paused = False

    # ---------------------------------------------------------------------------- for who asks

    async def begin(self, request: tuple[bytes, ...], timeout_s: float) -> None:
        """Send a request and wait for the response's head.

        Args:
            request: Head and body, in pieces.
            timeout_s: For the whole exchange, its body included.

        Raises:
            LineCut: The connection broke.
            TimeoutError: Out of time, now or in `read`.
        """
        assert self._transport is not None, "the event loop has connected it"
        self.status, self.content_type = 0, ""
        self._busy, self._in_head, self._complete, self._bounded = True, True, False, False
        self._head_bytes = 0
        self._timer = self._loop.call_later(timeout_s, self._fail, TimeoutError())
        self._transport.writelines(request)
        while self._in_head and self._error is None:
            await self._wait()
        if self._in_head and self._error is not None:
            raise self._error

    async def read(self) -> bytes:
        """Read what has come of the response's body; nothing at its end.

        Raises:
            LineCut: The connection broke inside the body.
            TimeoutError: Out of time.
        """
        while not self._pieces:
            if self._complete:
                return b""
            if self._error is not None:
                raise self._error
            await self._wait()
        data = self._pieces.popleft() if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._unread = 0
        if self._paused and self._transport is not None:
            self._paused = False
            self._transport.resume_reading()
        return data

    def end(self) -> bool:
        """End the exchange, read or not; return whether the line may carry another one."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._busy = False
        if self._complete and self._error is None and not self._pieces:
            return True
        self.close()
        return False

    def rest(self) -> None:
        """Wait for the next exchange, for a while."""
        self._timer = self._loop.call_later(_IDLE_S, self.close)

    def wake(self) -> None:
        """Be used again."""
        if self._timer is not None:
            self._timer.cancel()

    def close(self) -> None:
        """Close the connection."""
        self._fail(LineCut("closed on this side"))

    # ------------------------------------------------------------------------ for the event loop

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's are of no common base

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        if not self._busy:
            self._fail(LineCut("it spoke unasked"))
            return
        self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(LineCut(f"no HTTP: {error}"))
        else:
            if self._head_bytes > _HEAD_BYTES:
                self._fail(LineCut("a head without end"))
        self._tell()

    def connection_lost(self, exc: Exception | None) -> None:
        """Learn that the connection is gone; a body without a length ends so."""
        # Only if the other side ended it: what this side broke off is not whole.
        ended = exc is None and self._error is None
        if self._busy and not self._in_head and not self._bounded and ended:
            self._complete = True
        self._fail(LineCut("the connection was closed"))

    # ---------------------------------------------------------------------------- for the parser

    def on_message_begin(self) -> None:
        """Take a response's first byte: a second one was not asked for."""
        if self._complete:
            raise LineCut("it spoke unasked")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header."""
        key = name.lower()
        if key == b"content-type":
            self.content_type = value.partition(b";")[0].strip().lower().decode("latin-1")
        elif key in {b"content-length", b"transfer-encoding"}:
            self._bounded = True

    def on_headers_complete(self) -> None:
        """Take the head's end."""
        self.status = self._parser.get_status_code()
        self._in_head = False

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._head_bytes = 0
        self._pieces.append(body)
        self._unread += len(body)
        if self._unread > _UNREAD_BYTES and not self._paused and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def on_message_complete(self) -> None:
        """Take the response's end."""
        self._complete = True
        if not self._parser.should_keep_alive():
            self._fail(LineCut("the other side closes"))

    # ---------------------------------------------------------------------------------- within

    async def _wait(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _tell(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _fail(self, error: Exception) -> None:
        if self._error is None:
            self._error = error
            if self._timer is not None:
                self._timer.cancel()
            if self._transport is not None:
                self._transport.abort()
            self._on_close(self)
        self._tell()


class Lines:
    """Lines to many doors; those that are free are used again."""

    def __init__(self, *, limit: int) -> None:
        """Make it without lines; at most `limit` exchanges run at one time, others wait."""
        self._room = asyncio.Semaphore(limit)
        self._free: dict[Where, list[Line]] = {}

    async def send(self, where: Where, head: bytes, body: bytes, timeout_s: float) -> Line:
        """Send a request and return the line that its response comes down; give it to `put_back`.

        Args:
            where: Whom to ask.
            head: From the request's first line to its last header, without an empty line.
            body: The body; may be empty.
            timeout_s: For the whole exchange.

        Raises:
            OSError: Nobody can be reached there.
            LineCut: The connection broke.
            TimeoutError: Out of time.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        if self._room.locked():
            async with asyncio.timeout(timeout_s):
                await self._room.acquire()
        else:
            await self._room.acquire()
        line: Line | None = None
        try:
            line = self._find(where)
            if line is None:
                line = await self._connect(where, min(_CONNECT_S, timeout_s))
            whole_head = b"%b\r\nContent-Length: %d\r\n\r\n" % (head, len(body))
            await line.begin((whole_head, body), max(0.0, deadline - loop.time()))
        except BaseException:
            self._room.release()
            if line is not None:
                line.close()
            raise
        return line

    def put_back(self, line: Line) -> None:
        """End an exchange."""
        self._room.release()
        if line.end():
            line.rest()
            self._free.setdefault(line.where, []).append(line)

    def close(self) -> None:
        """Close the free lines; those in use end with their exchanges."""
        for line in [line for lines in self._free.values() for line in lines]:
            line.close()

    def _find(self, where: Where) -> Line | None:
        lines = self._free.get(where)
        if not lines:
            return None
        line = lines.pop()
        line.wake()
        return line

    def _forget(self, line: Line) -> None:
        lines = self._free.get(line.where, [])
        if line in lines:
            lines.remove(line)
        if not lines:
            self._free.pop(line.where, None)

    async def _connect(self, where: Where, timeout_s: float) -> Line:
        def make_line() -> Line:
            return Line(where, self._forget)

        loop = asyncio.get_running_loop()
        async with asyncio.timeout(timeout_s):
            _, line = await loop.create_connection(
                make_line, where.host, where.port, ssl=True if where.secure else None
            )
        return line
