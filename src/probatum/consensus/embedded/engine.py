"""The embedded engine: one process decides, signs and keeps the chain (`HEADER-1`).

Pure: reads come from a store that the caller passes, writes go out as rows that the caller
commits (`decide`, then `finish`). The order of things makes `kill -9` safe: nothing is told to
anybody before its rows are durable, and a block that was not committed never was. Must not know
clocks, disks, or what a transaction does. Read next: `probatum.consensus.chain.kept`.
"""

from __future__ import annotations

from dataclasses import dataclass

from probatum.consensus.chain.blocks import (
    list_outcomes,
    make_block_rows,
    make_header,
    make_state_rows,
)
from probatum.consensus.chain.filling import expire, fill_block
from probatum.consensus.chain.kept import KeptChain
from probatum.consensus.chain.opening import begin
from probatum.consensus.engine import Decided, Dropped, Store
from probatum.consensus.mempool import Mempool
from probatum.errors import Misuse, Refusal
from probatum.ledger.apply import BlockRun, apply_block
from probatum.ledger.genesis import (
    Genesis,
)
from probatum.ledger.statemap import TreeUpdate
from probatum.protocol import limits
from probatum.protocol.blocks import (
    Block,
    Change,
    TransactionResult,
)
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.headers import Header, KeySeal, SignedHeader, compute_header_hash
from probatum.protocol.messages import Outcome
from probatum.protocol.primitives import Digest

__all__ = ["EmbeddedEngine", "EngineSettings"]

