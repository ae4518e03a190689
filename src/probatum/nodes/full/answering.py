"""What every full node does alike: answers questions, holds polls and submitters, lets go of them.

Whoever derives from this says how transactions are handed in and when the chain has moved; see
`machine` for an engine in the node's own process, `ordered` for one outside. Must not know clocks,
disks, HTTP, nor what a transaction does. Read next: `following`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from probatum.consensus.engine import Chain
from probatum.errors import Refusal
from probatum.machine.budget import Held
from probatum.machine.wishes import Reply, SetTimer, Wish
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
    Outcome,
    Refused,
    Status,
    Submit,
)
from probatum.protocol.primitives import Digest
from probatum.protocol.transactions.signed import compute_transaction_hash

__all__ = ["WAIT", "AnsweringNode", "FullSettings", "refuse"]

WAIT: Final = "wait:"
_LONGEST_WAIT_MS: Final = 60_000
_RETRYABLE: Final = frozenset(
    {
        "full.busy",
        "full.catching-up",
        "full.engine-silent",
        "full.pending",
        "full.stopping",
        "mempool.expired",
        "mempool.full",
    }
)
"""Refusals of the moment: the same message may be taken later."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FullSettings:
    """How a full node works; none of it enters consensus.

    Attributes:
        block_interval_ms: From one block's beginning to the next one's, at least 50; where the
            engine is outside, what it is set to.
        followers: Long polls that may wait at one time.
        queries: Questions that may wait for a block to reach the disk.
        submit_wait_ms: Who hands in a transaction is answered within this, where the engine is
            outside: a network that has halted takes transactions all the same.
    """

    block_interval_ms: int = 1_000
    followers: int = 1_024
    queries: int = 1_024
    submit_wait_ms: int = 60_000

    def __post_init__(self) -> None:
        """Check the interval. Raises Refusal `full.bad-interval`."""
        if self.block_interval_ms < 50:
            raise Refusal("full.bad-interval", "the block interval is at least 50 ms")


