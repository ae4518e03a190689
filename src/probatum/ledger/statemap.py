"""The state as a path-compressed binary Merkle map in a store that the caller passes (`STATE-1`).

The hashes are those of `protocol.mapproof`, which also checks the proofs made here. The map holds
hashes of keys and values alone: values are the caller's records. Four levels of the tree are one
*page*, so that a change rewrites few rows however many keys there are, and where few keys are left
they are one *bucket*. Nothing is overwritten: an
update makes new pages under ids that carry its version, and lists the pages that the new root no
longer reaches, so the root before stays provable until the next update is committed. Must not know
any key's meaning, nor any disk. Read next: `pages`, `state`.

What the store holds, under 8-byte ids that begin with a version: pages. What whoever commits an
update does, in one atomic step: write `new_nodes`, delete the `stale_nodes` of the update *before*
this one.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from probatum.errors import Fault, Misuse
from probatum.ledger.buckets import (
    BUCKET_LEAVES,
    encode_bucket,
    get_bits,
    make_leaf,
    split_bucket,
    split_leaf,
)
from probatum.ledger.pages import (
    NIBBLES,
    NODE_ID_BYTES,
    PAGE_REF,
    Ref,
    Slots,
    compute_steps,
    count_shared,
    encode_page,
    get_level,
    get_nibble,
    is_bucket,
    make_id,
    split_page,
)
from probatum.protocol import limits
from probatum.protocol.mapproof import EMPTY_MAP_ROOT, ProofStep, StateProof
from probatum.protocol.primitives import Digest, make_digest

__all__ = ["EMPTY_ROOT", "MapRoot", "MemoryNodeStore", "MerkleMap", "NodeStore", "TreeUpdate"]

_Row = tuple[bytes, Ref]
"""A key's hash, and its new leaf; None removes the key."""
_sha256: Final = hashlib.sha256


class NodeStore(Protocol):
    """Where pages are read from; the caller commits updates to it."""

    def get(self, node_id: bytes) -> bytes | None:
        """Get the page under an id, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRoot:
    """One version of the map.

    Attributes:
        version: How many updates made it.
        node_id: The root page's id; empty for the map without keys.
        digest: The Merkle root.
    """

    version: int
    node_id: bytes
    digest: Digest


EMPTY_ROOT: Final = MapRoot(version=0, node_id=b"", digest=EMPTY_MAP_ROOT)
"""The map before its first update."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeUpdate:
    """What an update changes in the store; see the module for how it is committed.

    Attributes:
        root: The new root.
        new_nodes: Pages to write.
        stale_nodes: Pages that only older roots reach: to delete with the next update.
    """

    root: MapRoot
    new_nodes: Mapping[bytes, bytes]
    stale_nodes: tuple[bytes, ...]


def _load(store: NodeStore, node_id: bytes) -> bytes:
    page = store.get(node_id)
    if page is None:
        raise Fault(
            "statemap.missing-node",
            f"the store has lost node {node_id.hex()}",
            hint="replay from genesis or restore a backup",
            retryable=False,
        )
    return page


def _make_rows(changes: Mapping[bytes, bytes | None]) -> list[_Row]:
    rows: list[_Row] = []
    for key, value in changes.items():
        if not 0 < len(key) <= limits.STATE_KEY_BYTES:
            raise Misuse("statemap.bad-key", f"a key of {len(key)} bytes")
        key_hash = _sha256(key).digest()
        if value is None:
            rows.append((key_hash, None))
            continue
        if len(value) > limits.STATE_VALUE_BYTES:
            raise Misuse("statemap.bad-value", f"a value of {len(value)} bytes")
        rows.append((key_hash, make_leaf(key_hash, _sha256(value).digest())))
    # Key hashes differ, so nothing behind them is ever compared.
    rows.sort()
    return rows


