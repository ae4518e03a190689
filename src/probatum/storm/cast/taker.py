"""A node that takes vouchers, does the work, charges for it, and keeps the answer to itself.

Wraps the real machine, so everything but the silence is honest: its receipts are in its log, and
its running totals are sums. What it can get by that is bounded by its payers (`PAY-1`).
"""

from __future__ import annotations

from probatum.machine.events import Event, Moment
from probatum.machine.machine import Machine
from probatum.machine.wishes import Reply, Wish
from probatum.protocol.messages import Answered, Refused
from probatum.storm.trace import Trace

__all__ = ["Taker"]


class Taker:
    """An inference node that says nothing for its money."""

    def __init__(self, honest: Machine, trace: Trace) -> None:
        """Wrap an honest machine."""
        self.honest = honest
        self._trace = trace

    def step(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        """Take one event; withhold every answer."""
        return tuple([self._withhold(wish) for wish in self.honest.step(event, moment)])

    def _withhold(self, wish: Wish) -> Wish:
        match wish:
            case Reply(message=Answered()):
                self._trace.count("answers withheld")
                no = Refused(code="node.busy", message="something came up", retryable=True)
                return Reply(wish.conversation, no, last=wish.last)
            case _:
                return wish
