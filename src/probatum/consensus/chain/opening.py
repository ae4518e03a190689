"""Opening a chain's store: begun from genesis if it is empty, checked if it is not.

Must not know blocks. Read next: `engine`.
"""

from __future__ import annotations

from typing import Final

from probatum.consensus import tables
from probatum.consensus.chain.blocks import Head, make_party_rows, make_state_rows
from probatum.consensus.chain.cache import CachedTable
from probatum.consensus.engine import Store
from probatum.errors import Fault
from probatum.ledger.genesis import Genesis, compute_genesis_changes, encode_genesis
from probatum.ledger.statemap import EMPTY_ROOT, MerkleMap
from probatum.protocol import limits
from probatum.protocol.encoding import decode, encode
from probatum.protocol.records import ESCROW

__all__ = ["begin", "get_meta"]

_PAGE: Final = 10_000


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
    if get_meta(store, tables.FORMAT_KEY) == tables.FORMAT_BEFORE:
        _build_tree(store)
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


def _build_tree(store: Store) -> None:
    """Build the state map of a store of the format before again, from its records.

    What the last blocks replaced is forgotten: it names pages of the old tree. So what is not
    sealed yet cannot be taken back, and no state is told before the next seal.

    Raises:
        Fault: `store.corrupt` if the records are not those of the last header.
    """
    for table, prefix in ((tables.NODE, b""), (tables.META, tables.UNDO)):
        while rows := store.scan(table, prefix, b"", _PAGE):
            store.commit((table, key, None) for key, _ in rows)
    nodes, root, after = CachedTable(store, tables.NODE, _PAGE), EMPTY_ROOT, b""
    while page := store.scan(tables.RECORD, b"", after, _PAGE):
        update = MerkleMap(nodes, root).update(dict(page))
        store.commit(
            (
                *((tables.NODE, node_id, None) for node_id in update.stale_nodes),
                *((tables.NODE, node_id, node) for node_id, node in update.new_nodes.items()),
            )
        )
        for node_id, node in update.new_nodes.items():
            nodes.note(node_id, node)
        root, after = update.root, page[-1][0]
    old = decode(Head, get_meta(store, tables.HEAD_KEY), limit_bytes=limits.STATE_VALUE_BYTES)
    if root.digest != old.digest:
        raise Fault(
            "store.corrupt",
            f"the store does not hold the records of its own height {old.height}",
            hint="replay the chain into an empty store",
            retryable=False,
        )
    head = Head(height=old.height, version=root.version, node_id=root.node_id, digest=root.digest)
    store.commit(
        (
            (tables.META, tables.FORMAT_KEY, tables.FORMAT),
            (tables.META, tables.HEAD_KEY, encode(head)),
            (tables.META, tables.STALE_KEY, b""),
        )
    )


def _list_parties(store: Store) -> None:
    """List whose escrows there are, in a store that was begun before they were listed."""
    after = b""
    while page := store.scan(tables.RECORD, ESCROW, after, limits.LISTED_RECORDS):
        store.commit(row for key, value in page for row in make_party_rows(key, value))
        after = page[-1][0]
    store.commit(((tables.META, tables.PARTY_KEY, b""),))
