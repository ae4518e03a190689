"""The state as a path-compressed binary Merkle map in a store that the caller passes (`STATE-1`).

The hashes are those of `protocol.mapproof`, which also checks the proofs made here. One `update`
a block rehashes each touched inner node once. Nothing is overwritten: an update makes new nodes
under ids that carry its version, and lists the nodes that the new root no longer reaches, so the
root before stays provable until the next update is committed. Must not know any key's meaning,
nor any disk. Read next: `state`.

What the store holds:

    12-byte id (version u64 ‖ counter u32, big-endian) → a node
        leaf   0x00 ‖ key hash 32 ‖ key length u16 ‖ key ‖ value
        inner  0x01 ‖ bit index u16 ‖ prefix 32 ‖ left ref 44 ‖ right ref 44
    32-byte key hash → 12-byte id of the key's leaf under the latest root

A ref is a child's id and its hash. The prefix is the bits that all keys below share, then zeros.

What whoever commits an update does, in one atomic step: write `new_nodes`, delete
`removed_entries`, delete the `stale_nodes` of the update *before* this one.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, TypeAlias

from probatum.errors import Fault, Misuse
from probatum.protocol import limits
from probatum.protocol.mapproof import EMPTY_MAP_ROOT, ProofStep, StateProof, compute_leaf
from probatum.protocol.primitives import Digest, make_digest

__all__ = ["EMPTY_ROOT", "MapRoot", "MemoryNodeStore", "MerkleMap", "NodeStore", "TreeUpdate"]

_Ref: TypeAlias = bytes | None

_REF: Final = 44
_LEFT: Final = 35
_RIGHT: Final = _LEFT + _REF
_sha256: Final = hashlib.sha256


class NodeStore(Protocol):
    """Where nodes are read from; the caller commits updates to it."""

    def get(self, node_id: bytes) -> bytes | None:
        """Get the bytes under an id or key hash, or None."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MapRoot:
    """One version of the map.

    Attributes:
        version: How many updates made it.
        node_id: The root node's id; empty for the map without keys.
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
        new_nodes: To write; inner nodes, leaves and the entries of keys.
        removed_entries: Entries of keys that are gone: to delete in the same step.
        stale_nodes: Nodes that only older roots reach: to delete with the next update.
    """

    root: MapRoot
    new_nodes: Mapping[bytes, bytes]
    removed_entries: tuple[bytes, ...]
    stale_nodes: tuple[bytes, ...]


def _load(store: NodeStore, node_id: bytes) -> bytes:
    record = store.get(node_id)
    if record is None:
        raise Fault(
            "statemap.missing-node",
            f"the store has lost node {node_id.hex()}",
            hint="replay from genesis or restore a backup",
            retryable=False,
        )
    return record


def _split_leaf(record: bytes) -> tuple[bytes, bytes]:
    """Key and value of a leaf."""
    start = 35 + int.from_bytes(record[33:35], "big")
    return record[35:start], record[start:]


def _common_bits(one: int, other: int) -> int:
    """How many leading bits two key hashes share, as numbers."""
    return 256 - (one ^ other).bit_length()


def _is_right(key_hash: bytes, bit_index: int) -> int:
    return key_hash[bit_index >> 3] >> (7 - (bit_index & 7)) & 1


class _Row(NamedTuple):
    """A change, or a leaf that is there already and has to find its new place."""

    key_hash: bytes
    number: int
    leaf: bytes | None
    ref: bytes | None


def _make_rows(changes: Mapping[bytes, bytes | None]) -> list[_Row]:
    rows = []
    for key, value in changes.items():
        if not 0 < len(key) <= limits.STATE_KEY_BYTES:
            raise Misuse("statemap.bad-key", f"a key of {len(key)} bytes")
        key_hash = _sha256(key).digest()
        leaf = None
        if value is not None:
            if len(value) > limits.STATE_VALUE_BYTES:
                raise Misuse("statemap.bad-value", f"a value of {len(value)} bytes")
            leaf = b"\x00" + key_hash + len(key).to_bytes(2, "big") + key + value
        rows.append(_Row(key_hash, int.from_bytes(key_hash, "big"), leaf, None))
    # Key hashes differ, so nothing behind them is ever compared.
    rows.sort()
    return rows


