"""TopK: indices of the first k of a row in order, judged by counting (`CANON-9`).

The claimed index at rank j is right iff exactly j elements come before the one that it names: ties
go by index, so every index has one rank. A partial is that count of a block, 8 bytes big-endian.
The values themselves are a GatherElements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from probatum.canon.arith.formats import to_signed
from probatum.canon.graph.binding import BoundNode
from probatum.canon.graph.sizes import Size
from probatum.canon.graph.types import CanonDtype, TensorType
from probatum.canon.primitives.interface import (
    BLOCK_TERMS,
    Attributes,
    PartialReading,
    Preparing,
    Read,
    ReadBound,
    Reading,
)
from probatum.canon.primitives.operands import (
    NUMBERS,
    check_attributes,
    check_dtype,
    check_operands,
    get_literal,
    get_sizes,
    split_last,
)
from probatum.canon.primitives.orders.keys import compute_key
from probatum.canon.primitives.places import count_blocks, get_block
from probatum.errors import Refusal

__all__ = ["TopK"]

COUNT_BYTES: Final = 8
INDEX_BITS: Final = 64
COMPARISON_WORK: Final = 16
NEVER: Final = (1 << INDEX_BITS) - 1
"""Bits of -1, which is no rank's index."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TopK:
    """The k greatest, or least, in order; NaN is above all, ties go by the lower index."""

    operator: str = "TopK"
    version: int = 1

    def infer(
        self,
        inputs: tuple[TensorType, ...],
        attributes: Attributes,
        dtype: CanonDtype | None = None,
    ) -> TensorType:
        """Compute the type; see `Typed`."""
        (x,) = check_operands("TopK", inputs, NUMBERS)
        check_attributes("TopK", attributes, "k", "largest")
        get_literal("TopK", attributes, "largest", 0, 1)
        (k,) = get_sizes("TopK", attributes, "k", 1)
        rows, _ = split_last("TopK", x)
        return TensorType(check_dtype("TopK", "int64", dtype), (*rows, k))

    def list_conditions(
        self, inputs: tuple[TensorType, ...], attributes: Attributes
    ) -> tuple[Size, ...]:
        """There are k elements."""
        (k,) = get_sizes("TopK", attributes, "k", 1)
        return (inputs[0].shape[-1] - k,)

    def count_blocks(self, node: BoundNode) -> int:
        """One a 1,024 terms."""
        return count_blocks(node.inputs[0].shape[-1])

    def prepare(self, node: BoundNode, element: int, claimed: int) -> Preparing:
        """Read the element that the claim names; out of range there is none."""
        (x,) = node.inputs
        index = to_signed(INDEX_BITS, claimed)
        if not 0 <= index < x.shape[-1]:
            return (index,)
        row = element // node.output.shape[-1] * x.shape[-1]
        (bits,) = yield (Read(0, row + index),)
        return (index, compute_key(x.dtype, bits))

    def fold(
        self, node: BoundNode, element: int, block: int, context: tuple[int, ...]
    ) -> PartialReading:
        """Count the elements of one block that come before the one named."""
        (x,) = node.inputs
        if len(context) == 1:
            return _encode(0)
        index, key = context
        terms = get_block(x.shape[-1], block)
        row = element // node.output.shape[-1] * x.shape[-1]
        bits = yield (Read(0, row + terms.start, len(terms)),)
        largest = node.get_int("largest") == 1
        before = 0
        for place, one in zip(terms, bits, strict=True):
            other = compute_key(x.dtype, one)
            before += place < index if other == key else (other > key) == largest
        return _encode(before)

    def combine(self, _: BoundNode, left: bytes, right: bytes) -> bytes:
        """Add two counts."""
        return _encode(_decode(left) + _decode(right))

    def finish(
        self, node: BoundNode, element: int, partial: bytes, context: tuple[int, ...]
    ) -> Reading:
        """Give the claim back where it is right, else something else."""
        yield from ()
        before = _decode(partial)
        if len(context) == 1:
            return 0  # the claim is out of range, so not 0
        return context[0] if before == element % node.output.shape[-1] else NEVER

    def bound_reads(self, node: BoundNode) -> tuple[ReadBound, ...]:
        """The element named, and one run."""
        length = min(BLOCK_TERMS, node.inputs[0].shape[-1])
        return (ReadBound(0, 1), ReadBound(0, 1, length))

    def count_operations(self, node: BoundNode) -> int:
        """A comparison for each halving of a row that is sorted."""
        return node.inputs[0].count * max(1, node.inputs[0].shape[-1].bit_length())

    def measure(self, _: BoundNode) -> int:
        """1,024 comparisons."""
        return COMPARISON_WORK * BLOCK_TERMS


def _encode(count: int) -> bytes:
    if count >> (8 * COUNT_BYTES):
        raise Refusal("canon.bad-partial", "a count is larger than any row")
    return count.to_bytes(COUNT_BYTES, "big")


def _decode(partial: bytes) -> int:
    if len(partial) != COUNT_BYTES:
        raise Refusal("canon.bad-partial", "these bytes are no count")
    return int.from_bytes(partial, "big")
