"""The interface between a full node and whatever orders its transactions.

`Chain` is what a full node tells of: the last height that may be told, and all before it. An
engine of several machines gives that alone; its blocks come from outside. `Engine` is one that
decides alone, in the node's own process: `submit` takes a transaction into the pool; `decide`
gives the next decided block, already applied, with everything that has to reach the disk in one
atomic step (height, state, outcomes); `finish` says that it has. Must not know how blocks are
decided, nor the full node's messages beyond values.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from probatum.protocol.blocks import Block, Change, TransactionResult
from probatum.protocol.eip712 import Domain
from probatum.protocol.headers import SignedHeader
from probatum.protocol.messages import Outcome, StateItem
from probatum.protocol.primitives import Address, Digest, OperatingKey

__all__ = ["Chain", "Decided", "Dropped", "Engine", "Row", "Store"]

Row: TypeAlias = tuple[str, bytes, bytes | None]
"""Table, key, value; a value of None deletes. The rows of the machine's wish `Commit`."""


class Store(Protocol):
    """Where an engine keeps what it decided; see `probatum.consensus.tables` for the tables."""

    def get(self, table: str, key: bytes) -> bytes | None:
        """Get a committed value, or None."""

    def scan(
        self, table: str, prefix: bytes, after: bytes, limit: int
    ) -> tuple[tuple[bytes, bytes], ...]:
        """List at most `limit` rows under a prefix, in key order, with keys above `after`."""

    def commit(self, rows: Iterable[Row]) -> None:
        """Write rows atomically; when it returns, they are durable."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dropped:
    """A transaction that left the pool without being in a block, and why."""

    transaction_hash: Digest
    code: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """A decided and applied block, not yet on disk.

    Attributes:
        header: Its signed header; commits to the state after it.
        block: Its inputs.
        results: What came of each transaction.
        changes: Records written, in key order.
        outcomes: The final outcomes, to be told once the rows are durable.
        dropped: Transactions that turned out not to be includable.
        rows: Everything to commit, atomically.
    """

    header: SignedHeader
    block: Block
    results: tuple[TransactionResult, ...]
    changes: tuple[Change, ...]
    outcomes: tuple[Outcome, ...]
    dropped: tuple[Dropped, ...]
    rows: tuple[Row, ...]


class Chain(Protocol):
    """What a full node tells of, whoever decides its blocks."""

    @property
    def name(self) -> str:
        """The engine's name, as trust files have it."""

    @property
    def key(self) -> OperatingKey | None:
        """The key that signs headers; None if validators do."""

    @property
    def domain(self) -> Domain:
        """The chain."""

    @property
    def height(self) -> int:
        """The last height that may be told, 0 before the first block."""

    @property
    def last_header(self) -> SignedHeader | None:
        """The header at that height, None before the first block."""

    @property
    def pending(self) -> int:
        """How many transactions wait."""

    def is_pending(self, transaction_hash: Digest) -> bool:
        """Tell whether a transaction waits, or is in a block that may not be told yet."""

    def get_outcome(self, transaction_hash: Digest) -> Outcome | None:
        """Get the outcome of a transaction in a block that may be told."""

    def get_header(self, height: int) -> SignedHeader | None:
        """Get a signed header."""

    def get_block(self, height: int) -> bytes | None:
        """Get an encoded block."""

    def get_changes(self, height: int) -> tuple[Change, ...] | None:
        """Get what a recent block changed, None if that is no longer kept."""

    def get_items(self, keys: tuple[bytes, ...], *, prove: bool) -> tuple[StateItem, ...]:
        """Get records, with proofs if asked."""

    def list_items(
        self, prefix: bytes, after: bytes, limit: int
    ) -> tuple[tuple[StateItem, ...], bool]:
        """List records under a prefix; the second value tells whether there are more."""

    def list_escrows(
        self, account: Address, after: bytes, limit: int
    ) -> tuple[tuple[StateItem, ...], bool]:
        """List the escrows of a payer or payee, in key order, with keys above `after`."""


class Engine(Chain, Protocol):
    """What a full node needs of an engine that decides in its own process."""

    def submit(self, data: bytes) -> Digest:
        """Take a transaction into the pool and return its hash. Raises Refusal."""

    def decide(self, now_ms: int) -> Decided:
        """Decide and apply the next block; the one before must be finished."""

    def finish(self, decided: Decided) -> None:
        """Take note that a decided block is durable."""
