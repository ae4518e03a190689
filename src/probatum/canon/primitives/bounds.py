"""How much must be opened to judge one element or block, before anything runs (`CANON-9`).

An opening of a tensor holds chunks of 1,024 bytes and the values that join them to its root. Must
not know any primitive.
"""

from __future__ import annotations

from typing import Final

from probatum.canon.graph.binding import BoundNode, BoundType
from probatum.canon.graph.types import DTYPES
from probatum.canon.primitives.interface import ReadBound
from probatum.canon.primitives.registry import get_primitive

__all__ = ["CHUNK_BYTES", "OPENING_BYTES", "bound_opening"]

OPENING_BYTES: Final = 48 * 1024
"""The most bytes of all openings for one direct element or one block."""
CHUNK_BYTES: Final = 1024
CHUNK_FRAME_BYTES: Final = 3
"""What MessagePack puts before a chunk."""
VALUE_BYTES: Final = 34
"""A chaining value and what MessagePack puts before it."""
OPENING_FRAME_BYTES: Final = 8


def bound_opening(node: BoundNode) -> int:
    """Bound the bytes of all openings for one element or block, the judged element's included.

    Args:
        node: Its shapes may be upper bounds of what they can be.

    Raises:
        Refusal: `canon.unknown-operator`.
    """
    primitive = get_primitive(node.operator, node.version)
    reads = sum(_bound_one(node.inputs[one.source], one) for one in primitive.bound_reads(node))
    return reads + _bound_one(node.output, ReadBound(0, 1))


def _bound_one(tensor: BoundType, bound: ReadBound) -> int:
    size = DTYPES[tensor.dtype].size_bytes
    total = max(1, -(-tensor.size_bytes // CHUNK_BYTES))
    depth = (total - 1).bit_length()
    options = [(bound.runs, bound.length, bound.align)]
    if bound.stretches:
        options.append((bound.stretches, bound.span, bound.align))
    return min(_price(total, depth, size, *option) for option in options)


def _price(total: int, depth: int, size: int, runs: int, length: int, align: int) -> int:
    """Price so many runs of neighbouring elements of so many bytes each."""
    if runs == 0 or length == 0:
        return 0
    first = CHUNK_BYTES - align * size  # the latest place in a chunk where a run starts
    chunks = min(total, runs * -(-(first + length * size) // CHUNK_BYTES))
    values = min(chunks, 2 * runs) * depth  # left and right of each run, at most
    return chunks * (CHUNK_BYTES + CHUNK_FRAME_BYTES) + values * VALUE_BYTES + OPENING_FRAME_BYTES
