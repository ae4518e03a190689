"""The proof that the state holds a value under a key, or holds none (`STATE-1`).

The state is a path-compressed binary Merkle map. A key's path is the bits of its SHA-256, most
significant first. With H = SHA-256:

    leaf  = H(0x00 ‖ H(key) ‖ H(value))
    inner = H(0x01 ‖ bit index as two bytes, big-endian ‖ left ‖ right)
    the map without keys = 32 zero bytes

An inner node stands at the first bit in which the keys below it differ; 0 goes left. Bit indexes
grow from the root downwards.

**Why the absence of a key can be proven by one path.** The root commits to one tree, as leaves
and inner nodes are hashed with different first bytes and different lengths. At every inner node
the sought key's own bit at the committed index says left or right, so exactly one walk from the
root belongs to the key, and where the key is in the map, its walk ends at its own leaf: all keys
below a node share the bits before its index, so insertion takes the same turns. A proof shows the
bit indexes and siblings of a path that ends at a leaf with another key hash; the checker takes
every turn from the *sought* key's bits and checks that the shown leaf lies in the same
directions. Hashed up, it gives the root; so the sought key's walk ends at another's leaf, and the
key is not in the map. The walk cannot be of another path, since the turns are not in the proof.

Must not know the ledger's keys, nor how the map is stored: see `ledger.statemap`.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.encoding import Document
from probatum.protocol.hexes import HexDigest, bytes_from_hex, digest_from_hex
from probatum.protocol.primitives import Digest, make_digest

__all__ = [
    "EMPTY_MAP_ROOT",
    "OtherLeaf",
    "ProofStep",
    "StateProof",
    "check_state_proof",
    "compute_inner",
    "compute_leaf",
]

EMPTY_MAP_ROOT: Final = make_digest(bytes(32))
"""The root of the map without keys."""

BitIndex: TypeAlias = Annotated[int, Meta(ge=0, le=255)]
ProofStep: TypeAlias = tuple[BitIndex, HexDigest]
"""One inner node on the path: its bit index and the hash of the child not taken."""
OtherLeaf: TypeAlias = tuple[HexDigest, HexDigest]
"""Key hash and value hash of the leaf that an absent key's walk ends at."""


class StateProof(Document, frozen=True, kw_only=True):
    """What a state root says of one key.

    Attributes:
        key: The key, in hex.
        value: Its value, in hex; absent if the map does not hold the key.
        other: For an absent key, the leaf at the end of its walk; absent if the map is empty.
        steps: The inner nodes of the walk from the root downwards.
    """

    key: Annotated[str, Meta(max_length=2 * limits.STATE_KEY_BYTES, pattern=r"^(?:[0-9a-f]{2})+\Z")]
    value: (
        Annotated[
            str, Meta(max_length=2 * limits.STATE_VALUE_BYTES, pattern=r"^(?:[0-9a-f]{2})*\Z")
        ]
        | None
    ) = None
    other: OtherLeaf | None = None
    steps: Annotated[tuple[ProofStep, ...], Meta(max_length=limits.MAP_PROOF_STEPS)] = ()


def compute_leaf(key_hash: bytes, value_hash: bytes) -> bytes:
    """Hash a leaf from the hashes of its key and value."""
    return hashlib.sha256(b"\x00" + key_hash + value_hash).digest()


def compute_inner(bit_index: int, left: bytes, right: bytes) -> bytes:
    """Hash an inner node from its bit index and its children's hashes."""
    return hashlib.sha256(b"\x01" + bit_index.to_bytes(2, "big") + left + right).digest()


def _bit(key_hash: bytes, index: int) -> int:
    return key_hash[index >> 3] >> (7 - (index & 7)) & 1


def _find_leaf(key_hash: bytes, proof: StateProof) -> tuple[bytes, bytes]:
    """Key hash and leaf hash at the end of the walk."""
    if proof.value is not None:
        if proof.other is not None:
            raise Refusal("mapproof.malformed", "a proof shows a value or another leaf, not both")
        value = bytes_from_hex(proof.value)
        return key_hash, compute_leaf(key_hash, hashlib.sha256(value).digest())
    if proof.other is None:
        raise Refusal("mapproof.malformed", "only the empty map has a proof without a leaf")
    other_hash, value_hash = (digest_from_hex(text) for text in proof.other)
    if other_hash == key_hash:
        raise Refusal("mapproof.malformed", "the other leaf is the key's own")
    return other_hash, compute_leaf(other_hash, value_hash)


def _check_steps(key_hash: bytes, leaf_key_hash: bytes, proof: StateProof) -> None:
    if len(proof.steps) > limits.MAP_PROOF_STEPS:
        raise Refusal("mapproof.malformed", f"{len(proof.steps)} steps")
    before = -1
    for index, _ in proof.steps:
        if not before < index <= 255:
            raise Refusal("mapproof.malformed", "bit indexes do not grow from the root downwards")
        if _bit(key_hash, index) != _bit(leaf_key_hash, index):
            raise Refusal("mapproof.another-path", "the other leaf is not on the key's walk")
        before = index


def check_state_proof(root: Digest, key: bytes, proof: StateProof) -> bytes | None:
    """Check a proof against a state root and return the key's value, or None if it has none.

    Args:
        root: The state root, which the caller trusts.
        key: The key that was asked for.
        proof: Anybody's claim.

    Raises:
        Refusal: `mapproof.another-key`, `mapproof.malformed`, `mapproof.another-path`,
            `mapproof.another-root`; `hex.malformed` and `primitive.bad-length` where the proof
            did not come from the strict decoder.
    """
    if proof.key != key.hex():
        raise Refusal("mapproof.another-key", "the proof is for another key")
    if proof.value is None and proof.other is None and not proof.steps:
        if root != EMPTY_MAP_ROOT:
            raise Refusal("mapproof.another-root", "the map is not empty")
        return None
    key_hash = hashlib.sha256(key).digest()
    leaf_key_hash, result = _find_leaf(key_hash, proof)
    _check_steps(key_hash, leaf_key_hash, proof)
    for index, sibling_text in reversed(proof.steps):
        sibling = digest_from_hex(sibling_text)
        if _bit(key_hash, index):
            result = compute_inner(index, sibling, result)
        else:
            result = compute_inner(index, result, sibling)
    if result != root:
        raise Refusal("mapproof.another-root", "the proof leads to another root")
    return None if proof.value is None else bytes_from_hex(proof.value)
