"""Rows that keep a block which is not sealed yet, and take it back (`ABCI-3`).

The engine decides a block before anybody can prove it: its header is proven by the next one. Until
then the store holds, beside the new state, what the block replaced. That serves twice: the state
of the last sealed height is read through it, and a node that went astray returns to the height
before. Must not know how blocks are applied. Read next: `tip`, `sealed`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from probatum.consensus import tables
from probatum.consensus.chain.blocks import Head, make_party_rows, split_ids
from probatum.consensus.engine import Row, Store
from probatum.errors import Fault
from probatum.ledger.pages import VERSION_BYTES
from probatum.ledger.statemap import TreeUpdate
from probatum.protocol import limits
from probatum.protocol.blocks import Block, Change
from probatum.protocol.encoding import LedgerValue, decode, encode
from probatum.protocol.headers import Header
from probatum.protocol.records import ESCROW
from probatum.protocol.transactions.signed import compute_transaction_hash

__all__ = [
    "Undo",
    "get_header_key",
    "get_undo_key",
    "load_header",
    "load_sealed_height",
    "load_undo",
    "make_forget_rows",
    "make_rollback_rows",
    "make_sealed_row",
    "make_undo_rows",
    "split_stale",
]

_SEALED_KEY: Final = b"sealed"
_HEADER: Final = b"unsealed/"
_UNDO: Final = b"undo/"
_UNDO_BYTES: Final = limits.FRAME_BYTES
_SCAN: Final = 10_000


class Undo(LedgerValue, frozen=True, kw_only=True):
    """What a block replaced.

    Attributes:
        head: Where the store stood before.
        before: The records that it changed, in key order, as they were.
        stale: Ids, end to end, of the tree nodes that only the roots before it reach.
    """

    head: Head
    before: tuple[Change, ...]
    stale: bytes


def get_header_key(height: int) -> bytes:
    """Key of the header of a height that has no seal yet."""
    return _HEADER + tables.height_key(height)


def get_undo_key(height: int) -> bytes:
    """Key of what the block of a height replaced."""
    return _UNDO + tables.height_key(height)


def load_header(store: Store, height: int) -> Header | None:
    """Load a header that has no seal yet."""
    data = store.get(tables.META, get_header_key(height))
    return None if data is None else decode(Header, data, limit_bytes=limits.STATE_VALUE_BYTES)


def load_undo(store: Store, height: int) -> Undo | None:
    """Load what a block replaced, if that is still kept."""
    data = store.get(tables.META, get_undo_key(height))
    return None if data is None else decode(Undo, data, limit_bytes=_UNDO_BYTES)


def load_sealed_height(store: Store) -> int:
    """Load the last sealed height, 0 before the first."""
    data = store.get(tables.META, _SEALED_KEY)
    return 0 if data is None else int.from_bytes(data, "big")


def make_sealed_row(height: int) -> Row:
    """Make the row that says which height is the last sealed one."""
    return tables.META, _SEALED_KEY, tables.height_key(height)


def make_undo_rows(
    header: Header, head: Head, before: Mapping[bytes, bytes | None], update: TreeUpdate
) -> Iterator[Row]:
    """Yield the rows that keep a block's header and what it replaced.

    Args:
        header: The new header.
        head: Where the store stands before it.
        before: The records that it changes, as they are.
        update: Its update of the tree.
    """
    undo = Undo(
        head=head,
        before=tuple(Change(key=key, value=before[key]) for key in sorted(before)),
        stale=b"".join(update.stale_nodes),
    )
    yield tables.META, get_header_key(header.height), encode(header)
    yield tables.META, get_undo_key(header.height), encode(undo)


def make_forget_rows(height: int, stale: Iterable[bytes]) -> Iterator[Row]:
    """Yield the rows after which a block cannot be taken back any more."""
    yield tables.META, get_undo_key(height), None
    for node_id in stale:
        yield tables.NODE, node_id, None


def make_rollback_rows(store: Store, height: int) -> Iterator[Row]:
    """Yield the rows that take the last block back, to the byte.

    Args:
        store: Where it is the last one, and not sealed.
        height: Its height.

    Raises:
        Fault: `store.corrupt` if the store does not hold what the block replaced.
    """
    undo, data = load_undo(store, height), store.get(tables.BLOCK, tables.height_key(height))
    if undo is None or data is None:
        raise Fault(
            "store.corrupt",
            f"the store does not hold what the block of height {height} replaced",
            hint="replay the chain into an empty store",
            retryable=False,
        )
    yield tables.META, tables.HEAD_KEY, encode(undo.head)
    yield tables.META, get_header_key(height), None
    yield tables.META, get_undo_key(height), None
    yield tables.BLOCK, tables.height_key(height), None
    block = decode(Block, data, limit_bytes=limits.FRAME_BYTES)
    for transaction in block.transactions:
        found = compute_transaction_hash(transaction)
        # The same bytes may be in an earlier block, too, and their outcome is that one's.
        place = store.get(tables.OUTCOME, found)
        if place is not None and place.startswith(tables.height_key(height)):
            yield tables.OUTCOME, found, None
    for change in undo.before:
        yield tables.RECORD, change.key, change.value
        if change.value is None and change.key.startswith(ESCROW):
            now = store.get(tables.RECORD, change.key)
            if now is not None:
                for table, key, _ in make_party_rows(change.key, now):
                    yield table, key, None
    for node_id in _list_nodes(store, undo.head.version + 1):
        yield tables.NODE, node_id, None


def _list_nodes(store: Store, version: int) -> Iterator[bytes]:
    """List the tree nodes that an update made: ids begin with its version (`STATE-1`)."""
    prefix, after = version.to_bytes(VERSION_BYTES, "big"), b""
    while page := store.scan(tables.NODE, prefix, after, _SCAN):
        yield from (row[0] for row in page)
        after = page[-1][0]


def split_stale(undo: Undo) -> tuple[bytes, ...]:
    """Split the ids of the nodes that a block left behind."""
    return split_ids(undo.stale)