class _Applier:
    """One update under way: rows sorted by key hash, applied from the root downwards.

    A *ref* stands for a subtree: a page's id and digest, or a leaf itself.
    """

    __slots__ = ("_new", "_stale", "_store", "_version")

    def __init__(self, store: NodeStore, version: int) -> None:
        self._store = store
        self._version = version
        self._new: dict[bytes, bytes] = {}
        self._stale: list[bytes] = []

    def run(self, root: MapRoot, rows: list[_Row]) -> TreeUpdate:
        """Apply all rows to a version of the map."""
        before = root.node_id + root.digest if root.node_id else None
        result = before
        if rows:
            result = self._apply(before, rows, 0) if before else self._build(rows)
        if result is not None and len(result) != PAGE_REF:
            # A single key: its leaf stands in a bucket of its own, so that the root has an id.
            result = self._write(*encode_bucket([result]))
        return TreeUpdate(
            root=MapRoot(
                version=root.version + 1,
                node_id=result[:NODE_ID_BYTES] if result else b"",
                digest=make_digest(result[NODE_ID_BYTES:]) if result else EMPTY_MAP_ROOT,
            ),
            new_nodes=self._new,
            stale_nodes=tuple(self._stale),
        )

    def _write(self, page: bytes, digest: bytes) -> bytes:
        """Write a page under a new id; returns its ref."""
        node_id = make_id(self._version, len(self._new), bucket=is_bucket(page))
        self._new[node_id] = page
        return node_id + digest

    def _join(self, level: int, member: bytes, slots: Slots) -> Ref:
        """Make the subtree of some slots; `member` is any key hash below."""
        filled = [slot for slot in slots if slot is not None]
        if len(filled) < 2:
            return filled[0] if filled else None
        if all(len(slot) != PAGE_REF for slot in filled):
            return self._write(*encode_bucket(filled))
        return self._write(*encode_page(level, member, slots))

    def _build(self, rows: list[_Row]) -> Ref:
        """Build a subtree of rows alone."""
        leaves = [row[1] for row in rows if row[1] is not None]
        if len(leaves) < 2:
            return leaves[0] if leaves else None
        if len(leaves) <= BUCKET_LEAVES:
            return self._write(*encode_bucket(leaves))
        if len(leaves) < len(rows):
            rows = [row for row in rows if row[1] is not None]
        first = rows[0][0]
        level = count_shared(first, rows[-1][0])
        slots: Slots = [None] * NIBBLES
        for nibble, start, end in _split(rows, level):
            slots[nibble] = rows[start][1] if end - start == 1 else self._build(rows[start:end])
        return self._write(*encode_page(level, first, slots))

    def _apply(self, ref: bytes, rows: list[_Row], known: int) -> Ref:
        """Apply rows to a subtree; returns its new ref, or None if nothing is left.

        Args:
            ref: The subtree.
            rows: Some rows.
            known: So many nibbles of all keys here are the same.
        """
        if len(ref) != PAGE_REF:
            return self._apply_to_leaf(ref, rows)
        page = _load(self._store, ref[:NODE_ID_BYTES])
        if is_bucket(page):
            return self._apply_to_bucket(ref, page, rows)
        level = get_level(page)
        if level > known:
            member = page[2:34]
            shared = min(count_shared(rows[0][0], member), count_shared(rows[-1][0], member))
            if shared < level:
                return self._apply_beside(ref, member, shared, rows)
        slots = split_page(page)
        changed = False
        for nibble, start, end in _split(rows, level):
            before = slots[nibble]
            some = rows[start:end]
            if before is not None:
                after = self._apply(before, some, level + 1)
            elif end - start == 1:
                after = some[0][1]
            else:
                after = self._build(some)
            if after != before:
                slots[nibble] = after
                changed = True
        if not changed:
            return ref
        self._stale.append(ref[:NODE_ID_BYTES])
        return self._join(level, rows[0][0], slots)

    def _apply_beside(self, ref: bytes, member: bytes, level: int, rows: list[_Row]) -> Ref:
        """Apply rows some of which part from a subtree above its root."""
        slots: Slots = [None] * NIBBLES
        place = get_nibble(member, level)
        slots[place] = ref
        for nibble, start, end in _split(rows, level):
            some = rows[start:end]
            slots[nibble] = (
                self._apply(ref, some, level + 1) if nibble == place else self._build(some)
            )
        return self._join(level, member, slots)

    def _apply_to_bucket(self, ref: bytes, page: bytes, rows: list[_Row]) -> Ref:
        before = split_bucket(page)
        after, same_keys = _merge(before, rows)
        if after == before:
            return ref
        self._stale.append(ref[:NODE_ID_BYTES])
        if same_keys:
            return self._write(*encode_bucket(after, get_bits(page)))
        return self._build([(leaf[:32], leaf) for leaf in after])

    def _apply_to_leaf(self, leaf: bytes, rows: list[_Row]) -> Ref:
        return self._build([(one[:32], one) for one in _merge([leaf], rows)[0]])


