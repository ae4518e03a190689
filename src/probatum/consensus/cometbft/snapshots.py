"""Snapshots: the state of one height in chunks, cut by one node and proven by another (`SNAP-1`).

Whoever restores believes one thing, the app hash that the engine's light client proved: it is the
hash of the header in the snapshot's metadata, and that header's state root is the root over all
records. So a lying snapshot costs time, never truth. Chunks name themselves by their hashes in the
metadata: a peer that sends another is known at once. Must not know files, nor ABCI.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Final

from msgspec import Meta

from probatum.consensus import tables
from probatum.consensus.chain.blocks import Head, make_party_rows
from probatum.consensus.chain.cache import CachedTable
from probatum.consensus.cometbft import undo
from probatum.consensus.engine import Row, Store
from probatum.errors import Refusal
from probatum.ledger.statemap import EMPTY_ROOT, MapRoot, MerkleMap
from probatum.protocol import limits
from probatum.protocol.blocks import Change
from probatum.protocol.eip712 import Domain
from probatum.protocol.encoding import LedgerValue, decode, encode
from probatum.protocol.hashing import sha256
from probatum.protocol.headers import Header, compute_header_hash
from probatum.protocol.primitives import Digest
from probatum.protocol.records import ESCROW

__all__ = [
    "CHUNKS",
    "CHUNK_BYTES",
    "FORMAT",
    "Restoring",
    "SnapshotHead",
    "clear_unfinished",
    "cut_chunks",
    "mark_unfinished",
    "open_snapshot",
]

FORMAT: Final = 1
CHUNK_BYTES: Final = 4 * limits.MIB
"""A chunk ends with the record that makes it this long; the engine takes 16 MiB."""
CHUNKS: Final = 16_384
_METADATA_BYTES: Final = limits.MIB
_LARGEST_CHUNK: Final = CHUNK_BYTES + limits.STATE_VALUE_BYTES + limits.KIB
_CHUNK_RECORDS: Final = 200_000
_MARK: Final = b"restoring"
_PAGE: Final = 10_000


class SnapshotHead(LedgerValue, frozen=True, kw_only=True):
    """A snapshot's metadata.

    Attributes:
        header: Of its height; the app hash of that height is this header's hash.
        chunks: SHA-256 of each chunk, in order.
    """

    header: Header
    chunks: Annotated[tuple[Digest, ...], Meta(min_length=1, max_length=CHUNKS)]


class _Chunk(LedgerValue, frozen=True, kw_only=True):
    """Records in key order, after those of the chunk before."""

    records: Annotated[tuple[Change, ...], Meta(min_length=1, max_length=_CHUNK_RECORDS)]


def cut_chunks(
    records: Iterable[tuple[bytes, bytes]], chunk_bytes: int = CHUNK_BYTES
) -> Iterator[bytes]:
    """Cut the records of one height, in key order, into chunks."""
    held: list[Change] = []
    size = 0
    for key, value in records:
        held.append(Change(key=key, value=value))
        size += len(key) + len(value) + 8
        if size >= chunk_bytes or len(held) == _CHUNK_RECORDS:
            yield encode(_Chunk(records=tuple(held)))
            held, size = [], 0
    if held:
        yield encode(_Chunk(records=tuple(held)))


def open_snapshot(domain: Domain, metadata: bytes, app_hash: bytes) -> SnapshotHead:
    """Check a snapshot's metadata against the app hash that was proven for its height.

    Raises:
        Refusal: `encoding.*`; `snapshot.other-chain`; `snapshot.other-header`.
    """
    head = decode(SnapshotHead, metadata, limit_bytes=_METADATA_BYTES)
    header = head.header
    if (header.chain_id, header.genesis_hash) != (domain.chain_id, domain.genesis_hash):
        raise Refusal("snapshot.other-chain", "the snapshot is of another chain")
    if compute_header_hash(header) != app_hash:
        raise Refusal("snapshot.other-header", "the snapshot's header is not the proven one")
    return head


def clear_unfinished(store: Store) -> bool:
    """Empty a store in which a snapshot was not restored to its end; tell whether it was so."""
    if store.get(tables.META, _MARK) is None:
        return False
    _clear(store, tables.TABLES)
    return True


def mark_unfinished(store: Store) -> None:
    """Say that a store is of no use, until a snapshot is restored in it or it is emptied."""
    store.commit(((tables.META, _MARK, b""),))


def _clear(store: Store, names: Iterable[str], prefix: bytes = b"") -> None:
    # The mark goes last: a store that was emptied in part is emptied again.
    for table in names:
        after = b""
        while page := store.scan(table, prefix, after, _PAGE):
            store.commit((table, key, None) for key, _ in page if key != _MARK)
            after = page[-1][0]
    if not prefix and tables.META in names:
        store.commit(((tables.META, _MARK, None),))


class Restoring:
    """A snapshot on its way into a store that holds the genesis state alone."""

    def __init__(self, store: Store, head: SnapshotHead) -> None:
        """Begin: from here on the store is of no use until `finish`."""
        self._store = store
        self.head = head
        self._nodes = CachedTable(store, tables.NODE, _PAGE)
        self._root: MapRoot = EMPTY_ROOT
        self._last = b""
        self.taken = 0
        mark_unfinished(store)
        _clear(store, (tables.RECORD, tables.NODE))
        _clear(store, (tables.META,), tables.PARTY)

    @property
    def is_whole(self) -> bool:
        """Whether every chunk is there."""
        return self.taken == len(self.head.chunks)

    def take(self, chunk: bytes) -> None:
        """Take the next chunk.

        Raises:
            Refusal: `snapshot.other-chunk` if it is not the one that the metadata names: another
                peer may have it; `snapshot.bad-chunk`, `encoding.*` if the snapshot itself is bad.
        """
        if self.is_whole or sha256(chunk) != self.head.chunks[self.taken]:
            raise Refusal("snapshot.other-chunk", f"this is not chunk {self.taken}")
        records = decode(_Chunk, chunk, limit_bytes=_LARGEST_CHUNK).records
        changes: dict[bytes, bytes | None] = {}
        for record in records:
            if record.key <= self._last or record.value is None:
                raise Refusal("snapshot.bad-chunk", "records are not in key order, each with value")
            changes[record.key] = record.value
            self._last = record.key
        update = MerkleMap(self._nodes, self._root).update(changes)
        self._store.commit(
            (
                *_list_rows(records),
                *((tables.NODE, node_id, None) for node_id in update.stale_nodes),
                *((tables.NODE, node_id, node) for node_id, node in update.new_nodes.items()),
            )
        )
        for node_id, node in update.new_nodes.items():
            self._nodes.note(node_id, node)
        self._root = update.root
        self.taken += 1

    def finish(self) -> None:
        """Hold the whole against the header's state root, and make the store one of that height.

        Raises:
            Refusal: `snapshot.other-root`; then the store is still of no use.
        """
        header, root = self.head.header, self._root
        if not self.is_whole or root.digest != header.state_root:
            raise Refusal("snapshot.other-root", "the records are not those of the header")
        head = Head(
            height=header.height, version=root.version, node_id=root.node_id, digest=root.digest
        )
        self._store.commit(
            (
                (tables.META, tables.HEAD_KEY, encode(head)),
                (tables.META, undo.get_header_key(header.height), encode(header)),
                undo.make_sealed_row(header.height - 1),
                (tables.META, _MARK, None),
            )
        )


def _list_rows(records: tuple[Change, ...]) -> Iterator[Row]:
    for record in records:
        yield tables.RECORD, record.key, record.value
        if record.key.startswith(ESCROW) and record.value is not None:
            yield from make_party_rows(record.key, record.value)
