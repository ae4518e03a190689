"""Serving a party's door: uvicorn on a socket of ours, with bounds that it does not have itself.

`BoundedProtocol` bounds connections, the length and time of request heads, and readers who do not
read; it also tells an endpoint at once when its client goes away. A response's head leaves together
with what follows it at once: each write wakes the reader. Must not know roles.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Generator
from http import HTTPStatus
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from probatum.errors import Fault, Refusal
from probatum.nodes.shell.front import ON_HANG_UP
from probatum.nodes.shell.intake import WHOLE
from probatum.nodes.shell.problems import PROBLEM_TYPE, encode_problem
from probatum.protocol import limits

__all__ = ["BoundedProtocol", "Server", "bind", "make_server"]

CONNECTIONS: Final = 4_096
HEAD_BYTES: Final = 64 * limits.KIB
HEAD_S: Final = 10.0
IDLE_S: Final = 75.0
"""A quiet connection is kept this long: longer than a follower's poll, so that it is reused."""
STALLED_S: Final = 15.0
"""A reader who takes nothing for this long is cut off."""
_STATUS_LINE: Final = b"HTTP/1.1 "


class HeadJoiner:
    """A transport that sends a response's head with what is written after it at once."""

    __slots__ = ("_head", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        """Stand before a transport."""
        self._transport = transport
        self._loop = loop
        self._head = b""

    def __getattr__(self, name: str) -> Any:
        """Be the transport in all else."""
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Write; a head waits for the next write, but not beyond this turn of the event loop."""
        if self._head:
            head, self._head = self._head, b""
            self._transport.writelines((head, data))
        elif data.startswith(_STATUS_LINE):
            self._head = data
            self._loop.call_soon(self.flush)
        else:
            self._transport.write(data)

    def flush(self) -> None:
        """Send a head that nothing followed, unless nobody is there any more."""
        head, self._head = self._head, b""
        if head and not self._transport.is_closing():
            self._transport.write(head)

    def close(self) -> None:
        """Close once all is sent."""
        self.flush()
        self._transport.close()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with bounds; one a connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Pass on uvicorn's own arguments."""
        super().__init__(*args, **kwargs)
        self._in_head = True
        self._head_bytes = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._stall_timer: asyncio.TimerHandle | None = None
        self._unsent = 0

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, unless there are too many."""
        super().connection_made(HeadJoiner(transport, self.loop))  # type: ignore[arg-type]
        if len(self.connections) > CONNECTIONS:
            transport.abort()
            return
        self._head_timer = self.loop.call_later(HEAD_S, self._drop)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell whoever answers on this connection that nobody listens."""
        for timer in (self._head_timer, self._stall_timer):
            if timer is not None:
                timer.cancel()
        cycle: Any = self.cycle
        hang_up = cycle.scope.get(ON_HANG_UP) if self._is_answering() else None
        super().connection_lost(exc)
        if callable(hang_up):
            hang_up()

    def data_received(self, data: bytes) -> None:
        """Take bytes; a head that grows too long, or never ends, ends the connection."""
        if self._in_head:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._in_head and self._head_bytes > HEAD_BYTES:
            self._refuse(Refusal("door.long-head", f"a head has at most {HEAD_BYTES} bytes"))
        # An answer may take its time: who waits for it is timed only once a further head has begun.
        elif (
            (self._in_head or not self._is_answering())
            and self._head_timer is None
            and not self.transport.is_closing()
        ):
            self._head_timer = self.loop.call_later(HEAD_S, self._drop)

    def on_message_begin(self) -> None:
        """Begin to count a head."""
        super().on_message_begin()
        self._in_head = True

    def on_headers_complete(self) -> None:
        """Stop counting: the body is the endpoint's to bound."""
        self._in_head = False
        self._head_bytes = 0
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """Say that a body has come: whoever reads it has nothing to wait for."""
        super().on_message_complete()
        self.scope[WHOLE] = True  # type: ignore[typeddict-unknown-key]

    def pause_writing(self) -> None:
        """Watch a reader who does not keep up."""
        super().pause_writing()
        self._unsent = self.transport.get_write_buffer_size()
        if self._stall_timer is None:
            self._stall_timer = self.loop.call_later(STALLED_S, self._look_at_reader)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP."""
        self._refuse(Refusal("door.bad-http", msg))

    def _is_answering(self) -> bool:
        cycle: Any = self.cycle
        return cycle is not None and not cycle.response_complete

    def _refuse(self, refusal: Refusal) -> None:
        """Answer outside any exchange, and close."""
        status, body = encode_problem(refusal)
        head = f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-length: {len(body)}\r\n"
        head += f"content-type: {PROBLEM_TYPE.decode()}\r\nconnection: close\r\n\r\n"
        self.transport.write(head.encode() + body)
        self.transport.close()

    def _look_at_reader(self) -> None:
        self._stall_timer = None
        unsent = self.transport.get_write_buffer_size()
        if unsent == 0:
            return
        if unsent >= self._unsent:
            self.transport.abort()
            return
        self._unsent = unsent
        self._stall_timer = self.loop.call_later(STALLED_S, self._look_at_reader)

    def _drop(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()


class Server(uvicorn.Server):
    """uvicorn's server, told when to end by its owner instead of by signals."""

    def __init__(self, config: uvicorn.Config, on_started: Callable[[], None]) -> None:
        """Make a server that calls `on_started` once it takes connections."""
        super().__init__(config)
        self._on_started = on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Open the door, then say so."""
        await super().startup(sockets=sockets)
        self._on_started()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Leave signals to the process."""
        yield


def make_server(app: ASGIApp, on_started: Callable[[], None]) -> Server:
    """Make a server for an app; await its ``serve(sockets=[…])``, set ``should_exit`` to end."""
    config = uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        lifespan="off",
        interface="asgi3",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=int(IDLE_S),
        timeout_graceful_shutdown=2,
        backlog=1024,
    )
    return Server(config, on_started)


def bind(host: str, port: int) -> socket.socket:
    """Bind a listening address; port 0 takes a free one.

    Raises:
        Fault: `serve.cannot-bind`.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    try:
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind((host, port))
    except OSError as error:
        door.close()
        raise Fault(
            "serve.cannot-bind",
            f"cannot listen on {host} port {port}: {error.strerror or error}",
            hint="choose another port, or 0 for a free one",
        ) from None
    door.set_inheritable(False)
    return door
