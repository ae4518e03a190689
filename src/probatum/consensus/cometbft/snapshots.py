"""Snapshots: the state of one height in chunks, proven before it is fetched (`SNAP-1`).

Whoever restores believes one thing, the app hash that the engine's light client proved: it is the
hash of the header in the snapshot's metadata, that header's state root is the root over the parts
that the metadata lists, and each chunk has the root of its part. So a false snapshot is known
before a byte of it is fetched, and a false chunk before a byte of it is kept. Must not know files,
nor ABCI. Read next: `cutting`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Annotated, Final

from msgspec import Meta

from probatum.consensus import tables
from probatum.consensus.chain.blocks import Head, make_party_rows
from probatum.consensus.chain.cache import CachedTable
from probatum.consensus.cometbft import undo
from probatum.consensus.cometbft.cutting import Part, compute_state_root, open_chunk
from probatum.consensus.engine import Row, Store
from probatum.errors import Refusal
from probatum.ledger.statemap import EMPTY_ROOT, MapRoot, MerkleMap
from probatum.protocol import limits
from probatum.protocol.blocks import Change
from probatum.protocol.eip712 import Domain
from probatum.protocol.encoding import LedgerValue, decode, encode
from probatum.protocol.headers import Header, compute_header_hash
from probatum.protocol.records import ESCROW

__all__ = [
    "FORMAT",
    "PARTS",
    "Restoring",
    "SnapshotHead",
    "clear_unfinished",
    "mark_unfinished",
    "open_snapshot",
]

FORMAT: Final = 2
PARTS: Final = 16_384
_METADATA_BYTES: Final = limits.MIB
_MARK: Final = b"restoring"
_PAGE: Final = 10_000


class SnapshotHead(LedgerValue, frozen=True, kw_only=True):
    """A snapshot's metadata.

    Attributes:
        header: Of its height; the app hash of that height is this header's hash.
        parts: All of the state.
    """

    header: Header
    parts: Annotated[tuple[Part, ...], Meta(min_length=1, max_length=PARTS)]

    @property
    def chunks(self) -> tuple[Part, ...]:
        """The parts that have a chunk, in order."""
        return tuple(part for part in self.parts if not part.is_empty)


def open_snapshot(domain: Domain, metadata: bytes, app_hash: bytes) -> SnapshotHead:
    """Check a snapshot's metadata against the app hash that was proven for its height.

    Raises:
        Refusal: `encoding.*`; `snapshot.other-chain`; `snapshot.other-header`;
            `snapshot.bad-parts`; `snapshot.other-root` unless the parts are the header's state.
    """
    head = decode(SnapshotHead, metadata, limit_bytes=_METADATA_BYTES)
    header = head.header
    if (header.chain_id, header.genesis_hash) != (domain.chain_id, domain.genesis_hash):
        raise Refusal("snapshot.other-chain", "the snapshot is of another chain")
    if compute_header_hash(header) != app_hash:
        raise Refusal("snapshot.other-header", "the snapshot's header is not the proven one")
    if compute_state_root(head.parts) != header.state_root:
        raise Refusal("snapshot.other-root", "the snapshot's parts are not the header's state")
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
        self._chunks = head.chunks
        self.taken = 0
        mark_unfinished(store)
        _clear(store, (tables.RECORD, tables.NODE))
        _clear(store, (tables.META,), tables.PARTY)

    @property
    def is_whole(self) -> bool:
        """Whether every chunk is there."""
        return self.taken == len(self._chunks)

    def take(self, chunk: bytes) -> None:
        """Take the next chunk.

        Raises:
            Refusal: `snapshot.other-chunk` if it does not hold the records of its part: another
                peer may have it.
        """
        records = open_chunk(self._chunks[self.taken], chunk)
        changes = {record.key: record.value for record in records}
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
        """Make the store, which has every chunk, one of the header's height."""
        header, root = self.head.header, self._root
        assert root.digest == header.state_root, "all parts of that root"
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
