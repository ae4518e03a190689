"""A conversation as the HTTP side holds it: replies come out in order, hanging up goes in.

Tokens of a text that nobody has read yet are one reply, however many they are: who reads slowly
holds no more than the text itself (`TEXT-1`). Must not know HTTP or the party.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

import msgspec

from probatum.machine.wishes import Reply
from probatum.protocol.messages import Produced, ProducedLogprobs

__all__ = ["Conversation"]

_JOINED_BYTES: Final = 1 << 16
"""Of logprobs in one reply: what comes after them is another."""


class Conversation:
    """One open conversation with the party of this process; made by `Driver.open`."""

    __slots__ = ("_ended", "_hang_up", "_replies", "_take_enough", "_waiter", "name")

    def __init__(
        self,
        name: str,
        hang_up: Callable[[Conversation], None],
        take_enough: Callable[[Conversation], None] | None = None,
    ) -> None:
        """Make it.

        Args:
            name: The party's for it.
            hang_up: Called once if the other side goes away before the end.
            take_enough: Called if the other side wants no more of a text.
        """
        self.name = name
        self._hang_up = hang_up
        self._take_enough = take_enough
        self._replies: deque[Reply] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self._ended = False

    def put(self, reply: Reply, *, held: bool = False) -> None:
        """Take a reply from the party; nothing after the last one.

        Args:
            reply: The next.
            held: Whether it waits for another reply, or for `wake`.
        """
        if self._ended:
            return
        self._ended = reply.last
        last = self._replies[-1] if self._replies else None
        joined = None if last is None else _join(last, reply)
        if joined is None:
            self._replies.append(reply)
        else:
            self._replies[-1] = joined
        if not held:
            self.wake()

    @property
    def has_ended(self) -> bool:
        """Whether nothing will be added to what is there."""
        return self._ended

    async def next(self) -> Reply | None:
        """Wait for the next reply; None when none will come (hung up, or the party ended)."""
        await self._wait()
        return self._replies.popleft() if self._replies else None

    async def take(self) -> tuple[Reply, ...]:
        """Wait for a reply and take along what else is there; empty when none will come."""
        await self._wait()
        taken = tuple(self._replies)
        self._replies.clear()
        return taken

    async def _wait(self) -> None:
        while not (self._replies or self._ended):
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def hang_up(self) -> None:
        """Say that nobody listens any more. Harmless when the conversation has ended."""
        if not self._ended:
            self._ended = True
            self._hang_up(self)
            self.wake()

    def say_enough(self) -> None:
        """Say that no more of the text is wanted than was heard; its answer still comes."""
        if not self._ended and self._take_enough is not None:
            self._take_enough(self)

    def cut(self) -> None:
        """End it without a last reply: the party is gone."""
        self._ended = True
        self.wake()

    def wake(self) -> None:
        """Let who waits for replies look again."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


def _join(one: Reply, other: Reply) -> Reply | None:
    """Make one reply of two runs of tokens, if the second follows the first; else None."""
    first, second = one.message, other.message
    if not isinstance(first, Produced) or not isinstance(second, Produced):
        return None
    if second.start != first.start + len(first.ids) // 4:
        return None
    prefix = second.prefix or first.prefix
    ids = first.ids + second.ids
    joined = msgspec.structs.replace(first, ids=ids, prefix=prefix)
    if isinstance(second, ProducedLogprobs):
        if isinstance(first, ProducedLogprobs):
            if len(first.logprobs) > _JOINED_BYTES:
                return None  # joined for ever, it would be copied for every token
            logprobs = first.logprobs + second.logprobs
        elif first.ids:
            return None  # what has none stays without them
        else:
            logprobs = second.logprobs
        joined = ProducedLogprobs(start=first.start, ids=ids, prefix=prefix, logprobs=logprobs)
    elif isinstance(first, ProducedLogprobs) and second.ids:
        return None
    return Reply(one.conversation, joined, last=False)
