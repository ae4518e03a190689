"""The embedded engine: one process decides, signs and keeps the chain.

Pure: reads come from a store that the caller passes, writes go out as rows that the caller
commits (`decide`, then `finish`). The order of things makes `kill -9` safe: nothing is told to
anybody before its rows are durable, and a block that was not committed never was. Must not know
clocks, disks, or what a transaction does. Read next: `probatum.ledger.apply`, `replay`.
"""

from __future__ import annotations

from dataclasses import dataclass

from probatum.consensus import tables
from probatum.consensus.embedded.blocks import (
    NODE_ID_BYTES,
    Head,
    decode_outcome,
    make_block_rows,
    make_state_rows,
    split_ids,
)
from probatum.consensus.embedded.cache import CachedTable
from probatum.consensus.embedded.opening import begin, get_meta
from probatum.consensus.engine import Decided, Dropped, Store
from probatum.consensus.mempool import Mempool
from probatum.errors import Fault, Misuse, Refusal
from probatum.ledger.apply import BlockRun, apply_block
from probatum.ledger.genesis import (
    Genesis,
    get_domain,
)
from probatum.ledger.params import Params, decode_params
from probatum.ledger.queries import get_items, list_items
from probatum.ledger.state import EMPTY_ACCOUNT
from probatum.ledger.statemap import MerkleMap, TreeUpdate
from probatum.protocol import limits
from probatum.protocol.blocks import (
    Block,
    BlockView,
    Change,
    TransactionResult,
    compute_results_root,
    compute_transactions_root,
)
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.eip712 import Domain
from probatum.protocol.encoding import decode
from probatum.protocol.headers import Header, SignedHeader, compute_header_hash
from probatum.protocol.hexes import key_from_hex
from probatum.protocol.messages import Outcome, StateItem
from probatum.protocol.primitives import Address, Digest, OperatingKey
from probatum.protocol.records import PARAMS_KEY, Account, get_account_key
from probatum.protocol.transactions.signed import compute_transaction_hash

__all__ = ["EmbeddedEngine", "EngineSettings"]

_FRAME_BYTES = 5
"""At most what MessagePack puts before one transaction."""
_HEAD_BYTES = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineSettings:
    """How an engine works; none of it enters consensus.

    Attributes:
        block_transactions: At most so many in one block: decides how long one block takes.
        keep_changes: For so many heights followers get changes instead of a snapshot.
        cached_nodes: Tree nodes held in memory, in each of two generations (300 bytes each).
        cached_records: Records held in memory, likewise.
    """

    block_transactions: int = 4_000
    keep_changes: int = 1_024
    cached_nodes: int = 100_000
    cached_records: int = 50_000


