"""The simulated network: conversations over virtual time, and all that can go wrong with them.

A conversation is one exchange over HTTP: a request, replies in order, an end. Messages travel as
encoded bytes and are decoded where they arrive, so every run exercises the encodings. What the
weather does, and what a party then sees:

- *lost*: the request never arrives; the asker waits until its timeout.
- *refused*: nobody listens there; the asker learns soon.
- *cut*: from one reply on nothing arrives; the asker learns soon (a reset) or at its timeout.
- *duplicated*: a request arrives a second time, sooner or later, as a conversation of its own
  whose replies nobody hears: HTTP matches replies to connections, so replies are never doubled.
- *reordered*: each conversation has its own delays; replies of one stay in order, as in TCP.
- *corrupted*: one bit flips in a message of a kind whose receiver must notice (`CHECKED`). Where
  the bytes still decode, the altered message is delivered; where they do not, the asker sees a
  refusal (request) or a cut (reply). Other kinds are cut, as TCP's and TLS's checksums do.
- *partitioned*: between two groups everything is lost until the partition heals.

Must not know what messages mean. Read next: `kernel`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol

from probatum.errors import Refusal
from probatum.machine.events import Arrived, Event, Hung, Returned, Unreachable
from probatum.machine.wishes import Reply, Send
from probatum.protocol import messages
from probatum.protocol.encoding import encode
from probatum.protocol.messages import Message, Refused, decode_message
from probatum.storm.loop import Loop
from probatum.storm.trace import Trace

__all__ = ["CHECKED", "Ends", "Life", "Network", "Tap", "Weather"]

CHECKED: Final = (
    messages.Ask,
    messages.Answer,
    messages.GotBundle,
    messages.HandOverWork,
    messages.Accepted,
    messages.Answered,
    messages.GotLogFile,
)
"""Messages whose content a signature, a root or a proof covers."""

Tap = Callable[[str, str, Message], None]
"""Hears every message when it is sent: from whom, to whom, what."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """How bad it is: rates between 0 and 1 for each message, delays in virtual milliseconds."""

    delay_ms: tuple[int, int] = (1, 20)
    slow_rate: float = 0.0
    slow_ms: tuple[int, int] = (200, 3_000)
    loss: float = 0.0
    cut: float = 0.0
    duplicate: float = 0.0
    corrupt: float = 0.0


@dataclass(frozen=True, slots=True, order=True)
class Life:
    """One life of a party: a restart begins the next one."""

    name: str
    number: int


class Ends(Protocol):
    """What the network asks of the parties."""

    def find(self, endpoint: str) -> Life | None:
        """Who lives at an endpoint now, if anybody."""
        ...

    def name_of(self, endpoint: str) -> str | None:
        """Whose endpoint that is, alive or not."""
        ...

    def deliver(self, life: Life, event: Event) -> None:
        """Step a party, unless that life has ended."""
        ...


@dataclass(slots=True)
class _Conversation:
    ticket: str
    caller: Life
    call: str
    to: str
    callee: Life | None = None
    caller_open: bool = True
    callee_open: bool = False
    cut: bool = False
    ghost: bool = False
    next_at_ms: int = 0


class Network:
    """All conversations of a storm."""

    def __init__(
        self, *, loop: Loop, chance: random.Random, trace: Trace, ends: Ends, weather: Weather
    ) -> None:
        """Make a network that is whole."""
        self.weather = weather
        self.taps: list[Tap] = []
        self._loop = loop
        self._chance = chance
        self._trace = trace
        self._ends = ends
        self._groups: dict[str, int] = {}
        self._open: dict[str, _Conversation] = {}
        self._counter = 0

    def partition(self, groups: tuple[frozenset[str], ...]) -> None:
        """Cut the network into groups of party names; who is in none is one more group."""
        self._groups = {name: at for at, group in enumerate(groups, 1) for name in sorted(group)}
        self._trace.note(self._loop.now_ms, f"partition {sorted(self._groups.items())}")
        self._trace.count("partitions")

    def heal(self) -> None:
        """Make the network whole again."""
        self._groups = {}
        self._trace.note(self._loop.now_ms, "heal")

    def send(self, caller: Life, wish: Send) -> None:
        """Open a conversation."""
        raw = self._tell(caller.name, wish.to, wish.message)
        if any(c.caller == caller and c.call == wish.call for c in self._open.values()):
            self._trace.find("kernel.call-reused", caller.name, f"{wish.call} is still open")
        conversation = self._begin(caller, wish)
        self._loop.after(wish.timeout_ms, lambda: self._time_out(conversation))
        weather = self.weather
        if self._is_apart(caller.name, self._ends.name_of(wish.to)):
            self._trace.count("messages lost to partitions")
            return
        if self._roll(weather.loss):
            self._trace.count("messages lost")
            return
        request = self._corrupt(wish.message, raw)
        self._loop.after(self._draw_delay(), lambda: self._arrive(conversation, request))
        if self._roll(weather.duplicate):
            self._trace.count("messages duplicated")
            ghost = self._begin(caller, wish)
            ghost.caller_open, ghost.ghost = False, True
            late_ms = self._draw_delay() + self._chance.choice((0, 0, 50, 2_000, 30_000))
            self._loop.after(late_ms, lambda: self._arrive(ghost, raw))
            self._loop.after(late_ms + wish.timeout_ms, lambda: self._hang_up(ghost))

    def reply(self, callee: Life, wish: Reply) -> None:
        """Carry a reply back; to a conversation that has ended it goes nowhere."""
        conversation = self._open.get(wish.conversation)
        if conversation is None or conversation.callee != callee or not conversation.callee_open:
            self._trace.count("replies to nobody")
            return
        raw = self._tell(callee.name, conversation.caller.name, wish.message)
        if wish.last:
            conversation.callee_open = False
            self._forget(conversation)
        if conversation.ghost or conversation.cut:
            return
        lost = self._is_apart(callee.name, conversation.caller.name)
        if lost or self._roll(self.weather.cut):
            self._trace.count("conversations cut")
            conversation.cut = True
            if not lost and self._roll(0.5):
                self._soon(self._reset, conversation)
            return
        raw = self._corrupt(wish.message, raw)
        at_ms = max(conversation.next_at_ms, self._loop.now_ms + self._draw_delay())
        conversation.next_at_ms = at_ms
        self._loop.at(at_ms, lambda: self._return(conversation, raw, last=wish.last))

    def count_open(self, name: str) -> int:
        """Count the conversations that a party has still to answer."""
        return sum(
            c.callee_open and c.callee is not None and c.callee.name == name
            for c in self._open.values()
        )

    def drop(self, life: Life) -> None:
        """End all conversations of a party whose life has ended."""
        for conversation in list(self._open.values()):
            if conversation.caller == life and conversation.caller_open:
                conversation.caller_open = False
                self._soon(self._hang_up, conversation)
            elif conversation.callee == life and conversation.callee_open:
                conversation.callee_open = False
                if not self._is_apart(life.name, conversation.caller.name):
                    self._soon(self._reset, conversation)

    def _begin(self, caller: Life, wish: Send) -> _Conversation:
        self._counter += 1
        conversation = _Conversation(f"c{self._counter}", caller, wish.call, wish.to)
        self._open[conversation.ticket] = conversation
        return conversation

    def _arrive(self, conversation: _Conversation, raw: bytes) -> None:
        callee = self._ends.find(conversation.to)
        name = self._ends.name_of(conversation.to)
        if self._is_apart(conversation.caller.name, name):
            return
        if callee is None:
            self._trace.count("connections refused")
            self._loop.after(self._draw_delay(), lambda: self._break(conversation, "refused"))
            return
        if not raw:
            self._trace.count("corrupt requests cut")
            self._soon(self._reset, conversation)
            return
        try:
            message = decode_message(raw)
        except Refusal as refusal:
            self._trace.count("corrupt requests refused")
            answer = encode(Refused(code=refusal.code, message=refusal.message))
            self._loop.after(
                self._draw_delay(), lambda: self._return(conversation, answer, last=True)
            )
            return
        conversation.callee, conversation.callee_open = callee, True
        self._ends.deliver(callee, Arrived(conversation.ticket, message))
        if not conversation.caller_open and not conversation.ghost:
            self._soon(self._hang_up, conversation)

    def _return(self, conversation: _Conversation, raw: bytes, *, last: bool) -> None:
        if not conversation.caller_open:
            return
        try:
            message = decode_message(raw)
        except Refusal:
            self._trace.count("corrupt replies cut")
            self._break(conversation, "corrupt")
            return
        if last:
            conversation.caller_open = False
            self._forget(conversation)
        self._ends.deliver(conversation.caller, Returned(conversation.call, message, last))

    def _soon(self, action: Callable[[_Conversation], None], conversation: _Conversation) -> None:
        self._loop.after(self._draw_delay(), lambda: action(conversation))

    def _reset(self, conversation: _Conversation) -> None:
        self._break(conversation, "reset")

    def _time_out(self, conversation: _Conversation) -> None:
        if conversation.caller_open:
            self._trace.count("timeouts")
            self._break(conversation, "timeout")

    def _break(self, conversation: _Conversation, reason: str) -> None:
        """End a conversation for its caller; the callee learns it too, if it can be reached."""
        if not conversation.caller_open:
            return
        conversation.caller_open = False
        self._soon(self._hang_up, conversation)
        self._ends.deliver(conversation.caller, Unreachable(conversation.call, reason))

    def _hang_up(self, conversation: _Conversation) -> None:
        """Tell the callee that nobody listens any more, if it can be reached."""
        if conversation.callee is not None and conversation.callee_open:
            conversation.callee_open = False
            if not self._is_apart(conversation.callee.name, conversation.caller.name):
                self._ends.deliver(conversation.callee, Hung(conversation.ticket))
        self._forget(conversation)

    def _forget(self, conversation: _Conversation) -> None:
        if not conversation.caller_open and not conversation.callee_open:
            self._open.pop(conversation.ticket, None)

    def _is_apart(self, one: str, other: str | None) -> bool:
        if other is None or not self._groups:
            return False
        return self._groups.get(one, 0) != self._groups.get(other, 0)

    def _roll(self, rate: float) -> bool:
        return rate > 0 and self._chance.random() < rate

    def _draw_delay(self) -> int:
        if self._roll(self.weather.slow_rate):
            self._trace.count("messages delayed long")
            return self._chance.randint(*self.weather.slow_ms)
        return self._chance.randint(*self.weather.delay_ms)

    def _corrupt(self, message: Message, raw: bytes) -> bytes:
        if not self._roll(self.weather.corrupt):
            return raw
        self._trace.count("messages corrupted")
        at = self._chance.randrange(8 * len(raw))
        flipped = bytearray(raw)
        flipped[at // 8] ^= 1 << at % 8
        # An unchecked kind that would still decode is cut: its link has a checksum.
        return bytes(flipped) if isinstance(message, CHECKED) else b""

    def _tell(self, sender: str, to: str, message: Message) -> bytes:
        for tap in self.taps:
            tap(sender, to, message)
        return encode(message)
