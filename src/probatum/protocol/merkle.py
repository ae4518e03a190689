"""Merkle trees over an append-only log, as RFC 6962 and RFC 9162 define them (`LOG-1`).

Proofs are lists of hashes; checking needs nothing else. Building needs the hashes of complete
subtrees, which the caller hands over as a function: a `MerkleLog` in memory, or tiles that were
fetched from somebody (`tiles`). Must not know what an entry is.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from probatum.errors import Misuse, Refusal
from probatum.protocol import limits
from probatum.protocol.hash_rows import HashRow, Shelf
from probatum.protocol.hashing import sha256
from probatum.protocol.primitives import Digest, make_digest

__all__ = [
    "EMPTY_ROOT",
    "MerkleLog",
    "Proof",
    "check_consistency",
    "check_inclusion",
    "compute_root",
    "consistency_proof",
    "inclusion_proof",
    "leaf_hash",
    "node_hash",
    "tree_root",
]

Proof: TypeAlias = tuple[Digest, ...]
"""Hashes from the leaf's side upwards, as RFC 6962 orders them."""

GetHash: TypeAlias = Callable[[int, int], bytes]
"""``get_hash(level, index)``: hash of the complete subtree of 2**level leaves at that index."""

EMPTY_ROOT: Final = sha256(b"")
"""The root of no entries."""

_SIZE_BOUND: Final = 1 << 63


def leaf_hash(entry: bytes) -> Digest:
    """Hash an entry as a leaf (RFC 9162, §2.1.1)."""
    return sha256(b"\x00" + entry)


def node_hash(left: bytes, right: bytes) -> Digest:
    """Hash two subtrees into their parent (RFC 9162, §2.1.1)."""
    return make_digest(_hash_pair(left, right))


