"""The front of every party's HTTP door: paths, conversations over HTTP, refusals.

`FrontDoor` is the ASGI app; exact paths are looked up before patterns, since they are the ones
that carry load. `MessageEndpoint` takes one frame and streams the party's replies as frames;
`ask_party` is for endpoints that want one reply. Must not know any role.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, MutableMapping, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from probatum.errors import ProbatumError, Refusal
from probatum.nodes.shell.conversations import Conversation
from probatum.nodes.shell.drive import Driver
from probatum.nodes.shell.gate import Gate
from probatum.nodes.shell.intake import Intake
from probatum.nodes.shell.problems import PROBLEM_TYPE, PartyRefusal, encode_problem, get_headers
from probatum.protocol import limits
from probatum.protocol.frames import FrameReader, encode_frame
from probatum.protocol.messages import Message, Refused

__all__ = [
    "CONVERSATION_S",
    "FRAMES_TYPE",
    "JSON_TYPE",
    "ON_HANG_UP",
    "FrontDoor",
    "MessageEndpoint",
    "ask_party",
    "read_message",
    "respond",
]

FRAMES_TYPE: Final = b"application/x-probatum-frames"
JSON_TYPE: Final = b"application/json"
CONVERSATION_S: Final = 300.0
"""No conversation over HTTP is longer than this."""
ON_HANG_UP: Final = "probatum.on-hang-up"
"""Key of an HTTP scope under which the server finds whom to tell when the client goes away."""
_LARGE: Final = 64 * limits.KIB
_TAG_AT: Final = 5
_CLOSING: Final = frozenset({408, 413, 499})
"""Statuses after which the rest of a body is not worth reading."""


class FrontDoor:
    """Routes requests and turns every refusal into a problem document."""

    def __init__(self, *, exact: Mapping[str, ASGIApp], routes: Sequence[BaseRoute] = ()) -> None:
        """Make a door.

        Args:
            exact: Endpoints by their whole path.
            routes: Starlette routes for everything else.
        """
        self._exact = dict(exact)
        self._router = Router(routes=routes, redirect_slashes=False)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP exchange."""
        if scope["type"] != "http":
            return
        endpoint = self._exact.get(scope["path"], self._router)
        scope["app"] = self
        started = False

        async def send_on(message: MutableMapping[str, Any]) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await endpoint(scope, receive, send_on)
        except HTTPException as error:
            problem: ProbatumError = _from_router(error, scope)
        except ProbatumError as error:
            problem = error
        else:
            return
        if started:
            # Too late for another status: cutting the stream short is what the client can see.
            raise problem
        status, body = encode_problem(problem)
        head = get_headers(problem, status)
        await respond(send, status, body, PROBLEM_TYPE, headers=head, closing=status in _CLOSING)


