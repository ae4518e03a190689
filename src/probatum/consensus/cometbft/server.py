"""The server that CometBFT connects to: ABCI over a unix socket, four connections (`ABCI-5`).

Every call of every connection passes through one queue and reaches the application alone, in the
order in which it came; so answers leave each connection in its own order, which is all that the
engine matches them by. All whole requests of one read are handled together and answered by one
write. What the application cannot do, it says in its answers; an exception that leaves it is a bug:
the engine is told, which stops it, and `Server.wait` raises, which must stop this process. Both are
started again by whoever watches over them. Must not know what the calls mean. Here alone in this
room is an event loop; import nothing of this page where the world is not real.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias, cast

from probatum.consensus.cometbft.application import Application
from probatum.consensus.cometbft.frames import MAX_FRAME_BYTES, Frames, append_response
from probatum.consensus.cometbft.messages import (
    Request,
    RequestEcho,
    RequestFlush,
    Response,
    ResponseEcho,
    ResponseException,
    ResponseFlush,
)
from probatum.consensus.cometbft.schema import REQUESTS, RESPONSES
from probatum.consensus.cometbft.sockets import bind_socket, remove_socket
from probatum.errors import Misuse, Refusal

__all__ = ["MAX_CONNECTIONS", "MAX_WAITING", "Server"]

MAX_CONNECTIONS: Final = 16
"""An engine has four; more than these are closed as they come."""
MAX_WAITING: Final = 512
"""Requests of one connection that may wait; the engine itself sends no more than 256 ahead."""
_ERROR_CHARS: Final = 500
_OURS: Final = ("echo", "flush")
_FLUSHED: Final = ResponseFlush()

Calls: TypeAlias = dict[type, tuple[Callable[[Any], Any], type]]


class Server:
    """Serves one application to one engine, which may come back as often as it likes."""

    def __init__(
        self,
        application: Application,
        *,
        max_frame_bytes: int = MAX_FRAME_BYTES,
        report: Callable[[str, str], None] = lambda _what, _why: None,
    ) -> None:
        """Make a server; `open` begins to listen. Use within one running event loop.

        Args:
            application: What answers.
            max_frame_bytes: The longest message that is taken.
            report: Told what became of connections: `connected`, `lost`, `refused`, and why.
        """
        self._application = application
        self._calls = _list_calls(application)
        self._max_frame_bytes = max_frame_bytes
        self._report = report
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[_Connection, Request | Refusal | None]] = deque()
        self._running = False
        self._call: asyncio.Future[Any] | None = None
        self._connections: set[_Connection] = set()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._failure: BaseException | None = None
        self._listener: asyncio.Server | None = None
        self._path: tuple[Path, int] | None = None

    @property
    def connections(self) -> int:
        """How many connections are open; an engine that is well has four."""
        return len(self._connections)

    async def open(self, path: Path) -> None:
        """Listen at a path.

        Raises:
            Fault: `abci.socket-path`, `abci.not-a-socket`, `abci.socket-in-use`.
        """
        bound, inode = bind_socket(path)
        self._path = path, inode
        self._listener = await self._loop.create_unix_server(
            lambda: _Connection(self, self._max_frame_bytes), sock=bound
        )

    async def wait(self) -> None:
        """Wait until the server is closed.

        Raises:
            Exception: Whatever left the application: the process must end.
        """
        await asyncio.shield(self._ended)
        if self._failure is not None:
            raise self._failure

    async def close(self) -> None:
        """Stop listening, hang up, and let a call that is under way come to its end."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None
        if self._path is not None:
            remove_socket(*self._path)
            self._path = None
        self._queue.clear()
        for connection in tuple(self._connections):
            connection.hang_up()
        if not self._running and not self._ended.done():
            self._ended.set_result(None)
        await asyncio.wait([self._ended])

    # ----------------------------------------------------------------------- for the connections

    def add(self, connection: _Connection) -> bool:
        """Take a new connection, unless there are too many."""
        if len(self._connections) >= MAX_CONNECTIONS or self._ended.done():
            self._report("refused", f"{len(self._connections)} connections are open already")
            return False
        if not self._connections:
            self._queue.append((connection, None))
        self._connections.add(connection)
        self._report("connected", f"{len(self._connections)} open")
        self.run()
        return True

    def remove(self, connection: _Connection, why: str) -> None:
        """Forget a connection; what it still asks for is not done."""
        if connection in self._connections:
            self._connections.discard(connection)
            self._report("lost", why or f"{len(self._connections)} open")

    def push(self, connection: _Connection, request: Request | Refusal) -> None:
        """Queue a request, or why there will be no more."""
        self._queue.append((connection, request))

    def run(self) -> None:
        """Answer everything that waits, unless somebody does so already."""
        if self._running:
            return
        self._running = True
        try:
            while self._queue:
                connection, request = self._queue.popleft()
                answer = self._begin(connection, request)
                if answer is not None:
                    # Nobody else is heard before this is done: the engine counts on one at a time.
                    self._send()
                    self._call = asyncio.ensure_future(answer)
                    self._call.add_done_callback(partial(self._resume, connection, request))
                    return
        except Exception as error:  # noqa: BLE001 - the outermost loop of every call; see `_fail`
            self._fail(error)
        self._running = False
        self._send()

    # -------------------------------------------------------------------------------- one by one

    def _begin(
        self, connection: _Connection, request: Request | Refusal | None
    ) -> Awaitable[Any] | None:
        """Do what a request says; return what is to be waited for, if anything."""
        if request is None:
            self._application.reconnected()
            return None
        if not connection.is_open:
            return None
        if isinstance(request, RequestFlush):
            connection.answer(_FLUSHED)
        elif isinstance(request, RequestEcho):
            connection.answer(ResponseEcho(message=request.message))
        elif isinstance(request, Refusal):
            self._report("refused", str(request))
            connection.answer(ResponseException(error=_describe(request)))
            connection.is_ending = True
        else:
            answer = self._calls[type(request)][0](request)
            if isinstance(answer, Awaitable):
                return answer
            self._answer(connection, request, answer)
        return None

    def _answer(self, connection: _Connection, request: object, answer: Any) -> None:
        kind = type(answer)
        if kind is not self._calls[type(request)][1]:
            raise Misuse(
                "abci.wrong-answer", f"{type(request).__name__} was answered by {kind.__name__}"
            )
        connection.answer(answer)

    def _resume(self, connection: _Connection, request: object, done: asyncio.Future[Any]) -> None:
        self._running, self._call = False, None
        try:
            self._answer(connection, request, done.result())
        except (Exception, asyncio.CancelledError) as error:  # noqa: BLE001 - as in `run`
            self._fail(error)
        if self._listener is None and not self._ended.done():
            self._ended.set_result(None)
        self.run()

    def _fail(self, error: BaseException) -> None:
        """Tell the engine that the application is broken, and whoever waits for this server."""
        self._queue.clear()
        for connection in self._connections:
            connection.answer(ResponseException(error=_describe(error)))
            connection.is_ending = True
        if not self._ended.done():
            self._failure = error
            self._ended.set_result(None)

    def _send(self) -> None:
        for connection in tuple(self._connections):
            connection.send()


