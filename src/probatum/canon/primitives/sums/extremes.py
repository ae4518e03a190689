"""Greatest and least over the last axis, of which size 1 is kept (`CANON-1`, `CANON-9`).

A partial is the bits of the greatest so far, as big-endian bytes of the dtype's width.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce
from typing import Final

from probatum.canon.arith.formats import FORMATS, is_nan, nan
from probatum.canon.graph.binding import BoundNode
from probatum.canon.graph.sizes import Size
from probatum.canon.graph.types import CanonDtype, TensorType
from probatum.canon.primitives.interface import (
    BLOCK_TERMS,
    Attributes,
    Fold,
    PartialReading,
    Read,
    Reading,
)
from probatum.canon.primitives.maps.arithmetic import compute_maximum, compute_minimum
from probatum.canon.primitives.operands import (
    FLOATS,
    NUMBERS,
    WIDTHS,
    check_attributes,
    check_dtype,
    check_operands,
    split_last,
)
from probatum.canon.primitives.places import get_block
from probatum.canon.primitives.rows import RowFold
from probatum.errors import Refusal

__all__ = ["EXTREMES", "ReduceExtreme", "decode_extreme", "encode_extreme", "find_extreme"]

COMPARISON_WORK: Final = 16


def find_extreme(dtype: CanonDtype, elements: Iterable[int], *, greatest: bool) -> int:
    """Find the greatest or least of at least one element; NaN wins, as the one NaN."""
    compute = compute_maximum if greatest else compute_minimum
    found = reduce(lambda one, two: compute(dtype, (one, two)), elements)
    if dtype in FLOATS and is_nan(FORMATS[dtype], found):
        return nan(FORMATS[dtype])
    return found


def encode_extreme(dtype: CanonDtype, bits: int) -> bytes:
    """Write a partial."""
    return bits.to_bytes(WIDTHS[dtype] // 8, "big")


def decode_extreme(dtype: CanonDtype, partial: bytes) -> int:
    """Read a partial. Raises Refusal `canon.bad-partial`."""
    bits = int.from_bytes(partial, "big")
    if len(partial) != WIDTHS[dtype] // 8 or (
        dtype in FLOATS and is_nan(FORMATS[dtype], bits) and bits != nan(FORMATS[dtype])
    ):
        raise Refusal("canon.bad-partial", f"these bytes are no greatest or least {dtype}")
    return bits


@dataclass(frozen=True, slots=True, kw_only=True)
class ReduceExtreme(RowFold):
    """Greatest or least of a row that is not empty; NaN wins."""

    operator: str
    greatest: bool
    version: int = 1

    def infer(
        self,
        inputs: tuple[TensorType, ...],
        attributes: Attributes,
        dtype: CanonDtype | None = None,
    ) -> TensorType:
        """Compute the type; see `Typed`."""
        (x,) = check_operands(self.operator, inputs, NUMBERS)
        check_attributes(self.operator, attributes)
        rows, _ = split_last(self.operator, x)
        return TensorType(check_dtype(self.operator, x.dtype, dtype), (*rows, 1))

    def list_conditions(self, inputs: tuple[TensorType, ...], _: Attributes) -> tuple[Size, ...]:
        """The axis is not empty."""
        return (inputs[0].shape[-1] - 1,)

    def fold(self, node: BoundNode, element: int, block: int, _: tuple[int, ...]) -> PartialReading:
        """Find the greatest or least of one block."""
        (x,) = node.inputs
        terms = get_block(x.shape[-1], block)
        bits = yield (Read(0, element * x.shape[-1] + terms.start, len(terms)),)
        return encode_extreme(x.dtype, find_extreme(x.dtype, bits, greatest=self.greatest))

    def combine(self, node: BoundNode, left: bytes, right: bytes) -> bytes:
        """Find the greater or lesser of two."""
        dtype = node.output.dtype
        both = (decode_extreme(dtype, left), decode_extreme(dtype, right))
        return encode_extreme(dtype, find_extreme(dtype, both, greatest=self.greatest))

    def finish(self, node: BoundNode, _: int, partial: bytes, __: tuple[int, ...]) -> Reading:
        """Take the bits as they are."""
        yield from ()
        return decode_extreme(node.output.dtype, partial)

    def measure(self, _: BoundNode) -> int:
        """1,024 comparisons."""
        return COMPARISON_WORK * BLOCK_TERMS


EXTREMES: Final[tuple[Fold, ...]] = (
    ReduceExtreme(operator="ReduceMax", greatest=True),
    ReduceExtreme(operator="ReduceMin", greatest=False),
)
"""All of this page."""