class EmbeddedEngine:
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
        self._store = store
        self._signer = signer
        self._settings = settings
        self._genesis_time_ms = genesis.time_ms
        self.domain: Domain = get_domain(genesis)
        self.key: OperatingKey = key_from_hex(genesis.key)
        self._records = CachedTable(store, tables.RECORD, settings.cached_records)
        self._nodes = CachedTable(store, tables.NODE, settings.cached_nodes)
        self._pool = Mempool(self.domain, self._get_account)
        self._update: TreeUpdate | None = None
        self._last_changes: tuple[Change, ...] | None = None
        self._load()

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

    def _load(self) -> None:
        head = get_meta(self._store, tables.HEAD_KEY)
        self._head = decode(Head, head, limit_bytes=limits.STATE_VALUE_BYTES)
        self._stale = split_ids(get_meta(self._store, tables.STALE_KEY))
        self._map = MerkleMap(self._nodes, self._head.root)
        self.last_header: SignedHeader | None = None
        if self._head.height:
            self.last_header = self.get_header(self._head.height)
            stored = self.last_header
            if stored is None or stored.header.state_root != self._head.digest:
                raise Fault(
                    "store.corrupt",
                    f"the store does not hold the header of its own height {self._head.height}",
                    hint="replay the chain into an empty store",
                    retryable=False,
                )
        self._params = self._read_params()

    def _read_params(self) -> Params:
        value = self._records.get(PARAMS_KEY)
        assert value is not None, "a state without parameters"
        return decode_params(value)

    @property
    def height(self) -> int:
        """The last finished height, 0 before the first block."""
        return self._head.height

    @property
    def pending(self) -> int:
        """How many transactions wait."""
        return len(self._pool)

    # The pool

    def _get_account(self, account: Address) -> Account:
        value = self._records.get(get_account_key(account))
        if value is None:
            return EMPTY_ACCOUNT
        return decode(Account, value, limit_bytes=limits.STATE_VALUE_BYTES)

    def submit(self, data: bytes) -> Digest:
        """Take a transaction into the pool and return its hash.

        Raises:
            Refusal: as `probatum.consensus.mempool.Mempool.add`.
        """
        return self._pool.add(data, self._params, self.height).hash

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
        before = self.last_header.header.time_ms if self.last_header else self._genesis_time_ms
        height, time_ms = self.height + 1, max(now_ms, before + 1)
        run = BlockRun(self._records, self.domain, height=height, time_ms=time_ms)
        dropped = [
            Dropped(
                transaction_hash=entry.hash,
                code="mempool.expired",
                message="the transaction's turn never came",
            )
            for entry in self._pool.expire(height)
        ]
        data, codes, hashes = self._fill(run, dropped)
        block = Block(height=height, time_ms=time_ms, transactions=tuple(data))
        results = tuple(TransactionResult(code=code) for code in codes)
        changes = run.finish()
        update, header = self._make_header(block, results, changes)
        signed = SignedHeader(
            header=header,
            key=self._signer.key,
            signature=self._signer.sign(compute_header_hash(header)),
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
            if len(data) == most or room < 0:
                break
            try:
                code = run.apply(entry.transaction)
            except Refusal as refusal:
                stuck.add(entry.transaction.sender)
                dropped.append(
                    Dropped(transaction_hash=entry.hash, code=refusal.code, message=refusal.message)
                )
                continue
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
        before = self.last_header.header.time_ms if self.last_header else self._genesis_time_ms
        if block.height != self.height + 1:
            raise Refusal(
                "consensus.not-next", f"height {block.height} does not follow {self.height}"
            )
        if block.time_ms <= before:
            raise Refusal("consensus.time-back", f"{block.time_ms} is not after {before}")
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
        for change in decided.changes:
            self._records.note(change.key, change.value)
        for node_id, node in update.new_nodes.items():
            if len(node_id) == NODE_ID_BYTES:
                self._nodes.note(node_id, node)
        for node_id in self._stale:
            self._nodes.note(node_id, None)
        root = update.root
        self._head = Head(
            height=decided.block.height,
            version=root.version,
            node_id=root.node_id,
            digest=root.digest,
        )
        self._map = MerkleMap(self._nodes, root)
        self._stale = update.stale_nodes
        self._update = None
        self.last_header = decided.header
        self._last_changes = decided.changes
        if any(change.key == PARAMS_KEY for change in decided.changes):
            self._params = self._read_params()
        for outcome in decided.outcomes:
            self._pool.remove(outcome.transaction_hash)
        for dropped in decided.dropped:
            self._pool.remove(dropped.transaction_hash)

    # Reads

    def get_outcome(self, transaction_hash: Digest) -> Outcome | None:
        """Get a committed transaction's outcome."""
        data = self._store.get(tables.OUTCOME, transaction_hash)
        return None if data is None else decode_outcome(transaction_hash, data)

    def get_header(self, height: int) -> SignedHeader | None:
        """Get a signed header of a finished height."""
        data = self._get_at(tables.HEADER, height)
        if data is None:
            return None
        return decode(SignedHeader, data, limit_bytes=limits.STATE_VALUE_BYTES)

    def get_block(self, height: int) -> bytes | None:
        """Get an encoded block of a finished height."""
        return self._get_at(tables.BLOCK, height)

    def get_changes(self, height: int) -> tuple[Change, ...] | None:
        """Get what a recent block changed, None if that is no longer kept."""
        if height == self.height and self._last_changes is not None:
            return self._last_changes
        data = self._get_at(tables.CHANGES, height)
        if data is None:
            return None
        return decode(BlockView, data, limit_bytes=limits.FRAME_BYTES).changes

    def _get_at(self, table: str, height: int) -> bytes | None:
        # What is committed but not finished has not been told to the owner yet.
        if not 0 < height <= self.height:
            return None
        return self._store.get(table, tables.height_key(height))

    def get_items(self, keys: tuple[bytes, ...], *, prove: bool) -> tuple[StateItem, ...]:
        """Get records of the last finished height, with proofs if asked."""
        return get_items(self._records, self._map, keys, prove=prove)

    def list_items(
        self, prefix: bytes, after: bytes, limit: int
    ) -> tuple[tuple[StateItem, ...], bool]:
        """List records under a prefix; the second value tells whether there are more."""
        return list_items(self._records.scan, prefix, after, limit)
