"""Dot: products of rows of two tensors, summed exactly (`CANON-1`, `CANON-9`).

a[..., M, K] and b[..., N, K] make [..., M, N]; the axes before are broadcast. Both operands' rows
are contiguous, so that a block opens two runs of 1,024 elements.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from probatum.canon.arith import sums
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
    broadcast,
    check_attributes,
    check_dtype,
    check_operands,
    refuse_operands,
)
from probatum.canon.primitives.places import (
    count_blocks,
    find_broadcast,
    get_block,
    list_coordinates,
)
from probatum.canon.primitives.sums.totals import finish_products, sum_products

__all__ = ["PRODUCT_WORK", "Dot", "find_product_dtype"]

PRODUCT_WORK: Final = 96
"""A product of float64 lies anywhere in 4,196 bits: 66 words are added to, with room."""
MIXES: Final = (frozenset({"int8", "uint8"}), frozenset({"int16", "uint16"}))


def find_product_dtype(operator: str, left: CanonDtype, right: CanonDtype) -> CanonDtype:
    """Find the dtype of a sum of products: int32 for short integers, else that of both.

    Raises:
        Refusal: `canon.wrong-operands`.
    """
    if any({left, right} <= mix for mix in MIXES):
        return "int32"
    if left != right:
        raise refuse_operands(f"{operator} does not multiply {left} by {right}")
    return left


@dataclass(frozen=True, slots=True, kw_only=True)
class Dot:
    """Sums of products of rows; integers wrap in the result's dtype."""

    operator: str = "Dot"
    version: int = 1

    def infer(
        self,
        inputs: tuple[TensorType, ...],
        attributes: Attributes,
        dtype: CanonDtype | None = None,
    ) -> TensorType:
        """Compute the type; see `Typed`."""
        a, b = check_operands("Dot", inputs, NUMBERS, NUMBERS)
        check_attributes("Dot", attributes)
        if len(a.shape) < 2 or len(b.shape) < 2 or a.shape[-1] != b.shape[-1]:
            raise refuse_operands("Dot reads a[..., M, K] and b[..., N, K] of one K")
        computed = find_product_dtype("Dot", a.dtype, b.dtype)
        batch = broadcast("Dot", a.shape[:-2], b.shape[:-2])
        shape = (*batch, a.shape[-2], b.shape[-2])
        return TensorType(check_dtype("Dot", computed, dtype), shape)

    def list_conditions(self, _: tuple[TensorType, ...], __: Attributes) -> tuple[Size, ...]:
        """None: the sum of nothing is +0."""
        return ()

    def count_blocks(self, node: BoundNode) -> int:
        """One a 1,024 terms."""
        return count_blocks(node.inputs[0].shape[-1])

    def prepare(self, _: BoundNode, __: int, ___: int) -> Preparing:
        """Nothing."""
        yield from ()
        return ()

    def fold(self, node: BoundNode, element: int, block: int, _: tuple[int, ...]) -> PartialReading:
        """Sum the products of one block."""
        a, b = node.inputs
        *batch, row, column = list_coordinates(node.output.shape, element)
        terms = get_block(a.shape[-1], block)
        length = len(terms)
        left: tuple[int, ...] = ()
        if length:
            rows = (
                find_broadcast(a.shape[:-2], batch) * a.shape[-2] + row,
                find_broadcast(b.shape[:-2], batch) * b.shape[-2] + column,
            )
            left = yield tuple(
                Read(source, at * a.shape[-1] + terms.start, length)
                for source, at in enumerate(rows)
            )
        return sum_products((a.dtype, b.dtype), left[:length], left[length:])

    def combine(self, _: BoundNode, left: bytes, right: bytes) -> bytes:
        """Add two partial sums."""
        return sums.combine(left, right)

    def finish(self, node: BoundNode, _: int, partial: bytes, __: tuple[int, ...]) -> Reading:
        """Round, or wrap, the sum."""
        yield from ()
        return finish_products(node.output.dtype, partial)

    def bound_reads(self, node: BoundNode) -> tuple[ReadBound, ...]:
        """A run of each."""
        length = min(BLOCK_TERMS, node.inputs[0].shape[-1])
        return (ReadBound(0, 1, length), ReadBound(1, 1, length))

    def count_operations(self, node: BoundNode) -> int:
        """K an element."""
        return node.output.count * node.inputs[0].shape[-1]

    def measure(self, _: BoundNode) -> int:
        """1,024 products, each added to a long integer."""
        return PRODUCT_WORK * BLOCK_TERMS