class _Connection(asyncio.Protocol):
    """One of the engine's connections."""

    def __init__(self, server: Server, max_frame_bytes: int) -> None:
        self._server = server
        self._frames = Frames(max_frame_bytes)
        self._transport: asyncio.Transport | None = None
        self._out = bytearray()
        self._waiting = 0
        self._is_full = False
        self._is_held = False
        self.is_ending = False

    @property
    def is_open(self) -> bool:
        """Whether it may still be answered."""
        return self._transport is not None and not self.is_ending

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's are no subclass of asyncio's.
        self._transport = cast("asyncio.Transport", transport)
        if not self._server.add(self):
            self.hang_up()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._server.remove(self, "" if exc is None else str(exc))

    def data_received(self, data: bytes) -> None:
        if not self.is_open:
            return
        try:
            for request in self._frames.feed(data):
                self._waiting += 1
                self._server.push(self, request)
        except Refusal as refusal:
            self._waiting += 1
            self._server.push(self, refusal)
        self._server.run()
        self._pace()

    def pause_writing(self) -> None:
        self._is_full = True
        self._pace()

    def resume_writing(self) -> None:
        self._is_full = False
        self._pace()

    def answer(self, response: Response) -> None:
        """Answer the request that waits longest."""
        if self.is_open:
            self._waiting -= 1
            append_response(self._out, response)

    def send(self) -> None:
        """Write everything that was answered, at once."""
        if self._transport is None:
            return
        if self._out:
            out, self._out = self._out, bytearray()
            self._transport.write(out)
        if self.is_ending:
            self.hang_up()
        else:
            self._pace()

    def hang_up(self) -> None:
        """Close, once what was written has left."""
        self.is_ending = True
        if self._transport is not None:
            self._transport.close()

    def _pace(self) -> None:
        """Read on, or let the engine wait: it does not read its answers, or asks too fast."""
        transport = self._transport
        if transport is None or transport.is_closing():
            return
        is_held = self._is_full or self._waiting > MAX_WAITING
        if is_held and not self._is_held:
            transport.pause_reading()
        elif self._is_held and not is_held:
            transport.resume_reading()
        self._is_held = is_held


def _list_calls(application: Application) -> Calls:
    """List which method answers which request, by what class of response."""
    answers = {name: schema.make for _, name, schema in RESPONSES}
    return {
        schema.make: (getattr(application, name), answers[name])  # type: ignore[misc]
        for _, name, schema in REQUESTS
        if name not in _OURS
    }


def _describe(error: BaseException) -> str:
    said = f"{type(error).__name__}: {error}"[:_ERROR_CHARS]
    return said.encode("utf-8", "replace").decode()
