"""A node that alters what it answers after it signed the true roots (one bit of one output).

Wraps the real machine, so everything but the lie is honest. The gateway must notice that the
outputs do not have the receipt's roots, and refuse the branch.
"""

from __future__ import annotations

import msgspec

from probatum.machine.events import Event, Moment
from probatum.machine.machine import Machine
from probatum.machine.wishes import Reply, Wish
from probatum.protocol.messages import Answered
from probatum.storm.trace import Trace

__all__ = ["Tamperer"]


class Tamperer:
    """An inference node with a hand in its outputs."""

    def __init__(self, honest: Machine, trace: Trace) -> None:
        """Wrap an honest machine."""
        self.honest = honest
        self._trace = trace

    def step(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        """Take one event; alter the outputs of every answer."""
        return tuple(self._alter(wish) for wish in self.honest.step(event, moment))

    def _alter(self, wish: Wish) -> Wish:
        match wish:
            case Reply(message=Answered(outputs=(first, *rest)) as answered) if first.data:
                self._trace.count("answers tampered with")
                data = bytes((first.data[0] ^ 1,)) + first.data[1:]
                altered = msgspec.structs.replace(first, data=data)
                message = msgspec.structs.replace(answered, outputs=(altered, *rest))
                return Reply(wish.conversation, message, last=wish.last)
            case _:
                return wish
