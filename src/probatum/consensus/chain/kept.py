"""The finished chain as its store keeps it: head, headers, blocks, outcomes, state.

Answers for the last finished height alone: rows that are committed but not finished have not
been told to the owner yet. Must not know the pool, nor how blocks come about. Read next:
`engine`.
"""

from __future__ import annotations

from probatum.consensus import tables
from probatum.consensus.chain.blocks import (
    NODE_ID_BYTES,
    Head,
    decode_outcome,
    split_ids,
)
from probatum.consensus.chain.cache import CachedTable
from probatum.consensus.chain.opening import get_meta
from probatum.consensus.engine import Decided, Store
from probatum.errors import Fault
from probatum.ledger.genesis import Genesis, get_domain, get_engine_key
from probatum.ledger.params import Params, decode_params
from probatum.ledger.queries import get_items, list_items
from probatum.ledger.state import EMPTY_ACCOUNT
from probatum.ledger.statemap import MerkleMap, TreeUpdate
from probatum.protocol import limits
from probatum.protocol.blocks import BlockView, Change
from probatum.protocol.eip712 import Domain
from probatum.protocol.encoding import decode
from probatum.protocol.headers import SignedHeader
from probatum.protocol.messages import Outcome, StateItem
from probatum.protocol.primitives import Address, Digest, OperatingKey
from probatum.protocol.records import PARAMS_KEY, Account, get_account_key

__all__ = ["KeptChain"]


class KeptChain:
    """A chain over a store that `opening.begin` has prepared.

    Attributes:
        domain: The chain, as signatures name it.
        key: The key that signs its headers.
        last_header: The last finished header, None before the first block.
        params: The parameters at that height.
    """

    def __init__(
        self, store: Store, genesis: Genesis, *, cached_nodes: int, cached_records: int
    ) -> None:
        """Load where the store stands. Raises Fault `store.corrupt`."""
        self._store = store
        self._genesis_time_ms = genesis.time_ms
        self.domain: Domain = get_domain(genesis)
        self.key: OperatingKey = get_engine_key(genesis)
        self._records = CachedTable(store, tables.RECORD, cached_records)
        self._nodes = CachedTable(store, tables.NODE, cached_nodes)
        self.last_header: SignedHeader | None = None
        self._last_changes: tuple[Change, ...] | None = None
        self._load()

    def _load(self) -> None:
        head = get_meta(self._store, tables.HEAD_KEY)
        self._head = decode(Head, head, limit_bytes=limits.STATE_VALUE_BYTES)
        self._stale = split_ids(get_meta(self._store, tables.STALE_KEY))
        self._map = MerkleMap(self._nodes, self._head.root)
        self.last_header = None
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
        self.params = self._read_params()

    def _read_params(self) -> Params:
        value = self._records.get(PARAMS_KEY)
        assert value is not None, "a state without parameters"
        return decode_params(value)

    @property
    def height(self) -> int:
        """The last finished height, 0 before the first block."""
        return self._head.height

    @property
    def time_ms(self) -> int:
        """The last finished block's time, before the first the genesis document's."""
        return self.last_header.header.time_ms if self.last_header else self._genesis_time_ms

    def advance(self, decided: Decided, update: TreeUpdate) -> None:
        """Take note that a block and its update of the tree are in the store."""
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
        self.last_header = decided.header
        self._last_changes = decided.changes
        if any(change.key == PARAMS_KEY for change in decided.changes):
            self.params = self._read_params()

    def get_account(self, account: Address) -> Account:
        """Get a committed account; one without a record is empty."""
        value = self._records.get(get_account_key(account))
        if value is None:
            return EMPTY_ACCOUNT
        return decode(Account, value, limit_bytes=limits.STATE_VALUE_BYTES)

    def get_outcome(self, transaction_hash: Digest) -> Outcome | None:
        """Get the outcome of a transaction in a finished block."""
        data = self._store.get(tables.OUTCOME, transaction_hash)
        if data is None:
            return None
        outcome = decode_outcome(transaction_hash, data)
        return outcome if outcome.height <= self.height else None

    def get_header(self, height: int) -> SignedHeader | None:
        """Get a signed header of a finished height."""
        data = self._get_at(tables.HEADER, height)
        if data is None:
            return None
        return decode(SignedHeader, data, limit_bytes=limits.SIGNED_HEADER_BYTES)

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

    def list_escrows(
        self, account: Address, after: bytes, limit: int
    ) -> tuple[tuple[StateItem, ...], bool]:
        """List the escrows that an account pays into or is paid from, as `list_items` does."""
        stem = tables.PARTY + account
        rows = self._store.scan(tables.META, stem, stem + after, limit + 1)
        keys = tuple(row[0][len(stem) :] for row in rows)
        return self.get_items(keys[:limit], prove=False), len(keys) > limit
