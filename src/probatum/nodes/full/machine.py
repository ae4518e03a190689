"""The full node as a machine: takes transactions, has blocks decided, answers questions.

A block a while, also when nothing waits: deadlines are heights, so heights must move. While a
block is on its way to the disk no other is begun, and nobody is told of it; transactions are
acknowledged after `Durable` alone. So whatever was said survives `kill -9`. Must not know
clocks, disks, HTTP, nor what a transaction does. Read next: `answering`, `following`,
`probatum.consensus.embedded.engine`.
"""

from __future__ import annotations

from typing import Final

from probatum.consensus.engine import Decided, Engine
from probatum.errors import Refusal
from probatum.ledger.invariants import InvariantBroken
from probatum.machine.events import (
    Arrived,
    Durable,
    Event,
    Fired,
    Hung,
    Moment,
    Started,
    Stopping,
)
from probatum.machine.wishes import Commit, Halt, Report, SetTimer, Wish
from probatum.nodes.full.answering import WAIT, AnsweringNode, FullSettings, refuse
from probatum.protocol.primitives import Digest

__all__ = ["FullNode", "FullSettings"]

_BLOCK: Final = "block"


class FullNode(AnsweringNode):
    """See the module."""

    def __init__(self, engine: Engine, settings: FullSettings | None = None) -> None:
        """Make the machine of a full node over an opened engine."""
        super().__init__(engine, settings or FullSettings())
        self._engine = engine
        self._decided: Decided | None = None
        self._begun_ms = 0

    def step(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        """Take one event, return the wishes that follow from it."""
        match event:
            case Started():
                return self._produce(moment)
            case Fired(timer=timer) if timer == _BLOCK:
                return self._produce(moment)
            case Fired(timer=timer) if timer.startswith(WAIT):
                return self._end_wait(timer.removeprefix(WAIT))
            case Durable(ticket=ticket) if self._decided and ticket == _ticket(self._decided):
                return self._finish(self._decided, moment)
            case Arrived(conversation=conversation, message=message):
                return self._receive(conversation, message)
            case Hung(conversation=conversation):
                self._forget(conversation)
                return ()
            case Stopping():
                self._stopping = True
                return () if self._decided else self._let_go()
            case _:
                return ()

    # Blocks

    def _produce(self, moment: Moment) -> tuple[Wish, ...]:
        if self._decided is not None or self._stopping:
            return ()
        self._begun_ms = moment.now_ms
        try:
            decided = self._engine.decide(moment.now_ms)
        except InvariantBroken as broken:
            return (Halt(broken.code, broken.message),)
        self._decided = decided
        return (Commit(_ticket(decided), decided.rows),)

    def _finish(self, decided: Decided, moment: Moment) -> tuple[Wish, ...]:
        self._engine.finish(decided)
        self._decided = None
        wishes: list[Wish] = []
        for outcome in decided.outcomes:
            wishes += self._settle(outcome.transaction_hash, outcome)
        for dropped in decided.dropped:
            refusal = Refusal(dropped.code, dropped.message)
            wishes += self._settle(dropped.transaction_hash, refuse(refusal))
        wishes += self._resume()
        if self._stopping:
            wishes += self._let_go()
        else:
            # The interval runs from beginning to beginning; a slow disk does not add to it.
            left = self._begun_ms + self._settings.block_interval_ms - moment.now_ms
            wishes.append(SetTimer(_BLOCK, max(left, 0)))
        if decided.block.transactions or decided.dropped:
            wishes.append(_report(decided))
        return tuple(wishes)

    def _is_unsettled(self) -> bool:
        # Records on their way to the disk may be there before their header is told.
        return self._decided is not None or super()._is_unsettled()

    def _hand_in(self, conversation: str, data: bytes, found: Digest) -> tuple[Wish, ...]:
        del conversation
        if not self._engine.is_pending(found):
            self._engine.submit(data)
        return ()


def _ticket(decided: Decided) -> str:
    return f"{_BLOCK}:{decided.block.height}"


def _report(decided: Decided) -> Report:
    return Report(
        "info",
        "full.block",
        f"block {decided.block.height}: {len(decided.block.transactions)} transactions",
        (
            ("height", str(decided.block.height)),
            ("transactions", str(len(decided.block.transactions))),
            ("dropped", str(len(decided.dropped))),
        ),
    )