class _Applier:
    """One update under way: rows sorted by key hash, applied from the root downwards."""

    __slots__ = ("_new", "_prefix", "_removed", "_stale", "_store")

    def __init__(self, store: NodeStore, version: int) -> None:
        self._store = store
        self._prefix = version.to_bytes(8, "big")
        self._new: dict[bytes, bytes] = {}
        self._removed: list[bytes] = []
        self._stale: list[bytes] = []

    def run(self, root: MapRoot, rows: list[_Row]) -> TreeUpdate:
        """Apply all rows to a version of the map."""
        ref = root.node_id + root.digest if root.node_id else None
        result = self._apply(ref, rows)
        return TreeUpdate(
            root=MapRoot(
                version=root.version + 1,
                node_id=result[:12] if result else b"",
                digest=make_digest(result[12:]) if result else EMPTY_MAP_ROOT,
            ),
            new_nodes=self._new,
            removed_entries=tuple(self._removed),
            stale_nodes=tuple(self._stale),
        )

    def _make_inner(self, head: bytes, left: bytes, right: bytes) -> bytes:
        """Make an inner node; `head` is its record up to the refs."""
        # Entries of keys count too: ids need be unique, not dense.
        node_id = self._prefix + len(self._new).to_bytes(4, "big")
        self._new[node_id] = head + left + right
        return node_id + _sha256(head[:3] + left[12:] + right[12:]).digest()

    def _join(self, bit_index: int, member: int, left: bytes | None, right: bytes | None) -> _Ref:
        """Join two subtrees that part at a bit; `member` is any key hash below."""
        if left is None or right is None:
            return left or right
        free = 256 - bit_index
        prefix = (member >> free << free).to_bytes(32, "big")
        return self._make_inner(b"\x01" + bit_index.to_bytes(2, "big") + prefix, left, right)

    def _build(self, rows: list[_Row]) -> _Ref:
        """Build a subtree of rows alone."""
        if len(rows) > 1:
            first = rows[0].number
            bit_index = _common_bits(first, rows[-1].number)
            middle = _find_middle(rows, bit_index)
            left, right = self._build(rows[:middle]), self._build(rows[middle:])
            return self._join(bit_index, first, left, right)
        if not rows or (rows[0].leaf is None and rows[0].ref is None):
            return None
        key_hash, _, leaf, ref = rows[0]
        if ref is not None or leaf is None:
            return ref
        value_hash = _sha256(_split_leaf(leaf)[1]).digest()
        node_id = self._prefix + len(self._new).to_bytes(4, "big")
        self._new[node_id] = leaf
        self._new[key_hash] = node_id
        return node_id + compute_leaf(key_hash, value_hash)

    def _apply(self, ref: bytes | None, rows: list[_Row]) -> _Ref:
        """Apply rows to a subtree; returns its new ref, or None if nothing is left."""
        if ref is None:
            return self._build(rows)
        if len(rows) <= 1:
            return self._apply_one(ref, rows[0]) if rows else ref
        record = _load(self._store, ref[:12])
        if record[0] == 0:
            return self._apply_to_leaf(ref, record, rows)
        bit_index = record[2]
        prefix = int.from_bytes(record[3:35], "big")
        shared = min(_common_bits(row.number, prefix) for row in (rows[0], rows[-1]))
        if shared < bit_index:
            return self._apply_beside(ref, shared, prefix, rows)
        left, right = record[_LEFT:_RIGHT], record[_RIGHT:]
        middle = _find_middle(rows, bit_index)
        new_left = self._apply(left, rows[:middle]) if middle else left
        new_right = self._apply(right, rows[middle:]) if middle < len(rows) else right
        if new_left == left and new_right == right:
            return ref
        self._stale.append(ref[:12])
        if new_left is None or new_right is None:
            return new_left or new_right
        return self._make_inner(record[:_LEFT], new_left, new_right)

    def _apply_one(self, ref: bytes, row: _Row) -> _Ref:
        """Apply one row: most of a block's work is below the point where rows have parted."""
        number, path = row.number, []
        result: _Ref = None
        get = self._store.get
        while True:
            record = get(ref[:12]) or _load(self._store, ref[:12])
            if record[0] == 0:
                result = self._apply_to_leaf(ref, record, [row])
                break
            bit_index = record[2]
            prefix = int.from_bytes(record[3:35], "big")
            if (number ^ prefix) >> (256 - bit_index):
                shared = _common_bits(number, prefix)
                result = self._apply_beside(ref, shared, prefix, [row])
                break
            goes_right = number >> (255 - bit_index) & 1
            path.append((ref, record, goes_right))
            ref = record[_RIGHT:] if goes_right else record[_LEFT:_RIGHT]
        if result == ref:
            return path[0][0] if path else ref
        for node, record, goes_right in reversed(path):
            self._stale.append(node[:12])
            sibling = record[_LEFT:_RIGHT] if goes_right else record[_RIGHT:]
            if result is None:
                result = sibling
            elif goes_right:
                result = self._make_inner(record[:_LEFT], sibling, result)
            else:
                result = self._make_inner(record[:_LEFT], result, sibling)
        return result

    def _apply_beside(self, ref: bytes, bit_index: int, prefix: int, rows: list[_Row]) -> _Ref:
        """Apply rows some of which part from a subtree above its root."""
        middle = _find_middle(rows, bit_index)
        if prefix >> (255 - bit_index) & 1:
            left, right = self._build(rows[:middle]), self._apply(ref, rows[middle:])
        else:
            left, right = self._apply(ref, rows[:middle]), self._build(rows[middle:])
        return self._join(bit_index, prefix, left, right)

    def _apply_to_leaf(self, ref: bytes, record: bytes, rows: list[_Row]) -> _Ref:
        key_hash = record[1:33]
        kept = _Row(key_hash, int.from_bytes(key_hash, "big"), None, ref)
        place = bisect_left(rows, key_hash, key=_get_key_hash)
        if place == len(rows) or rows[place].key_hash != key_hash:
            return self._build([*rows[:place], kept, *rows[place:]])
        change = rows[place].leaf
        if change == record:
            return self._build([*rows[:place], kept, *rows[place + 1 :]])
        self._stale.append(ref[:12])
        if change is None:
            self._removed.append(key_hash)
        return self._build(rows)