def _merge(leaves: list[bytes], rows: list[_Row]) -> tuple[list[bytes], bool]:
    """Put rows among leaves in their order; also tells whether the keys are still the same."""
    after, same_keys = leaves.copy(), True
    for key_hash, leaf in rows:
        place = bisect_left(after, key_hash)
        if place < len(after) and after[place].startswith(key_hash):
            if leaf is not None:
                after[place] = leaf
                continue
            del after[place]
        elif leaf is not None:
            after.insert(place, leaf)
        else:
            continue
        same_keys = False
    return after, same_keys


def _split(rows: list[_Row], level: int) -> Iterator[tuple[int, int, int]]:
    """Yield nibble, start and end of each run of rows that share their nibble at a level."""
    start, count = 0, len(rows)
    while start < count:
        nibble = get_nibble(rows[start][0], level)
        end = start + 1
        while end < count and get_nibble(rows[end][0], level) == nibble:
            end += 1
        yield nibble, start, end
        start = end


class MerkleMap:
    """The map at one root."""

    __slots__ = ("_root", "_store")

    def __init__(self, store: NodeStore, root: MapRoot = EMPTY_ROOT) -> None:
        self._store = store
        self._root = root

    @property
    def root(self) -> MapRoot:
        """The root that this map is at."""
        return self._root

    def update(self, changes: Mapping[bytes, bytes | None]) -> TreeUpdate:
        """Compute the next version of the map; nothing is written.

        Args:
            changes: New values by key; None removes a key. Removing an absent key and writing
                the value that is there change nothing.

        Raises:
            Misuse: `statemap.bad-key`, `statemap.bad-value`.
            Fault: `statemap.missing-node`.
        """
        applier = _Applier(self._store, self._root.version + 1)
        return applier.run(self._root, _make_rows(changes))

    def prove(self, key: bytes, value: bytes | None) -> StateProof:
        """Prove what this root says of a key, see `protocol.mapproof`.

        Args:
            key: The key.
            value: What the caller's records hold under it at this root; None if nothing.

        Raises:
            Fault: `statemap.missing-node`, also where the root is older than the last two;
                `statemap.other-value` if this root says something else of the key.
        """
        key_hash = _sha256(key).digest()
        steps: list[ProofStep] = []
        leaf = b""
        if self._root.node_id:
            ref = self._root.node_id + self._root.digest
            while len(ref) == PAGE_REF:
                found, ref = compute_steps(_load(self._store, ref[:NODE_ID_BYTES]), key_hash)
                steps += [(bit_index, sibling.hex()) for bit_index, sibling in found]
            leaf = ref
        found_hash, value_hash = split_leaf(leaf) if leaf else (b"", b"")
        held = value_hash if found_hash == key_hash else None
        if held != (None if value is None else _sha256(value).digest()):
            raise Fault(
                "statemap.other-value",
                f"the tree does not hold what the records say of {key[:40]!r}",
                hint="replay from genesis or restore a backup",
                retryable=False,
            )
        if value is not None:
            return StateProof(key=key.hex(), value=value.hex(), steps=tuple(steps))
        other = (found_hash.hex(), value_hash.hex()) if leaf else None
        return StateProof(key=key.hex(), other=other, steps=tuple(steps))

    def iterate(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield the hashes of every key and value at this root, in the order of the keys'.

        Raises:
            Fault: `statemap.missing-node`.
        """
        waiting: list[bytes] = []
        if self._root.node_id:
            waiting.append(self._root.node_id + self._root.digest)
        while waiting:
            ref = waiting.pop()
            if len(ref) == PAGE_REF:
                page = _load(self._store, ref[:NODE_ID_BYTES])
                slots: Sequence[Ref] = split_bucket(page) if is_bucket(page) else split_page(page)
                waiting += [slot for slot in reversed(slots) if slot is not None]
            else:
                yield split_leaf(ref)


class MemoryNodeStore:
    """A store in memory that commits updates as the module says: for tests and storm."""

    __slots__ = ("_nodes", "_stale")

    def __init__(self) -> None:
        self._nodes: dict[bytes, bytes] = {}
        self._stale: tuple[bytes, ...] = ()

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, node_id: bytes) -> bytes | None:
        """Get the page under an id, or None."""
        return self._nodes.get(node_id)

    def commit(self, update: TreeUpdate) -> None:
        """Write an update and forget what only the root before the last reaches."""
        for node_id in self._stale:
            del self._nodes[node_id]
        self._nodes.update(update.new_nodes)
        self._stale = update.stale_nodes
