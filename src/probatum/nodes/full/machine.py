"""The full node as a machine: takes transactions, has blocks decided, answers questions.

A block a while, also when nothing waits: deadlines are heights, so heights must move. While a
block is on its way to the disk no other is begun, and nobody is told of it; transactions are
acknowledged after `Durable` alone. So whatever was said survives `kill -9`. Must not know
clocks, disks, HTTP, nor what a transaction does. Read next: `following`,
`probatum.consensus.embedded.engine`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from probatum.consensus.engine import Decided, Engine
from probatum.errors import Refusal
from probatum.ledger.invariants import InvariantBroken
from probatum.machine.budget import Held
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
from probatum.machine.wishes import Commit, Halt, Reply, Report, SetTimer, Wish
from probatum.nodes.full.following import Followers
from probatum.protocol import limits
from probatum.protocol.messages import (
    Follow,
    Followed,
    GetBlock,
    GetHeader,
    GetOutcome,
    GetState,
    GetStatus,
    GotBlock,
    GotHeader,
    GotState,
    ListedState,
    ListState,
    Message,
    Refused,
    Status,
    Submit,
)
from probatum.protocol.primitives import Digest
from probatum.protocol.transactions.signed import compute_transaction_hash

__all__ = ["FullNode", "FullSettings"]

_BLOCK: Final = "block"
_WAIT: Final = "wait:"
_LONGEST_WAIT_MS: Final = 60_000
_RETRYABLE: Final = frozenset(
    {"full.busy", "full.pending", "full.stopping", "mempool.expired", "mempool.full"}
)
"""Refusals of the moment: the same message may be taken later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FullSettings:
    """How a full node works; none of it enters consensus.

    Attributes:
        block_interval_ms: From one block's beginning to the next one's, at least 50.
        followers: Long polls that may wait at one time.
        queries: Questions that may wait for a block to reach the disk.
    """

    block_interval_ms: int = 1_000
    followers: int = 1_024
    queries: int = 1_024

    def __post_init__(self) -> None:
        """Check the interval. Raises Refusal `full.bad-interval`."""
        if self.block_interval_ms < 50:
            raise Refusal("full.bad-interval", "the block interval is at least 50 ms")


