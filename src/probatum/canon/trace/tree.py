"""The shape of BLAKE3's tree over a tensor's chunks, and the walk down it (`CANON-5`, `DISPUTE-1`).

A node is a run of chunks. Its left half has the largest power of two of them that is less than all.
Must not know what the bytes mean.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from probatum.canon.trace.compression import (
    CHUNK_BYTES,
    compute_chunk_value,
    compute_parent_value,
)
from probatum.errors import Refusal

__all__ = [
    "CHILDREN",
    "Subtree",
    "check_children",
    "check_leaf",
    "count_chunks",
    "get_chunk_length",
    "list_children",
    "split",
    "whole",
]

LEVELS: Final = 8
CHILDREN: Final = 1 << LEVELS
"""The most hashes that one step of a walk posts."""


class Subtree(NamedTuple):
    """A node of the tree.

    Attributes:
        first: The number of its first chunk.
        size: How many chunks it holds; one that holds 1 is a leaf.
    """

    first: int
    size: int


def count_chunks(length: int) -> int:
    """Count the chunks of so many bytes; none make one empty chunk."""
    return max(1, -(-length // CHUNK_BYTES))


def whole(length: int) -> Subtree:
    """Get the root of the tree over so many bytes."""
    return Subtree(0, count_chunks(length))


def get_chunk_length(length: int, number: int) -> int:
    """Get the bytes of one chunk of so many bytes: 1,024, or what is left for the last."""
    return min(CHUNK_BYTES, length - number * CHUNK_BYTES)


def split(node: Subtree) -> tuple[Subtree, Subtree]:
    """Get the two halves of a node that holds more than one chunk."""
    left = 1 << (node.size - 1).bit_length() - 1
    return Subtree(node.first, left), Subtree(node.first + left, node.size - left)


def list_children(node: Subtree) -> tuple[Subtree, ...]:
    """List the nodes eight levels below, or the leaves before: at most 256, from left to right."""
    return tuple(_walk(node, LEVELS))


def check_children(
    key: bytes, length: int, node: Subtree, value: bytes, children: Sequence[bytes]
) -> None:
    """Check that the chaining values of `list_children` make up their node's.

    Args:
        key: 32 bytes.
        length: Of the whole tensor, in bytes.
        node: The node whose children are shown.
        value: Its chaining value, or the tensor's root where it is the whole.
        children: Their chaining values, 32 bytes each.

    Raises:
        Refusal: `canon.bad-opening` for another number or size of values, `canon.wrong-opening`.
    """
    if len(children) != len(list_children(node)) or any(len(one) != 32 for one in children):
        raise Refusal("canon.bad-opening", "these are not the children of that node, 32 bytes each")
    if node.size == 1:
        found = children[0]
    else:
        is_root = node == whole(length)
        found = _join(key, node, LEVELS, iter(children), is_root=is_root)
    if found != value:
        raise Refusal("canon.wrong-opening", "the children do not make up their node")


def check_leaf(key: bytes, length: int, number: int, value: bytes, chunk: bytes) -> None:
    """Check a chunk against its leaf's chaining value.

    Args:
        key: 32 bytes.
        length: Of the whole tensor, in bytes.
        number: The chunk's.
        value: The leaf's chaining value, or the root where the tensor is one chunk.
        chunk: Its bytes.

    Raises:
        Refusal: `canon.bad-opening` for another number of bytes, `canon.wrong-opening`.
    """
    count = count_chunks(length)
    if not 0 <= number < count or len(chunk) != get_chunk_length(length, number):
        raise Refusal("canon.bad-opening", "no chunk of this number has so many bytes")
    if compute_chunk_value(key, chunk, number, is_root=count == 1) != value:
        raise Refusal("canon.wrong-opening", "the chunk does not have its leaf's value")


def _walk(node: Subtree, levels: int) -> Iterator[Subtree]:
    if levels == 0 or node.size == 1:
        yield node
        return
    for half in split(node):
        yield from _walk(half, levels - 1)


def _join(
    key: bytes, node: Subtree, levels: int, values: Iterator[bytes], *, is_root: bool
) -> bytes:
    if levels == 0 or node.size == 1:
        return next(values)
    left, right = (_join(key, half, levels - 1, values, is_root=False) for half in split(node))
    return compute_parent_value(key, left, right, is_root=is_root)