class MessageEndpoint:
    """``POST`` of one frame, answered by the frames of the conversation."""

    def __init__(
        self,
        driver: Driver,
        intake: Intake,
        kinds: tuple[type, ...],
        *,
        limit_bytes: int = limits.FRAME_BYTES,
        gate: Gate | None = None,
    ) -> None:
        """Make an endpoint that takes messages of some kinds and of bounded length only.

        Args:
            driver: The party's.
            intake: Reads bodies.
            kinds: Messages that are taken.
            limit_bytes: Length of one message.
            gate: Who may ask, looked at before a body is read; None for anybody.
        """
        self._gate = gate or Gate()
        self._driver = driver
        self._intake = intake
        self._kinds = kinds
        self._limit_bytes = limit_bytes + 4

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one conversation."""
        if scope["method"] != "POST":
            raise Refusal("door.wrong-method", "messages are sent by POST")
        with self._gate.enter(scope) as caller:
            await self._serve(scope, receive, send, caller)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, caller: str) -> None:
        body = await self._intake.read(scope, receive, limit_bytes=self._limit_bytes)
        size = len(body)
        try:
            message = read_message(body, self._kinds)
            del body  # the message has its own copy; what is held is still counted
            conversation = self._driver.open(message, caller)
            scope[ON_HANG_UP] = conversation.hang_up
            try:
                async with asyncio.timeout(CONVERSATION_S):
                    await _stream(conversation, send)
            except TimeoutError:
                raise _out_of_time() from None
            finally:
                conversation.hang_up()
        finally:
            self._intake.release(size)


async def ask_party(driver: Driver, scope: Scope, message: Message, caller: str = "") -> Message:
    """Open a conversation with this process's party and return its last reply.

    Args:
        driver: The party's.
        scope: The exchange; whoever hangs up hangs up on the party too.
        message: What to say.
        caller: Who says it, as a `Gate` established.

    Raises:
        PartyRefusal: The party's own refusal.
        Refusal: `door.busy`, `door.stopping`, `door.out-of-time`.
    """
    conversation = driver.open(message, caller)
    scope[ON_HANG_UP] = conversation.hang_up
    try:
        async with asyncio.timeout(CONVERSATION_S):
            while True:
                reply = await conversation.next()
                if reply is None:
                    raise _cut()
                if reply.last:
                    break
    except TimeoutError:
        raise _out_of_time() from None
    finally:
        conversation.hang_up()
    if isinstance(reply.message, Refused):
        raise PartyRefusal(reply.message)
    return reply.message


@cache
def _list_tags(kinds: tuple[type, ...]) -> frozenset[object]:
    infos = [msgspec.inspect.type_info(kind) for kind in kinds]
    return frozenset(info.tag for info in infos if isinstance(info, msgspec.inspect.StructType))


def read_message(body: bytes, kinds: tuple[type, ...]) -> Message:
    """Read exactly one frame that holds a message of one of some kinds.

    Raises:
        Refusal: `frame.*`, `encoding.*`, `door.not-one-message`, `door.wrong-message`.
    """
    # The tag stands right after the frame's length and the array's head. Looked at first, so that
    # nobody can make a door decode a large message of a kind that it does not take.
    if len(body) > _LARGE and body[_TAG_AT] not in _list_tags(kinds):
        raise Refusal("door.wrong-message", "not one of the messages that are taken here")
    reader = FrameReader()
    messages = reader.feed(body)
    reader.finish()
    if len(messages) != 1:
        raise Refusal("door.not-one-message", f"the body holds {len(messages)} messages, not one")
    if not isinstance(messages[0], kinds):
        raise Refusal(
            "door.wrong-message",
            f"{type(messages[0]).__name__} is not taken here",
            hint="this door takes " + ", ".join(kind.__name__ for kind in kinds),
        )
    return messages[0]


async def respond(
    send: Send,
    status: int,
    body: bytes,
    content_type: bytes,
    *,
    headers: tuple[tuple[bytes, bytes], ...] = (),
    closing: bool = False,
) -> None:
    """Send a whole response."""
    head = [
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        *headers,
    ]
    if closing:
        head.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": status, "headers": head})
    await send({"type": "http.response.body", "body": body})


async def _stream(conversation: Conversation, send: Send) -> None:
    started = False
    while replies := await conversation.take():
        frames = b"".join(encode_frame(reply.message) for reply in replies)
        more = not replies[-1].last
        if not (started or more):
            await respond(send, HTTPStatus.OK, frames, FRAMES_TYPE)
            return
        if not started:
            head = [(b"content-type", FRAMES_TYPE)]
            await send({"type": "http.response.start", "status": HTTPStatus.OK, "headers": head})
            started = True
        await send({"type": "http.response.body", "body": frames, "more_body": more})
        if not more:
            return
    raise _cut()


def _from_router(error: HTTPException, scope: Scope) -> Refusal:
    if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return Refusal("door.wrong-method", f"{scope['method'][:20]} is not for this path")
    return Refusal("door.no-such-path", "there is nothing at this path")


def _cut() -> Refusal:
    return Refusal("door.stopping", "the node stopped before it answered", hint="ask again")


def _out_of_time() -> Refusal:
    return Refusal("door.out-of-time", f"no answer within {CONVERSATION_S:g} s")