class AnsweringNode(ABC):
    """See the module."""

    def __init__(self, chain: Chain, settings: FullSettings) -> None:
        """Make it over a chain."""
        self._chain = chain
        self._settings = settings
        self._followers = Followers(chain, limit=settings.followers)
        self._stopping = False
        self._submitted: dict[Digest, list[str]] = {}
        self._submitters: Held[str, Digest] = Held(
            limit=limits.MEMPOOL_TRANSACTIONS, code="full.busy"
        )
        self._deferred: Held[str, Message] = Held(limit=settings.queries, code="full.busy")

    def get_gauges(self) -> Mapping[str, float]:
        """Get figures for whoever is on duty."""
        last = self._chain.last_header
        return {
            "ledger_height": self._chain.height,
            "ledger_block_time_seconds": last.header.time_ms / 1_000 if last else 0,
            "ledger_waiting_transactions": self._chain.pending,
        }

    # The chain has moved

    def _settle(self, found: Digest, message: Message) -> tuple[Wish, ...]:
        """Answer all who handed in a transaction."""
        wishes: list[Wish] = []
        for conversation in self._submitted.pop(found, ()):
            self._submitters.remove(conversation)
            wishes.append(Reply(conversation, message))
        return tuple(wishes)

    def _resume(self) -> tuple[Wish, ...]:
        """Answer who waited for a block: polls, and questions that came at the wrong time."""
        wishes: list[Wish] = []
        for conversation, follow in self._followers.get_waiting():
            wishes += self._follow(conversation, follow)
        for conversation, message in self._deferred.items():
            self._deferred.remove(conversation)
            wishes += self._receive(conversation, message)
        return tuple(wishes)

    def _let_go(self) -> tuple[Wish, ...]:
        """Answer all who wait for blocks that will not come any more."""
        refused = refuse(_tell_stopping())
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
            return (Reply(conversation, refuse(refusal)),)

    @abstractmethod
    def _hand_in(self, conversation: str, data: bytes, found: Digest) -> tuple[Wish, ...]:
        """Hand a transaction in that is not in a block yet. Raises Refusal."""

    def _is_unsettled(self) -> bool:
        """Tell whether questions about the state have to wait."""
        return self._chain.height == 0

    def _answer(self, conversation: str, message: Message) -> tuple[Wish, ...]:
        match message:
            case Submit(transaction=data):
                return self._submit(conversation, data)
            case GetOutcome(transaction_hash=found):
                return (Reply(conversation, self._get_outcome(found)),)
            case GetStatus():
                return (Reply(conversation, self._get_status()),)
            case GetHeader() | GetBlock() if self._chain.height > 0:
                return self._read(conversation, message)
            case GetState() | ListState() | Follow() | GetHeader() | GetBlock():
                if self._is_unsettled():
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
        chain = self._chain
        match message:
            case Follow():
                return self._follow(conversation, message)
            case GetState(keys=keys, prove=prove):
                header = chain.last_header
                assert header is not None, "questions wait for the first block"
                items = chain.get_items(keys, prove=prove)
                return (Reply(conversation, GotState(header=header, items=items)),)
            case ListState(prefix=prefix, after=after, limit=limit):
                found, more = chain.list_items(prefix, after, limit)
                listed = ListedState(height=chain.height, items=found, more=more)
                return (Reply(conversation, listed),)
            case GetHeader(height=height):
                header = chain.get_header(height or chain.height)
                if header is None:
                    raise _no_height(height)
                return (Reply(conversation, GotHeader(header=header)),)
            case GetBlock(height=height):
                return (Reply(conversation, self._get_block(height)),)

    def _submit(self, conversation: str, data: bytes) -> tuple[Wish, ...]:
        found = compute_transaction_hash(data)
        outcome = self._chain.get_outcome(found)
        if outcome is not None:
            return (Reply(conversation, outcome),)
        if self._stopping:
            raise _tell_stopping()
        self._submitters.add(conversation, found)
        try:
            wishes = self._hand_in(conversation, data, found)
        except Refusal:
            self._submitters.remove(conversation)
            raise
        self._submitted.setdefault(found, []).append(conversation)
        return wishes

    def _get_outcome(self, found: Digest) -> Outcome:
        outcome = self._chain.get_outcome(found)
        if outcome is not None:
            return outcome
        if self._chain.is_pending(found):
            raise Refusal("full.pending", "the transaction waits for a block")
        raise Refusal("full.unknown-transaction", "no block holds this transaction")

    def _get_block(self, height: int) -> GotBlock:
        header, block = self._chain.get_header(height), self._chain.get_block(height)
        if header is None or block is None:
            raise _no_height(height)
        return GotBlock(header=header, block=block)

    def _get_status(self) -> Status:
        chain = self._chain
        header = chain.last_header
        return Status(
            chain_id=chain.domain.chain_id,
            genesis_hash=chain.domain.genesis_hash,
            engine=chain.name,
            key=chain.key,
            height=chain.height,
            time_ms=header.header.time_ms if header else 0,
            block_interval_ms=self._settings.block_interval_ms,
            pending_transactions=chain.pending,
        )

    def _follow(self, conversation: str, follow: Follow) -> tuple[Wish, ...]:
        try:
            followed = self._followers.answer(follow)
        except Refusal as refusal:
            self._followers.release(conversation)
            return (Reply(conversation, refuse(refusal)),)
        if followed is not None:
            self._followers.release(conversation)
            return (Reply(conversation, followed),)
        self._followers.hold(conversation, follow)
        wait_ms = min(follow.wait_ms, _LONGEST_WAIT_MS)
        return (SetTimer(WAIT + conversation, wait_ms),)

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


def _tell_stopping() -> Refusal:
    return Refusal("full.stopping", "this full node is about to stop", hint="try again later")


def _no_height(height: int) -> Refusal:
    return Refusal("full.no-such-height", f"no block of height {height} is kept here")


def refuse(refusal: Refusal) -> Refused:
    """Say no by a message."""
    return Refused(
        code=refusal.code,
        message=refusal.message[:2_000],
        hint=refusal.hint[:2_000],
        retryable=refusal.code in _RETRYABLE,
    )
