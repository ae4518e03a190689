"""The embedded engine: one process decides, signs and keeps the chain (`HEADER-1`).

Pure: reads come from a store that the caller passes, writes go out as rows that the caller
commits (`decide`, then `finish`). The order of things makes `kill -9` safe: nothing is told to
anybody before its rows are durable, and a block that was not committed never was. Must not know
clocks, disks, or what a transaction does. Read next: `probatum.consensus.chain.kept`.
"""

from __future__ import annotations

from dataclasses import dataclass

from probatum.consensus.chain.blocks import (
    make_block_rows,
    make_state_rows,
)
from probatum.consensus.chain.kept import KeptChain
from probatum.consensus.chain.opening import begin
from probatum.consensus.engine import Decided, Dropped, Store
from probatum.consensus.mempool import Entry, Mempool
from probatum.errors import Misuse, Refusal
from probatum.ledger.apply import BlockRun, apply_block
from probatum.ledger.fees import count_shares
from probatum.ledger.genesis import (
    Genesis,
)
from probatum.ledger.statemap import TreeUpdate
from probatum.protocol import limits
from probatum.protocol.blocks import (
    Block,
    Change,
    TransactionResult,
    compute_results_root,
    compute_transactions_root,
)
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.headers import Header, KeySeal, SignedHeader, compute_header_hash
from probatum.protocol.messages import Outcome
from probatum.protocol.primitives import Address, Digest
from probatum.protocol.transactions.signed import compute_transaction_hash

__all__ = ["EmbeddedEngine", "EngineSettings"]

_FRAME_BYTES = 5
"""At most what MessagePack puts before one transaction."""
_HEAD_BYTES = 64


def _expire(entry: Entry, why: str) -> Dropped:
    return Dropped(transaction_hash=entry.hash, code="mempool.expired", message=why)


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How an engine works; none of it enters consensus.

    Attributes:
        block_transactions: At most so many in one block, a voucher counting as one too: decides
            how long one block takes.
        keep_changes: For so many heights followers get changes instead of a snapshot.
        cached_nodes: Tree nodes held in memory, in each of two generations (300 bytes each).
        cached_records: Records held in memory, likewise.
    """

    block_transactions: int = 4_000
    keep_changes: int = 1_024
    cached_nodes: int = 100_000
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
        dropped = [
            _expire(entry, "the transaction's turn never came")
            for entry in self._pool.expire(height)
        ]
        data, codes, hashes = self._fill(run, dropped)
        block = Block(height=height, time_ms=time_ms, transactions=tuple(data))
        results = tuple(TransactionResult(code=code) for code in codes)
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
            Outcome(transaction_hash=found, height=height, code=code)
            for found, code in zip(hashes, codes, strict=True)
        )
        return self._decided(signed, block, results, changes, outcomes, tuple(dropped), update)

    def _fill(
        self, run: BlockRun, dropped: list[Dropped]
    ) -> tuple[list[bytes], list[str], list[Digest]]:
        """Apply what fits into a block; what cannot be in one leaves the pool at `finish`."""
        data: list[bytes] = []
        codes: list[str] = []
        hashes: list[Digest] = []
        stuck: set[Address] = set()
        room = limits.BLOCK_BYTES - _HEAD_BYTES
        most = min(self._settings.block_transactions, limits.BLOCK_TRANSACTIONS)
        for entry in self._pool.iterate(stuck):
            room -= len(entry.data) + _FRAME_BYTES
            if most <= 0 or room < 0:
                break
            try:
                code = run.apply(entry.transaction)
            except Refusal as refusal:
                stuck.add(entry.transaction.sender)
                dropped.append(
                    Dropped(transaction_hash=entry.hash, code=refusal.code, message=refusal.message)
                )
                # They would hold their places for nothing: an account empties itself cheaply.
                dropped += [
                    _expire(behind, "the account's transaction before this one was dropped")
                    for behind in self._pool.list_behind(entry)
                ]
                continue
            most -= count_shares(entry.transaction.body)
            data.append(entry.data)
            codes.append(code)
            hashes.append(entry.hash)
        return data, codes, hashes

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
        outcomes = tuple(
            Outcome(
                transaction_hash=compute_transaction_hash(data),
                height=block.height,
                code=result.code,
            )
            for data, result, charged in zip(
                block.transactions, applied.results, applied.charged, strict=True
            )
            if charged
        )
        return self._decided(signed, block, applied.results, applied.changes, outcomes, (), update)

    def _check_finished(self) -> None:
        if self._update is not None:
            raise Misuse("consensus.not-finished", "the block before is not durable yet")

    def _make_header(
        self, block: Block, results: tuple[TransactionResult, ...], changes: tuple[Change, ...]
    ) -> tuple[TreeUpdate, Header]:
        update = self._map.update({change.key: change.value for change in changes})
        before = self.last_header
        header = Header(
            chain_id=self.domain.chain_id,
            genesis_hash=self.domain.genesis_hash,
            height=block.height,
            previous=compute_header_hash(before.header) if before else self.domain.genesis_hash,
            state_root=update.root.digest,
            transactions_root=compute_transactions_root(block.transactions),
            results_root=compute_results_root(results),
            time_ms=block.time_ms,
        )
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
