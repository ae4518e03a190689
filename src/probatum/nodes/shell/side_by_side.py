"""Several conversations of one HTTP exchange, listened to at one time; streams of events.

Must not know any dialect, nor what is said. Read next: `front`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Final, TypeVar

from starlette.types import Scope, Send

from probatum.errors import Refusal
from probatum.nodes.shell.chance import Chance
from probatum.nodes.shell.conversations import Conversation
from probatum.nodes.shell.drive import Driver
from probatum.nodes.shell.front import CONVERSATION_S, ON_HANG_UP
from probatum.protocol.messages import Message
from probatum.protocol.primitives import RequestId, make_request_id

__all__ = ["EventStream", "Names", "converse_all"]

EVENTS_TYPE: Final = b"text/event-stream; charset=utf-8"
T = TypeVar("T")


class Names:
    """Draws ids of requests, and tells the time of day that goes with them."""

    def __init__(self) -> None:
        """Make it."""
        self._chance = Chance()

    def draw(self) -> RequestId:
        """Draw a request's id."""
        return make_request_id(self._chance.draw()[:16])

    def tell_time_s(self) -> int:
        """Tell the time, in seconds since 1970."""
        return int(time.time())


class EventStream:
    """A response that grows by events (`text/event-stream`); it begins with the first of them."""

    def __init__(self, send: Send, headers: tuple[tuple[bytes, bytes], ...]) -> None:
        """Make it; nothing is sent yet.

        Args:
            send: The exchange's; it waits for a reader who does not keep up.
            headers: What the response's head has besides.
        """
        self._send = send
        self._headers = headers
        self.is_begun = False

    async def say(self, events: bytes, *, last: bool = False) -> None:
        """Send whole events."""
        if not self.is_begun:
            self.is_begun = True  # before anything is waited for: others may speak meanwhile
            # What stands between may not hold events back.
            fixed = ((b"content-type", EVENTS_TYPE), (b"cache-control", b"no-cache"))
            head = [*fixed, (b"x-accel-buffering", b"no"), *self._headers]
            await self._send(
                {"type": "http.response.start", "status": HTTPStatus.OK, "headers": head}
            )
        await self._send({"type": "http.response.body", "body": events, "more_body": not last})

    async def end(self, events: bytes) -> None:
        """Send the last events."""
        await self.say(events, last=True)


async def converse_all(
    driver: Driver,
    scope: Scope,
    messages: tuple[Message, ...],
    caller: str,
    listen: Callable[[int, Conversation], Awaitable[T]],
) -> tuple[T, ...]:
    """Open a conversation for each message, and listen to all of them at one time.

    Whoever hangs up hangs up on all; so does the first that fails.

    Args:
        driver: The party's.
        scope: The exchange.
        messages: What to say, each in a conversation of its own.
        caller: Who says it, as a `Gate` established.
        listen: Hears one conversation to its end, by its place.

    Returns:
        What `listen` returned, in order.

    Raises:
        ProbatumError: What `listen` raised first.
        Refusal: `door.busy`, `door.stopping`, `door.out-of-time`.
    """
    conversations: list[Conversation] = []

    def hang_up() -> None:
        for conversation in conversations:
            conversation.hang_up()

    try:
        for message in messages:
            # One by one: those that are open are hung up on if the next one is refused.
            conversations.append(driver.open(message, caller))  # noqa: PERF401
        scope[ON_HANG_UP] = hang_up
        async with asyncio.timeout(CONVERSATION_S):
            if len(conversations) == 1:
                return (await listen(0, conversations[0]),)
            return await _listen_all(conversations, listen)
    except TimeoutError:
        raise Refusal("door.out-of-time", f"no answer within {CONVERSATION_S:g} s") from None
    finally:
        hang_up()


async def _listen_all(
    conversations: list[Conversation], listen: Callable[[int, Conversation], Awaitable[T]]
) -> tuple[T, ...]:
    async def hear(place: int) -> T:
        return await listen(place, conversations[place])

    tasks = [asyncio.create_task(hear(place)) for place in range(len(conversations))]
    try:
        return tuple(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
