"""Reading a kept chain at the height that others may be told of.

Whoever derives from this says which height that is, and reads records and tree as they are
there; rows of later heights may be in the store already, and are never shown. Must not know how
blocks come about. Read next: `kept`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Protocol

from probatum.consensus import tables
from probatum.consensus.chain.blocks import decode_outcome
from probatum.consensus.engine import Store
from probatum.ledger.queries import get_items, list_items
from probatum.ledger.state import EMPTY_ACCOUNT, Reader
from probatum.ledger.statemap import MerkleMap
from probatum.protocol import limits
from probatum.protocol.blocks import BlockView, Change
from probatum.protocol.encoding import decode
from probatum.protocol.headers import SignedHeader
from probatum.protocol.messages import Outcome, StateItem
from probatum.protocol.primitives import Address, Digest
from probatum.protocol.records import Account, get_account_key

__all__ = ["ChainView", "Records", "decode_signed_header", "read_account"]


class Records(Protocol):
    """The records of one height."""

    def get(self, key: bytes) -> bytes | None:
        """Get a record's bytes, or None."""

    def scan(self, prefix: bytes, after: bytes, limit: int) -> tuple[tuple[bytes, bytes], ...]:
        """List at most `limit` records under a prefix, in key order, with keys above `after`."""


def read_account(records: Reader, account: Address) -> Account:
    """Read an account; one without a record is empty."""
    value = records.get(get_account_key(account))
    if value is None:
        return EMPTY_ACCOUNT
    return decode(Account, value, limit_bytes=limits.STATE_VALUE_BYTES)


def decode_signed_header(data: bytes) -> SignedHeader:
    """Decode a row of the table of headers."""
    return decode(SignedHeader, data, limit_bytes=limits.SIGNED_HEADER_BYTES)


class ChainView(ABC):
    """What a full node tells of its chain."""

    def __init__(self, store: Store) -> None:
        """Read a store that `opening.begin` has prepared."""
        self._store = store
        self._last_changes: tuple[Change, ...] | None = None

    @property
    @abstractmethod
    def height(self) -> int:
        """The last height that may be told, 0 before the first block."""

    @property
    @abstractmethod
    def _view(self) -> Records:
        """The records at that height."""

    @property
    @abstractmethod
    def _tree(self) -> MerkleMap:
        """The state map at that height."""

    def get_outcome(self, transaction_hash: Digest) -> Outcome | None:
        """Get the outcome of a transaction in a block that may be told."""
        data = self._store.get(tables.OUTCOME, transaction_hash)
        if data is None:
            return None
        outcome = decode_outcome(transaction_hash, data)
        return outcome if outcome.height <= self.height else None

    def get_header(self, height: int) -> SignedHeader | None:
        """Get a signed header of a height that may be told."""
        data = self._get_at(tables.HEADER, height)
        return None if data is None else decode_signed_header(data)

    def get_block(self, height: int) -> bytes | None:
        """Get an encoded block of a height that may be told."""
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
        if not 0 < height <= self.height:
            return None
        return self._store.get(table, tables.height_key(height))

    def get_items(self, keys: tuple[bytes, ...], *, prove: bool) -> tuple[StateItem, ...]:
        """Get records, with proofs if asked."""
        return get_items(self._view, self._tree, keys, prove=prove)

    def list_items(
        self, prefix: bytes, after: bytes, limit: int
    ) -> tuple[tuple[StateItem, ...], bool]:
        """List records under a prefix; the second value tells whether there are more."""
        return list_items(self._view.scan, prefix, after, limit)

    def list_escrows(
        self, account: Address, after: bytes, limit: int
    ) -> tuple[tuple[StateItem, ...], bool]:
        """List the escrows that an account pays into or is paid from, as `list_items` does."""
        keys = self._list_parties(account, after, limit + 1)
        return self.get_items(keys[:limit], prove=False), len(keys) > limit

    def _list_parties(self, account: Address, after: bytes, limit: int) -> tuple[bytes, ...]:
        stem = tables.PARTY + account
        rows = self._store.scan(tables.META, stem, stem + after, limit)
        return tuple(row[0][len(stem) :] for row in rows)
