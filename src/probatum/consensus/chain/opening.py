"""Opening a chain's store: begun from genesis if it is empty, checked if it is not.

Must not know blocks. Read next: `engine`.
"""

from __future__ import annotations

from probatum.consensus import tables
from probatum.consensus.chain.blocks import make_party_rows, make_state_rows
from probatum.consensus.chain.cache import CachedTable
from probatum.consensus.engine import Store
from probatum.errors import Fault
from probatum.ledger.genesis import Genesis, compute_genesis_changes, encode_genesis
from probatum.ledger.statemap import MerkleMap
from probatum.protocol import limits
from probatum.protocol.records import ESCROW

__all__ = ["begin", "get_meta"]


def get_meta(store: Store, key: bytes) -> bytes:
    """Get a row that every store has. Raises Fault `store.corrupt`."""
    value = store.get(tables.META, key)
    if value is None:
        raise Fault("store.corrupt", f"the store lacks its {key.decode()}", retryable=False)
    return value


def begin(store: Store, genesis: Genesis) -> None:
    """Put the genesis state into an empty store; else check that it is this chain's.

    Raises:
        Fault: `store.other-format`, `store.other-chain`, `store.corrupt`.
    """
    document = encode_genesis(genesis)
    if store.get(tables.META, tables.FORMAT_KEY) is None:
        changes = compute_genesis_changes(genesis)
        update = MerkleMap(CachedTable(store, tables.NODE, 1)).update(
            {change.key: change.value for change in changes}
        )
        store.commit(
            (
                (tables.META, tables.FORMAT_KEY, tables.FORMAT),
                (tables.META, tables.GENESIS_KEY, document),
                (tables.META, tables.PARTY_KEY, b""),
                *make_state_rows(0, changes, update, ()),
            )
        )
    if get_meta(store, tables.FORMAT_KEY) != tables.FORMAT:
        raise Fault(
            "store.other-format",
            "the store was written by another version",
            hint="use that version, or replay the chain into an empty store",
            retryable=False,
        )
    if get_meta(store, tables.GENESIS_KEY) != document:
        raise Fault(
            "store.other-chain",
            "the store holds another chain",
            hint="give the genesis document that it was begun with, or an empty folder",
            retryable=False,
        )
    if store.get(tables.META, tables.PARTY_KEY) is None:
        _list_parties(store)


def _list_parties(store: Store) -> None:
    """List whose escrows there are, in a store that was begun before they were listed."""
    after = b""
    while page := store.scan(tables.RECORD, ESCROW, after, limits.LISTED_RECORDS):
        store.commit(row for key, value in page for row in make_party_rows(key, value))
        after = page[-1][0]
    store.commit(((tables.META, tables.PARTY_KEY, b""),))