_HEAD_BYTES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How an engine works; none of it enters consensus.

    Attributes:
        block_transactions: At most so many in one block, a voucher counting as one too: decides
            how long one block takes.
        keep_changes: For so many heights followers get changes instead of a snapshot.
        cached_nodes: Tree nodes held in memory, in each of two generations (1 KB each).
        cached_records: Records held in memory, likewise.
    """

    block_transactions: int = 4_000
    keep_changes: int = 1_024
    cached_nodes: int = 50_000
    cached_records: int = 50_000


class EmbeddedEngine(KeptChain):
    """See the module; made by `open`. Implements `probatum.consensus.engine.Engine`."""

    name = "embedded"

    def __init__(
        self,
        store: Store,
        genesis: Genesis,
        signer: OperatingSigner | None,
        settings: EngineSettings,
    ) -> None:
        """Use `EmbeddedEngine.open` instead."""
        super().__init__(
            store,
            genesis,
            cached_nodes=settings.cached_nodes,
            cached_records=settings.cached_records,
        )
        self._signer = signer
        self._settings = settings
        self._pool = Mempool(self.domain, self.get_account)
        self._update: TreeUpdate | None = None

    @classmethod
    def open(
        cls,
        *,
        store: Store,
        genesis: Genesis,
        signer: OperatingSigner | None = None,
        settings: EngineSettings | None = None,
    ) -> EmbeddedEngine:
        """Resume a chain from its store, or begin it in an empty one.

        Args:
            store: Where the chain is kept.
            genesis: The genesis document.
            signer: The engine's key; without it the engine can replay, not decide.
            settings: How it works.

        Raises:
            Misuse: `consensus.other-key` if the signer is not the one genesis names.
            Fault: `store.other-format`, `store.other-chain`, `store.corrupt`.
        """
        if signer is not None and signer.key.hex() != genesis.key:
            raise Misuse("consensus.other-key", "the genesis document names another engine key")
        begin(store, genesis)
        return cls(store, genesis, signer, settings or EngineSettings())

    @property
    def pending(self) -> int:
        """How many transactions wait."""
        return len(self._pool)

    # The pool

    def submit(self, data: bytes) -> Digest:
        """Take a transaction into the pool and return its hash.

        Raises:
            Refusal: as `probatum.consensus.mempool.Mempool.add`.
        """
        return self._pool.add(data, self.params, self.height).hash

    def is_pending(self, transaction_hash: Digest) -> bool:
        """Tell whether a transaction waits."""
        return transaction_hash in self._pool

    # Blocks

    def decide(self, now_ms: int) -> Decided:
        """Make the next block from the pool; it counts once `finish` is called.

        Args:
            now_ms: Unix time; the block's time is this, or the next one after the last block's.

        Raises:
            Misuse: `consensus.not-finished`, `consensus.no-signer`.
            InvariantBroken: `ledger.invariant-broken`.
        """
        self._check_finished()
        if self._signer is None:
            raise Misuse("consensus.no-signer", "an engine without its key only replays")
        height, time_ms = self.height + 1, max(now_ms, self.time_ms + 1)
        run = BlockRun(self._records, self.domain, height=height, time_ms=time_ms)
        late = self._pool.expire(height)
        filled = fill_block(
            run,
            self._pool,
            most=min(self._settings.block_transactions, limits.BLOCK_TRANSACTIONS),
            room_bytes=limits.BLOCK_BYTES - _HEAD_BYTES,
        )
        data = tuple(entry.data for entry in filled.entries)
        block = Block(height=height, time_ms=time_ms, transactions=data)
        results = tuple(TransactionResult(code=code) for code in filled.codes)
        changes = run.finish()
        update, header = self._make_header(block, results, changes)
        signed = SignedHeader(
            header=header,
            seal=KeySeal(
                key=self._signer.key,
                signature=self._signer.sign(compute_header_hash(header)),
            ),
        )
        outcomes = tuple(
            Outcome(transaction_hash=entry.hash, height=height, code=code)
            for entry, code in zip(filled.entries, filled.codes, strict=True)
        )
        # What cannot be in a block leaves the pool at `finish`.
        expired = tuple(expire(entry, "the transaction's turn never came") for entry in late)
        dropped = (*expired, *filled.dropped)
        return self._decided(signed, block, results, changes, outcomes, dropped, update)

    def replay(self, signed: SignedHeader, block: Block) -> Decided:
        """Apply a block that was decided before, checking that it gives the same header.

        Signatures of transactions are checked anew; the header's own signature is the caller's
        to check (`probatum.protocol.trust`).

        Raises:
            Misuse: `consensus.not-finished`.
            Refusal: `consensus.not-next`, `consensus.time-back`, `consensus.other-header`.
        """
        self._check_finished()
        if block.height != self.height + 1:
            raise Refusal(
                "consensus.not-next", f"height {block.height} does not follow {self.height}"
            )
        if block.time_ms <= self.time_ms:
            raise Refusal("consensus.time-back", f"{block.time_ms} is not after {self.time_ms}")
        applied = apply_block(self._records, block, self.domain)
        update, header = self._make_header(block, applied.results, applied.changes)
        if header != signed.header:
            raise Refusal(
                "consensus.other-header",
                f"the block of height {block.height} gives another header than was signed",
            )
        outcomes = list_outcomes(block, applied.results, applied.charged)
        return self._decided(signed, block, applied.results, applied.changes, outcomes, (), update)

    def _check_finished(self) -> None:
        if self._update is not None:
            raise Misuse("consensus.not-finished", "the block before is not durable yet")

    def _make_header(
        self, block: Block, results: tuple[TransactionResult, ...], changes: tuple[Change, ...]
    ) -> tuple[TreeUpdate, Header]:
        update = self._map.update({change.key: change.value for change in changes})
        before = self.last_header.header if self.last_header else None
        header = make_header(self.domain, before, block, results, update.root.digest)
        return update, header

    def _decided(
        self,
        signed: SignedHeader,
        block: Block,
        results: tuple[TransactionResult, ...],
        changes: tuple[Change, ...],
        outcomes: tuple[Outcome, ...],
        dropped: tuple[Dropped, ...],
        update: TreeUpdate,
    ) -> Decided:
        keep = self._settings.keep_changes
        self._update = update
        return Decided(
            header=signed,
            block=block,
            results=results,
            changes=changes,
            outcomes=outcomes,
            dropped=dropped,
            rows=(
                *make_state_rows(block.height, changes, update, self._stale),
                *make_block_rows(signed, block, changes, outcomes, keep),
            ),
        )

    def finish(self, decided: Decided) -> None:
        """Take note that a decided block is durable.

        Raises:
            Misuse: `consensus.not-decided` if there is none.
        """
        update = self._update
        if update is None or update.root.digest != decided.header.header.state_root:
            raise Misuse("consensus.not-decided", "this block is not the one just decided")
        self.advance(decided, update)
        self._update = None
        for outcome in decided.outcomes:
            self._pool.remove(outcome.transaction_hash)
        for dropped in decided.dropped:
            self._pool.remove(dropped.transaction_hash)