class FullNode:
    """See the module."""

    def __init__(self, engine: Engine, settings: FullSettings | None = None) -> None:
        """Make the machine of a full node over an opened engine."""
        self._engine = engine
        self._settings = settings or FullSettings()
        self._followers = Followers(engine, limit=self._settings.followers)
        self._decided: Decided | None = None
        self._begun_ms = 0
        self._stopping = False
        self._submitted: dict[Digest, list[str]] = {}
        self._submitters: Held[str, Digest] = Held(
            limit=limits.MEMPOOL_TRANSACTIONS, code="full.busy"
        )
        self._deferred: Held[str, Message] = Held(limit=self._settings.queries, code="full.busy")

    def get_gauges(self) -> Mapping[str, float]:
        """Get figures for whoever is on duty."""
        last = self._engine.last_header
        return {
            "ledger_height": self._engine.height,
            "ledger_block_time_seconds": last.header.time_ms / 1_000 if last else 0,
            "ledger_waiting_transactions": self._engine.pending,
        }

    def step(self, event: Event, moment: Moment) -> tuple[Wish, ...]:
        """Take one event, return the wishes that follow from it."""
        match event:
            case Started():
                return self._produce(moment)
            case Fired(timer=timer) if timer == _BLOCK:
                return self._produce(moment)
            case Fired(timer=timer) if timer.startswith(_WAIT):
                return self._end_wait(timer.removeprefix(_WAIT))
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
            for conversation in self._submitted.pop(outcome.transaction_hash, ()):
                self._submitters.remove(conversation)
                wishes.append(Reply(conversation, outcome))
        for dropped in decided.dropped:
            for conversation in self._submitted.pop(dropped.transaction_hash, ()):
                self._submitters.remove(conversation)
                refusal = Refusal(dropped.code, dropped.message)
                wishes.append(Reply(conversation, _refuse(refusal)))
        for conversation, follow in self._followers.get_waiting():
            wishes += self._follow(conversation, follow)
        for conversation, message in self._deferred.items():
            self._deferred.remove(conversation)
            wishes += self._receive(conversation, message)
        if self._stopping:
            wishes += self._let_go()
        else:
            # The interval runs from beginning to beginning; a slow disk does not add to it.
            left = self._begun_ms + self._settings.block_interval_ms - moment.now_ms
            wishes.append(SetTimer(_BLOCK, max(left, 0)))
        if decided.block.transactions or decided.dropped:
            wishes.append(_report(decided))
        return tuple(wishes)

    def _let_go(self) -> tuple[Wish, ...]:
        """Answer all who wait for blocks that will not come any more."""
        refused = _refuse(_stopping())
        wishes: list[Wish] = []
        for conversation, _ in (*self._submitters.items(), *self._deferred.items()):
            self._forget(conversation)
            wishes.append(Reply(conversation, refused))
        for conversation, _ in self._followers.get_waiting():
            wishes += self._end_wait(conversation)
        return tuple(wishes)

    # Conversations

    def _receive(self, conversation: str, message: Message) -> tuple[Wish, ...]:
        try:
            return self._answer(conversation, message)
        except Refusal as refusal:
            return (Reply(conversation, _refuse(refusal)),)

    def _answer(self, conversation: str, message: Message) -> tuple[Wish, ...]:
        match message:
            case Submit(transaction=data):
                return self._submit(conversation, data)
            case GetOutcome(transaction_hash=found):
                return (Reply(conversation, self._get_outcome(found)),)
            case GetStatus():
                return (Reply(conversation, self._get_status()),)
            case GetHeader() | GetBlock() if self._engine.height > 0:
                return self._read(conversation, message)
            case GetState() | ListState() | Follow() | GetHeader() | GetBlock():
                if self._decided is not None or self._engine.height == 0:
                    # Records on their way to the disk may be there before their header is told.
                    self._deferred.add(conversation, message)
                    return ()
                return self._read(conversation, message)
            case _:
                raise Refusal(
                    "full.unknown-message", f"a full node does not take {type(message).__name__}"
                )

    def _read(
        self,
        conversation: str,
        message: GetState | ListState | Follow | GetHeader | GetBlock,
    ) -> tuple[Wish, ...]:
        engine = self._engine
        match message:
            case Follow():
                return self._follow(conversation, message)
            case GetState(keys=keys, prove=prove):
                header = engine.last_header
                assert header is not None, "questions wait for the first block"
                items = engine.get_items(keys, prove=prove)
                return (Reply(conversation, GotState(header=header, items=items)),)
            case ListState(prefix=prefix, after=after, limit=limit):
                found, more = engine.list_items(prefix, after, limit)
                listed = ListedState(height=engine.height, items=found, more=more)
                return (Reply(conversation, listed),)
            case GetHeader(height=height):
                header = engine.get_header(height or engine.height)
                if header is None:
                    raise _no_height(height)
                return (Reply(conversation, GotHeader(header=header)),)
            case GetBlock(height=height):
                return (Reply(conversation, self._get_block(height)),)

    def _submit(self, conversation: str, data: bytes) -> tuple[Wish, ...]:
        found = compute_transaction_hash(data)
        outcome = self._engine.get_outcome(found)
        if outcome is not None:
            return (Reply(conversation, outcome),)
        if self._stopping:
            raise _stopping()
        self._submitters.add(conversation, found)
        try:
            if not self._engine.is_pending(found):
                self._engine.submit(data)
        except Refusal:
            self._submitters.remove(conversation)
            raise
        self._submitted.setdefault(found, []).append(conversation)
        return ()

    def _get_outcome(self, found: Digest) -> Message:
        outcome = self._engine.get_outcome(found)
        if outcome is not None:
            return outcome
        if self._engine.is_pending(found):
            raise Refusal("full.pending", "the transaction waits for a block")
        raise Refusal("full.unknown-transaction", "no block holds this transaction")

    def _get_block(self, height: int) -> GotBlock:
        header, block = self._engine.get_header(height), self._engine.get_block(height)
        if header is None or block is None:
            raise _no_height(height)
        return GotBlock(header=header, block=block)

    def _get_status(self) -> Status:
        engine = self._engine
        header = engine.last_header
        return Status(
            chain_id=engine.domain.chain_id,
            genesis_hash=engine.domain.genesis_hash,
            engine=engine.name,
            key=engine.key,
            height=engine.height,
            time_ms=header.header.time_ms if header else 0,
            block_interval_ms=self._settings.block_interval_ms,
            pending_transactions=engine.pending,
        )

    def _follow(self, conversation: str, follow: Follow) -> tuple[Wish, ...]:
        try:
            followed = self._followers.answer(follow)
        except Refusal as refusal:
            self._followers.release(conversation)
            return (Reply(conversation, _refuse(refusal)),)
        if followed is not None:
            self._followers.release(conversation)
            return (Reply(conversation, followed),)
        self._followers.hold(conversation, follow)
        wait_ms = min(follow.wait_ms, _LONGEST_WAIT_MS)
        return (SetTimer(_WAIT + conversation, wait_ms),)

    def _end_wait(self, conversation: str) -> tuple[Wish, ...]:
        if not self._followers.release(conversation):
            return ()
        return (Reply(conversation, Followed(snapshot=False, blocks=())),)

    def _forget(self, conversation: str) -> None:
        self._followers.release(conversation)
        self._deferred.remove(conversation)
        found = self._submitters.remove(conversation)
        if found is not None:
            self._submitted[found].remove(conversation)
            if not self._submitted[found]:
                del self._submitted[found]


def _ticket(decided: Decided) -> str:
    return f"{_BLOCK}:{decided.block.height}"


def _stopping() -> Refusal:
    return Refusal("full.stopping", "this full node is about to stop", hint="try again later")


def _no_height(height: int) -> Refusal:
    return Refusal("full.no-such-height", f"no block of height {height} is kept here")


def _refuse(refusal: Refusal) -> Refused:
    return Refused(
        code=refusal.code,
        message=refusal.message[:2_000],
        hint=refusal.hint[:2_000],
        retryable=refusal.code in _RETRYABLE,
    )


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
