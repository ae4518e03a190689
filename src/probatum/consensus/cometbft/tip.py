"""The application's side of the chain: the last committed block, and how the next one is applied.

Pure over a store: `apply` computes, `make_rows` says what has to reach the disk in one atomic
step, `advance` takes note that it has (`ABCI-3`). Others are not told of this height yet, see
`sealed`. Must not know ABCI's messages, sockets, or what a transaction does.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from probatum.consensus import tables
from probatum.consensus.chain.blocks import (
    Head,
    list_outcomes,
    make_decision_rows,
    make_header,
    make_record_rows,
)
from probatum.consensus.chain.cache import CachedTable
from probatum.consensus.chain.opening import begin, get_meta
from probatum.consensus.chain.view import read_account
from probatum.consensus.cometbft import undo
from probatum.consensus.cometbft.snapshots import clear_unfinished
from probatum.consensus.engine import Row, Store
from probatum.errors import Fault, Refusal
from probatum.ledger.apply import AppliedBlock, BlockRun, apply_block
from probatum.ledger.genesis import Genesis, get_domain
from probatum.ledger.params import Params, decode_params
from probatum.ledger.statemap import MapRoot, MerkleMap, TreeUpdate
from probatum.protocol import limits
from probatum.protocol.blocks import Block, Change, TransactionResult, ValidatorUpdate
from probatum.protocol.eip712 import Domain
from probatum.protocol.encoding import decode
from probatum.protocol.headers import Header, SignedHeader, compute_header_hash
from probatum.protocol.messages import Outcome
from probatum.protocol.primitives import Address, Digest
from probatum.protocol.records import PARAMS_KEY, Account
from probatum.protocol.transactions.signed import SignedTransaction

__all__ = ["UNSEALED_BLOCKS", "UNSEALED_RECORDS", "Applied", "OpenOne", "Tip", "Unsealed"]

UNSEALED_BLOCKS: Final = 256
"""A node that catches up is so many blocks ahead of its seals at most, or answers nobody."""
UNSEALED_RECORDS: Final = 1_000_000
"""Nor by more changed records, which are held in memory: of full blocks 256 would be gigabytes."""

OpenOne = Callable[[Domain, bytes], SignedTransaction]
"""Decodes a transaction and checks its sender, as `probatum.ledger.apply.open_transaction`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Applied:
    """A block that was applied and is not kept yet.

    Attributes:
        header: Its header; the header's hash is the app hash.
        did: What it did.
        outcomes: The final outcomes.
        update: Its update of the tree.
    """

    block: Block
    header: Header
    app_hash: Digest
    did: AppliedBlock
    outcomes: tuple[Outcome, ...]
    update: TreeUpdate

    @property
    def validator_updates(self) -> tuple[ValidatorUpdate, ...]:
        """What the engine must be told."""
        return self.did.validator_updates


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsealed:
    """A committed block without a seal.

    Attributes:
        before: The records that it changed, as they were.
        changes: What it changed, in key order; None where only the store knows it by now.
        stale: Tree nodes that only the roots before it reach.
        root_before: The state map's root before it.
    """

    header: Header
    before: dict[bytes, bytes | None]
    changes: tuple[Change, ...] | None
    stale: tuple[bytes, ...]
    root_before: MapRoot
    keys: tuple[bytes, ...] = field(init=False)
    """Of `before`, in order."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "keys", tuple(sorted(self.before)))

    def list_keys(self, prefix: bytes, after: bytes, end: bytes | None) -> tuple[bytes, ...]:
        """List the keys that changed under a prefix, above `after` and up to `end`, if any."""
        keys = self.keys
        first = max(bisect_left(keys, prefix), bisect_right(keys, after))
        last = len(keys) if end is None else bisect_right(keys, end)
        for place in range(first, last):
            if not keys[place].startswith(prefix):
                return keys[first:place]
        return keys[first:last]


class Tip:
    """The chain as the engine drives it.

    Attributes:
        domain: The chain, as signatures name it.
        header: The last committed header, None before the first block.
        params: The parameters at that height.
        records: The records at that height.
        unsealed: The last blocks, oldest first, that have no seal yet; with one that is being
            committed, so that whoever reads an older height meanwhile reads past it.
        sealed_height: The last height that has a seal, 0 before the first.
    """

    def __init__(
        self, store: Store, genesis: Genesis, *, cached_nodes: int, cached_records: int
    ) -> None:
        """Load where a store stands, or begin the chain in an empty one.

        Raises:
            Fault: `store.other-format`, `store.other-chain`, `store.corrupt`.
        """
        clear_unfinished(store)
        begin(store, genesis)
        self._store = store
        self._genesis_time_ms = genesis.time_ms
        self._cached = (cached_nodes, cached_records)
        self.domain: Domain = get_domain(genesis)
        self.load()

    def load(self) -> None:
        """Read again where the store stands. Raises Fault `store.corrupt`."""
        store, (nodes, records) = self._store, self._cached
        self.records = CachedTable(store, tables.RECORD, records)
        self.nodes = CachedTable(store, tables.NODE, nodes)
        head = get_meta(store, tables.HEAD_KEY)
        self._head = decode(Head, head, limit_bytes=limits.STATE_VALUE_BYTES)
        self.sealed_height = undo.load_sealed_height(store)
        self.header = self.load_header(self.height) if self.height else None
        self.unsealed = deque(self._load_unsealed())
        self.params = self._read_params()

    def load_header(self, height: int) -> Header:
        """Load the header of a committed height. Raises Fault `store.corrupt`."""
        header = undo.load_header(self._store, height)
        if header is None:
            data = self._store.get(tables.HEADER, tables.height_key(height))
            if data is not None:
                limit_bytes = limits.SIGNED_HEADER_BYTES
                header = decode(SignedHeader, data, limit_bytes=limit_bytes).header
        if header is None or (height == self.height and header.state_root != self._head.digest):
            raise Fault(
                "store.corrupt",
                f"the store does not hold the header of its own height {height}",
                hint="replay the chain into an empty store",
                retryable=False,
            )
        return header

    def _load_unsealed(self) -> Iterator[Unsealed]:
        """Yield the last blocks that have no seal and can be undone, oldest first."""
        found: list[Unsealed] = []
        height = self.height
        while height > self.sealed_height:
            kept = undo.load_undo(self._store, height)
            if kept is None:
                break
            found.append(
                Unsealed(
                    header=self.load_header(height),
                    before={change.key: change.value for change in kept.before},
                    changes=None,
                    stale=undo.split_stale(kept),
                    root_before=kept.head.root,
                )
            )
            height -= 1
        yield from reversed(found)

    def _read_params(self) -> Params:
        value = self.records.get(PARAMS_KEY)
        assert value is not None, "a state without parameters"
        return decode_params(value)

    @property
    def height(self) -> int:
        """The last committed height, 0 before the first block."""
        return self._head.height

    @property
    def root(self) -> MapRoot:
        """The state map's root at that height."""
        return self._head.root

    @property
    def app_hash(self) -> Digest:
        """Hash of the last committed header; before the first block the genesis hash."""
        return compute_header_hash(self.header) if self.header else self.domain.genesis_hash

    @property
    def time_ms(self) -> int:
        """The last committed block's time, before the first the genesis document's."""
        return self.header.time_ms if self.header else self._genesis_time_ms

    def get_account(self, account: Address) -> Account:
        """Get a committed account; one without a record is empty."""
        return read_account(self.records, account)

    # Applying

    def apply(self, block: Block, open_one: OpenOne) -> Applied:
        """Apply the next block, whatever is in it; nothing changes here.

        Raises:
            InvariantBroken: `ledger.invariant-broken`, a bug of this software.
        """
        return self._conclude(
            block, apply_block(self.records, block, self.domain, open_one=open_one)
        )

    def start(self, block: Block) -> BlockRun:
        """Begin to apply the next block's transactions one by one; `conclude` ends it."""
        return BlockRun(
            self.records,
            self.domain,
            height=block.height,
            time_ms=block.time_ms,
            votes=block.votes,
            misbehaviour=block.misbehaviour,
        )

    def conclude(self, block: Block, run: BlockRun, codes: tuple[str, ...]) -> Applied:
        """End a run whose transactions all paid their fees.

        Raises:
            InvariantBroken: `ledger.invariant-broken`, a bug of this software.
        """
        changes = run.finish()
        return self._conclude(
            block,
            AppliedBlock(
                changes=changes,
                results=tuple(TransactionResult(code=code) for code in codes),
                charged=(True,) * len(codes),
                validator_updates=run.validator_updates,
            ),
        )

    def _conclude(self, block: Block, did: AppliedBlock) -> Applied:
        update = MerkleMap(self.nodes, self.root).update(
            {change.key: change.value for change in did.changes}
        )
        header = make_header(self.domain, self.header, block, did.results, update.root.digest)
        return Applied(
            block=block,
            header=header,
            app_hash=compute_header_hash(header),
            did=did,
            outcomes=list_outcomes(block, did.results, did.charged),
            update=update,
        )

    # Keeping

    def make_rows(self, applied: Applied) -> tuple[Row, ...]:
        """Say what has to reach the disk in one atomic step, then `advance`.

        From here on whoever reads an older height reads past this block.
        """
        before = {change.key: self.records.get(change.key) for change in applied.did.changes}
        update, height = applied.update, applied.block.height
        rows = (
            *make_record_rows(height, applied.did.changes, update),
            *make_decision_rows(applied.block, applied.outcomes),
            *undo.make_undo_rows(applied.header, self._head, before, update),
            *self._forget_old(height),
        )
        self.unsealed.append(
            Unsealed(
                header=applied.header,
                before=before,
                changes=applied.did.changes,
                stale=update.stale_nodes,
                root_before=self.root,
            )
        )
        return rows

    def _forget_old(self, height: int) -> Iterator[Row]:
        """Give up undoing blocks that are too far behind, as if they were sealed."""
        held = sum(len(block.keys) for block in self.unsealed)
        while self.unsealed and (
            self.unsealed[0].header.height <= height - UNSEALED_BLOCKS or held > UNSEALED_RECORDS
        ):
            old = self.unsealed.popleft()
            held -= len(old.keys)
            yield from undo.make_forget_rows(old.header.height, old.stale)

    def advance(self, applied: Applied) -> None:
        """Take note that a block is on the disk."""
        for change in applied.did.changes:
            self.records.note(change.key, change.value)
        for node_id, node in applied.update.new_nodes.items():
            self.nodes.note(node_id, node)
        root = applied.update.root
        self._head = Head(
            height=applied.block.height,
            version=root.version,
            node_id=root.node_id,
            digest=root.digest,
        )
        self.header = applied.header
        if any(change.key == PARAMS_KEY for change in applied.did.changes):
            self.params = self._read_params()

    def make_rollback_rows(self) -> tuple[Row, ...]:
        """Say what takes the last block back, then `load`.

        Raises:
            Refusal: `consensus.cannot-undo` if it is sealed, or there is none.
            Fault: `store.corrupt`.
        """
        if self.height <= self.sealed_height or not self.unsealed:
            raise Refusal(
                "consensus.cannot-undo",
                f"the block of height {self.height} cannot be taken back",
                hint="restore a copy of the ledger, or replay it into an empty folder",
            )
        return tuple(undo.make_rollback_rows(self._store, self.height))
