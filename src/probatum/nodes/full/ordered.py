"""The full node whose blocks come from an engine outside: CometBFT, and its validators (`SEAL-1`).

Transactions are handed to the engine; that it takes one says only that it waits there. Whoever
handed it in is answered once the block that holds it is sealed, so that what is answered is in
the state that is told next; or when it left the pool without a block; or when its time is over,
for a network that has halted takes transactions all the same. Must not know sockets, nor ABCI.
Read next: `answering`.
"""

from __future__ import annotations

from typing import Final

from probatum.consensus.engine import Chain
from probatum.errors import Refusal
from probatum.machine.budget import Held
from probatum.machine.events import (
    Arrived,
    BlockFinal,
    Event,
    Fired,
    Hung,
    Moment,
    Returned,
    Stopping,
    Unreachable,
)
from probatum.machine.wishes import CancelTimer, Reply, Report, Send, SetTimer, Wish
from probatum.nodes.full.answering import WAIT, AnsweringNode, FullSettings, refuse
from probatum.protocol.messages import Message, Refused, ReportAttack, Submit
from probatum.protocol.primitives import Digest, make_digest

__all__ = ["ENGINE", "OrderedNode"]

ENGINE: Final = "engine"
"""The endpoint of the engine outside."""
_HAND: Final = "hand:"
_REPORT: Final = "report:"
_REPORTS: Final = 4
"""Reports of attacks at one time: each has signatures checked, whoever sends it."""
_LATE: Final = "late:"
_ENGINE_MS: Final = 10_000


class OrderedNode(AnsweringNode):
    """See the module."""

    def __init__(self, chain: Chain, settings: FullSettings | None = None) -> None:
        """Make the machine of a full node over what it may tell of its chain."""
        super().__init__(chain, settings or FullSettings())
        self._handing: set[Digest] = set()
        self._reports: Held[str, None] = Held(limit=_REPORTS, code="full.busy")

    def step(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        """Take one event, return the wishes that follow from it."""
        del moment
        match event:
            case BlockFinal():
                return self._move(event)
            case Fired(timer=timer) if timer.startswith(WAIT):
                return self._end_wait(timer.removeprefix(WAIT))
            case Fired(timer=timer) if timer.startswith(_LATE):
                return self._end_submit(timer.removeprefix(_LATE))
            case Returned(call=call, message=message):
                return self._take_answer(call, message)
            case Unreachable(call=call, reason=why):
                return self._take_answer(call, refuse(_tell_silent(why)))
            case Arrived(conversation=conversation, message=message):
                return self._receive(conversation, message)
            case Hung(conversation=conversation):
                self._forget(conversation)
                return (CancelTimer(_LATE + conversation),)
            case Stopping():
                self._stopping = True
                return self._let_go()
            case _:
                return ()

    def _hand_in(self, conversation: str, data: bytes, found: Digest) -> tuple[Wish, ...]:
        late = SetTimer(_LATE + conversation, self._settings.submit_wait_ms)
        if found in self._handing or self._chain.is_pending(found):
            return (late,)
        self._handing.add(found)
        return (late, Send(_HAND + found.hex(), ENGINE, Submit(transaction=data), _ENGINE_MS))

    def _answer(self, conversation: str, message: Message) -> tuple[Wish, ...]:
        if not isinstance(message, ReportAttack):
            return super()._answer(conversation, message)
        self._reports.add(conversation, None)
        return (Send(_REPORT + conversation, ENGINE, message, _ENGINE_MS),)

    def _take_answer(self, call: str, message: Message) -> tuple[Wish, ...]:
        if call.startswith(_REPORT):
            conversation = call.removeprefix(_REPORT)
            self._reports.remove(conversation)
            return (Reply(conversation, message),)
        found = make_digest(bytes.fromhex(call.removeprefix(_HAND)))
        self._handing.discard(found)
        return self._settle(found, message) if isinstance(message, Refused) else ()

    def _settle(self, found: Digest, message: Message) -> tuple[Wish, ...]:
        waiting = self._submitted.get(found, ())
        cancelled = tuple(CancelTimer(_LATE + conversation) for conversation in waiting)
        return (*super()._settle(found, message), *cancelled)

    def _end_submit(self, conversation: str) -> tuple[Wish, ...]:
        self._forget(conversation)
        late = Refusal(
            "full.pending",
            "the transaction waits, and no block has come that holds it",
            hint="send the same transaction again: it can be applied once only",
        )
        return (Reply(conversation, refuse(late)),)

    def _move(self, block: BlockFinal) -> tuple[Wish, ...]:
        wishes: list[Wish] = []
        for found in tuple(self._submitted):
            outcome = self._chain.get_outcome(found)
            if outcome is not None:
                wishes += self._settle(found, outcome)
            elif found not in self._handing and not self._chain.is_pending(found):
                gone = Refusal("mempool.expired", "the transaction left the pool without a block")
                wishes += self._settle(found, refuse(gone))
        wishes += self._resume()
        if block.transactions:
            wishes.append(_report(block))
        return tuple(wishes)


def _tell_silent(why: str) -> Refusal:
    return Refusal(
        "full.engine-silent",
        f"the engine of this full node takes nothing now: {why}",
        hint="send the same again in a moment, or to another full node",
    )


def _report(block: BlockFinal) -> Report:
    return Report(
        "info",
        "full.block",
        f"block {block.height}: {block.transactions} transactions",
        (("height", str(block.height)), ("transactions", str(block.transactions))),
    )
