"""Somebody who sends transactions and remembers what became of each.

Operators register their nodes this way, and customers move money through the storm. What the
ledger acknowledged is kept outside the machine, as people keep their statements. Must not know
the ledger's rules.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from probatum.client.wallet import SenderStep, SentOutcome, TransactionSender
from probatum.machine.events import Event, Fired, Moment, Started
from probatum.machine.machine import draw
from probatum.machine.wishes import SetTimer, Wish
from probatum.protocol.primitives import Address
from probatum.protocol.transactions.kinds import Body

__all__ = ["Spender", "Statement"]

_NEXT: Final = "spender:next"


@dataclass(slots=True)
class Statement:
    """What the owner of one account was told: outcomes in order; `due` bodies wait for theirs."""

    account: Address
    due: int = 0
    outcomes: list[SentOutcome] = field(default_factory=list)

    @property
    def is_complete(self) -> bool:
        """Whether every body has its outcome."""
        return len(self.outcomes) == self.due


class Spender:
    """Submits bodies one after another, `pause_ms` apart on average."""

    def __init__(
        self,
        sender: TransactionSender,
        bodies: tuple[Body, ...],
        statement: Statement,
        *,
        pause_ms: int,
    ) -> None:
        """Make a spender; `statement` outlives it."""
        self._sender = sender
        self._bodies = bodies
        self._statement = statement
        self._pause_ms = pause_ms
        self._next = 0
        statement.due = len(bodies)

    def step(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        """Take one event."""
        if self._sender.owns(event):
            return self._take(self._sender.step(event, moment), moment)
        match event:
            case Started():
                return self._pause(moment)
            case Fired(timer=name) if name == _NEXT and self._next < len(self._bodies):
                body = self._bodies[self._next]
                self._next += 1
                return self._sender.submit(str(self._next), body)
            case _:
                return ()

    def _take(self, step: SenderStep, moment: Moment) -> tuple[Wish, ...]:
        self._statement.outcomes.extend(step.outcomes)
        return step.wishes + (self._pause(moment) if step.outcomes else ())

    def _pause(self, moment: Moment) -> tuple[Wish, ...]:
        chance = int.from_bytes(draw(moment, "pause")[:4], "big")
        return (SetTimer(_NEXT, chance % (2 * self._pause_ms + 1)),)
