"""The finished chain of an engine that tells of a block as soon as it is on the disk.

Answers for the last finished height alone: rows that are committed but not finished have not
been told to the owner yet. Must not know the pool, nor how blocks come about. Read next: `view`,
`probatum.consensus.engine`.
"""

from __future__ import annotations

from probatum.consensus import tables
from probatum.consensus.chain.blocks import Head, split_ids
from probatum.consensus.chain.cache import CachedTable
from probatum.consensus.chain.opening import get_meta
from probatum.consensus.chain.view import ChainView, read_account
from probatum.consensus.engine import Decided, Store
from probatum.errors import Fault
from probatum.ledger.genesis import Genesis, get_domain
from probatum.ledger.params import Params, decode_params
from probatum.ledger.statemap import MerkleMap, TreeUpdate
from probatum.protocol import limits
from probatum.protocol.eip712 import Domain
from probatum.protocol.encoding import decode
from probatum.protocol.headers import SignedHeader
from probatum.protocol.hexes import key_from_hex
from probatum.protocol.primitives import Address, OperatingKey
from probatum.protocol.records import PARAMS_KEY, Account

__all__ = ["KeptChain"]


class KeptChain(ChainView):
    """A chain over a store that `opening.begin` has prepared.

    Attributes:
        domain: The chain, as signatures name it.
        key: The key that signs its headers; None if validators do, and this only replays.
        last_header: The last finished header, None before the first block.
        params: The parameters at that height.
    """

    def __init__(
        self, store: Store, genesis: Genesis, *, cached_nodes: int, cached_records: int
    ) -> None:
        """Load where the store stands. Raises Fault `store.corrupt`."""
        super().__init__(store)
        self._genesis_time_ms = genesis.time_ms
        self.domain: Domain = get_domain(genesis)
        self.key: OperatingKey | None = key_from_hex(genesis.key) if genesis.key else None
        self._records = CachedTable(store, tables.RECORD, cached_records)
        self._nodes = CachedTable(store, tables.NODE, cached_nodes)
        self.last_header: SignedHeader | None = None
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

    @property
    def _view(self) -> CachedTable:
        return self._records

    @property
    def _tree(self) -> MerkleMap:
        return self._map

    def get_account(self, account: Address) -> Account:
        """Get a committed account; one without a record is empty."""
        return read_account(self._records, account)

    def advance(self, decided: Decided, update: TreeUpdate) -> None:
        """Take note that a block and its update of the tree are in the store."""
        for change in decided.changes:
            self._records.note(change.key, change.value)
        for node_id, node in update.new_nodes.items():
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