def _get_key_hash(row: _Row) -> bytes:
    return row.key_hash


def _find_middle(rows: list[_Row], bit_index: int) -> int:
    """Place of the first row that goes right at a bit, where all share the bits before it."""
    place, shift = bit_index >> 3, 7 - (bit_index & 7)
    low, high = 0, len(rows)
    while low < high:
        middle = (low + high) >> 1
        if rows[middle][0][place] >> shift & 1:
            high = middle
        else:
            low = middle + 1
    return low


class MerkleMap:
    """The map at one root.

    `update` and `prove` speak of the root given; `get` reads the store's entries and speaks of
    the latest committed root.
    """

    __slots__ = ("_root", "_store")

    def __init__(self, store: NodeStore, root: MapRoot = EMPTY_ROOT) -> None:
        self._store = store
        self._root = root

    @property
    def root(self) -> MapRoot:
        """The root that this map is at."""
        return self._root

    def get(self, key: bytes) -> bytes | None:
        """Get a key's value at the latest committed root, by two reads.

        Raises:
            Fault: `statemap.missing-node`.
        """
        leaf_id = self._store.get(_sha256(key).digest())
        return None if leaf_id is None else _split_leaf(_load(self._store, leaf_id))[1]

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

    def prove(self, key: bytes) -> StateProof:
        """Prove what this root says of a key, see `protocol.mapproof`.

        Raises:
            Fault: `statemap.missing-node`, also where the root is older than the last two.
        """
        if not self._root.node_id:
            return StateProof(key=key.hex())
        key_hash = _sha256(key).digest()
        steps: list[ProofStep] = []
        record = _load(self._store, self._root.node_id)
        while record[0]:
            left, right = record[_LEFT:_RIGHT], record[_RIGHT:]
            taken, sibling = (right, left) if _is_right(key_hash, record[2]) else (left, right)
            steps.append((record[2], sibling[12:].hex()))
            record = _load(self._store, taken[:12])
        found, value = _split_leaf(record)
        if found == key:
            return StateProof(key=key.hex(), value=value.hex(), steps=tuple(steps))
        other = (record[1:33].hex(), _sha256(value).hexdigest())
        return StateProof(key=key.hex(), other=other, steps=tuple(steps))

    def iterate(self) -> Iterator[tuple[bytes, bytes]]:
        """Yield every key and value at this root, in the order of key hashes.

        Raises:
            Fault: `statemap.missing-node`.
        """
        waiting = [self._root.node_id] if self._root.node_id else []
        while waiting:
            record = _load(self._store, waiting.pop())
            if record[0]:
                waiting += (record[_RIGHT : _RIGHT + 12], record[_LEFT : _LEFT + 12])
            else:
                yield _split_leaf(record)


class MemoryNodeStore:
    """A store in memory that commits updates as the module says: for tests and storm."""

    __slots__ = ("_nodes", "_stale")

    def __init__(self) -> None:
        self._nodes: dict[bytes, bytes] = {}
        self._stale: tuple[bytes, ...] = ()

    def __len__(self) -> int:
        return len(self._nodes)

    def get(self, node_id: bytes) -> bytes | None:
        """Get the bytes under an id or key hash, or None."""
        return self._nodes.get(node_id)

    def commit(self, update: TreeUpdate) -> None:
        """Write an update and forget what only the root before the last reaches."""
        for node_id in (*self._stale, *update.removed_entries):
            del self._nodes[node_id]
        self._nodes.update(update.new_nodes)
        self._stale = update.stale_nodes
