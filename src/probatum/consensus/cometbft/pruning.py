"""Forgetting old blocks (`SNAP-1`): bodies, headers, outcomes; no record, nothing unsealed.

A chain whose nodes all forget can be joined by a snapshot only. Must not know why somebody wants
to forget.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from probatum.consensus import tables
from probatum.consensus.engine import Row, Store
from probatum.protocol import limits
from probatum.protocol.blocks import Block
from probatum.protocol.encoding import decode
from probatum.protocol.transactions.signed import compute_transaction_hash

__all__ = ["load_pruned_height", "make_prune_rows"]

_KEY: Final = b"pruned"
_AT_ONCE: Final = 64
"""Heights that one commit forgets: it shall not take long when somebody begins to forget."""


def load_pruned_height(store: Store) -> int:
    """Load the last height that was forgotten, 0 if none was."""
    data = store.get(tables.META, _KEY)
    return 0 if data is None else int.from_bytes(data, "big")


def make_prune_rows(store: Store, until: int) -> Iterator[Row]:
    """Yield the rows that forget the oldest blocks up to a height, some at a time.

    Args:
        store: Where the chain is kept.
        until: The last height to forget; it is sealed.
    """
    last = load_pruned_height(store)
    until = min(until, last + _AT_ONCE)
    if until <= last:
        return
    for height in range(last + 1, until + 1):
        key = tables.height_key(height)
        data = store.get(tables.BLOCK, key)
        if data is None:
            continue  # before a snapshot: this node never had it
        for transaction in decode(Block, data, limit_bytes=limits.FRAME_BYTES).transactions:
            found = compute_transaction_hash(transaction)
            # The same bytes may have been applied in a later block.
            place = store.get(tables.OUTCOME, found)
            if place is not None and place.startswith(key):
                yield tables.OUTCOME, found, None
        yield tables.BLOCK, key, None
        yield tables.HEADER, key, None
    yield tables.META, _KEY, tables.height_key(until)