def _hash_pair(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


def _split(size: int) -> int:
    """The largest power of two below `size`, which is at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def _range_hash(start: int, size: int, get_hash: GetHash) -> bytes:
    """Root of the leaves from `start`, which is aligned as RFC 6962's splits leave it."""
    if size & (size - 1) == 0:  # one whole subtree, as nearly always
        level = size.bit_length() - 1
        return get_hash(level, start >> level)
    parts = []
    while size:
        level = size.bit_length() - 1
        parts.append(get_hash(level, start >> level))
        start += 1 << level
        size -= 1 << level
    result = parts.pop()
    while parts:
        result = _hash_pair(parts.pop(), result)
    return result


def tree_root(size: int, get_hash: GetHash) -> Digest:
    """Compute the root of the first `size` entries from hashes of complete subtrees."""
    return make_digest(_range_hash(0, size, get_hash)) if size else EMPTY_ROOT


def compute_root(leaf_hashes: Sequence[bytes]) -> Digest:
    """Compute the root over leaf hashes, all at hand (RFC 9162, §2.1.1)."""
    if not leaf_hashes:
        return EMPTY_ROOT
    # A last one without a neighbour goes up as it is: the splits at powers of two, from below.
    row = leaf_hashes
    while len(row) > 1:
        alone = row[-1:] if len(row) & 1 else ()
        row = [*map(_hash_pair, row[::2], row[1::2]), *alone]
    return make_digest(row[0])


def inclusion_proof(index: int, size: int, get_hash: GetHash) -> Proof:
    """Build the proof that a leaf is in a tree (RFC 9162, §2.1.3.1).

    Args:
        index: The leaf's position.
        size: The tree's size.
        get_hash: Hashes of complete subtrees within the tree.

    Raises:
        Refusal: `merkle.bad-range` unless ``0 <= index < size``.
    """
    if not 0 <= index < size < _SIZE_BOUND:
        raise Refusal("merkle.bad-range", f"no entry {index} in a log of {size}")
    proof: list[Digest] = []
    start = 0
    while size > 1:
        level = (size - 1).bit_length() - 1
        half = 1 << level
        if index - start < half:
            rest = size - half
            # The right subtree is as whole as the left one in all but a log's last branches.
            if rest == half:
                proof.append(make_digest(get_hash(level, (start + half) >> level)))
            else:
                proof.append(make_digest(_range_hash(start + half, rest, get_hash)))
            size = half
        else:
            proof.append(make_digest(get_hash(level, start >> level)))
            start, size = start + half, size - half
    proof.reverse()
    return tuple(proof)


def consistency_proof(old_size: int, size: int, get_hash: GetHash) -> Proof:
    """Build the proof that a tree begins with an older one (RFC 9162, §2.1.4.1).

    Args:
        old_size: The older tree's size; the proof for 0 is empty.
        size: The newer tree's size.
        get_hash: Hashes of complete subtrees within the newer tree.

    Raises:
        Refusal: `merkle.bad-range` unless ``0 <= old_size <= size``.
    """
    if not 0 <= old_size <= size < _SIZE_BOUND:
        raise Refusal("merkle.bad-range", f"a log of {size} has no older size {old_size}")
    if old_size in (0, size):
        return ()
    proof: list[Digest] = []
    start, whole = 0, True
    while old_size != start + size:
        half = _split(size)
        if old_size <= start + half:
            proof.append(make_digest(_range_hash(start + half, size - half, get_hash)))
            size = half
        else:
            proof.append(make_digest(_range_hash(start, half, get_hash)))
            start, size, whole = start + half, size - half, False
    if not whole:
        proof.append(make_digest(_range_hash(start, size, get_hash)))
    return tuple(reversed(proof))


def _check_proof_form(proof: Sequence[bytes], start: bytes) -> None:
    if len(proof) > limits.PROOF_HASHES:
        raise Refusal("merkle.proof-too-long", f"{len(proof)} hashes in a proof")
    # Of other lengths, two different pairs of children could have the same preimage.
    if len(start) != 32 or any(len(item) != 32 for item in proof):
        raise Refusal("merkle.bad-proof", "a hash in the proof has not 32 bytes")


def check_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that a leaf is in a tree at an index (RFC 9162, §2.1.3.2).

    Args:
        leaf: The leaf's hash, see `leaf_hash`.
        index: Its position.
        size: The tree's size.
        proof: See `inclusion_proof`.
        root: The tree's root, which the caller trusts.

    Raises:
        Refusal: `merkle.bad-range`, `merkle.proof-too-long`, `merkle.bad-proof`,
            `merkle.not-included`.
    """
    if not 0 <= index < size < _SIZE_BOUND:
        raise Refusal("merkle.bad-range", f"no entry {index} in a log of {size}")
    _check_proof_form(proof, leaf)
    node, last, result = index, size - 1, leaf
    for item in proof:
        if last == 0:
            raise Refusal("merkle.bad-proof", "the proof has more hashes than the tree has levels")
        if node & 1 or node == last:
            result = _hash_pair(item, result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            result = _hash_pair(result, item)
        node, last = node >> 1, last >> 1
    if last:
        raise Refusal("merkle.bad-proof", "the proof has fewer hashes than the tree has levels")
    if result != root:
        raise Refusal("merkle.not-included", f"entry {index} is not in the tree of size {size}")


def check_consistency(
    old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that a tree begins with an older one (RFC 9162, §2.1.4.2).

    Raises:
        Refusal: `merkle.bad-range`, `merkle.proof-too-long`, `merkle.bad-proof`,
            `merkle.not-consistent`.
    """
    if not 0 <= old_size <= size < _SIZE_BOUND:
        raise Refusal("merkle.bad-range", f"a log of {size} has no older size {old_size}")
    _check_proof_form(proof, old_root)
    if old_size in (0, size):
        expected = EMPTY_ROOT if old_size == 0 else root
        if proof:
            raise Refusal("merkle.bad-proof", "this proof must be empty")
        if old_root != expected or (size == 0 and root != EMPTY_ROOT):
            raise Refusal("merkle.not-consistent", "another root for the same size")
        return
    path = list(proof)
    if old_size & (old_size - 1) == 0:
        path.insert(0, make_digest(old_root))
    if not path:
        raise Refusal("merkle.bad-proof", "the proof is empty")
    node, last = old_size - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    old_result = result = path[0]
    for item in path[1:]:
        if last == 0:
            raise Refusal("merkle.bad-proof", "the proof has more hashes than the tree has levels")
        if node & 1 or node == last:
            old_result, result = _hash_pair(item, old_result), _hash_pair(item, result)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            result = _hash_pair(result, item)
        node, last = node >> 1, last >> 1
    if last:
        raise Refusal("merkle.bad-proof", "the proof has fewer hashes than the tree has levels")
    if old_result != old_root or result != root:
        raise Refusal("merkle.not-consistent", f"size {size} does not begin with size {old_size}")


class MerkleLog:
    """An append-only log of leaf hashes, with all inner hashes of complete subtrees.

    64 bytes an entry in memory, or on a shelf. Appending hashes two nodes on average; roots and
    proofs at any size that the log has had cost O(log n) hashes.
    """

    __slots__ = ("_levels", "_shelf")

    def __init__(self, shelf: Shelf | None = None) -> None:
        self._shelf = shelf
        self._levels = [HashRow(shelf)]

    def __len__(self) -> int:
        return len(self._levels[0])

    def append(self, leaf: Digest) -> int:
        """Append a leaf hash and return its index."""
        levels = self._levels
        index = len(levels[0])
        node, carry, level = leaf, index, 0
        levels[0].append(node)
        while carry & 1:
            level, carry = level + 1, carry >> 1
            below = levels[level - 1]
            node = make_digest(_hash_pair(below.get(len(below) - 2, len(below) - 1), node))
            if level == len(levels):
                levels.append(HashRow(self._shelf))
            levels[level].append(node)
        return index

    def get_hash(self, level: int, index: int) -> bytes:
        """Get the hash of the complete subtree of ``2**level`` leaves at `index`.

        Raises:
            Misuse: `merkle.no-such-node` if the log has no such complete subtree.
        """
        if level < 0 or index < 0 or (index + 1) << level > len(self):
            raise Misuse("merkle.no-such-node", f"no complete subtree {index} at level {level}")
        return self._levels[level].get(index, index + 1)

    def get_hashes(self, level: int, start: int, stop: int) -> bytes:
        """Get the hashes of consecutive complete subtrees at a level, end to end.

        Raises:
            Misuse: `merkle.no-such-node`.
        """
        if level < 0 or not 0 <= start <= stop or stop << level > len(self):
            raise Misuse("merkle.no-such-node", f"no subtrees {start} to {stop} at level {level}")
        return self._levels[level].get(start, stop) if start < stop else b""

    def root(self, size: int | None = None) -> Digest:
        """Compute the root at a size, now by default.

        Raises:
            Refusal: `merkle.bad-range` if the log has never had that size.
        """
        size = len(self) if size is None else size
        self._check_size(size)
        return tree_root(size, self.get_hash)

    def inclusion_proof(self, index: int, size: int) -> Proof:
        """Build an inclusion proof at any size so far. Raises Refusal `merkle.bad-range`."""
        self._check_size(size)
        return inclusion_proof(index, size, self.get_hash)

    def consistency_proof(self, old_size: int, size: int) -> Proof:
        """Build a consistency proof at any size so far. Raises Refusal `merkle.bad-range`."""
        self._check_size(size)
        return consistency_proof(old_size, size, self.get_hash)

    def _check_size(self, size: int) -> None:
        if not 0 <= size <= len(self):
            raise Refusal("merkle.bad-range", f"the log has {len(self)} entries, not {size}")
