"""Sum and mean over the last axis, of which size 1 is kept (`CANON-1`, `CANON-9`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from probatum.canon.arith import sums
from probatum.canon.arith.formats import FORMATS, nan
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
from probatum.canon.primitives.operands import (
    FLOATS,
    NUMBERS,
    check_attributes,
    check_dtype,
    check_operands,
    split_last,
)
from probatum.canon.primitives.places import get_block
from probatum.canon.primitives.rows import RowFold
from probatum.canon.primitives.sums.totals import finish_elements, sum_elements

__all__ = ["ELEMENT_WORK", "SUMS", "ReduceSum"]

ELEMENT_WORK: Final = 48
"""A float64 lies anywhere in 2,098 bits: 33 words are added to, with room."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReduceSum(RowFold):
    """Sum, or mean, of a row. Of no elements: +0, or NaN.

    Attributes:
        averages: Whether the sum is divided by the number of elements before it is rounded.
    """

    operator: str
    averages: bool
    version: int = 1

    def infer(
        self,
        inputs: tuple[TensorType, ...],
        attributes: Attributes,
        dtype: CanonDtype | None = None,
    ) -> TensorType:
        """Compute the type; see `Typed`."""
        (x,) = check_operands(self.operator, inputs, FLOATS if self.averages else NUMBERS)
        check_attributes(self.operator, attributes)
        rows, _ = split_last(self.operator, x)
        return TensorType(check_dtype(self.operator, x.dtype, dtype), (*rows, 1))

    def list_conditions(self, _: tuple[TensorType, ...], __: Attributes) -> tuple[Size, ...]:
        """None."""
        return ()

    def fold(self, node: BoundNode, element: int, block: int, _: tuple[int, ...]) -> PartialReading:
        """Sum one block."""
        (x,) = node.inputs
        terms = get_block(x.shape[-1], block)
        bits: tuple[int, ...] = ()
        if terms:
            bits = yield (Read(0, element * x.shape[-1] + terms.start, len(terms)),)
        return sum_elements(x.dtype, bits)

    def combine(self, _: BoundNode, left: bytes, right: bytes) -> bytes:
        """Add two partial sums."""
        return sums.combine(left, right)

    def finish(self, node: BoundNode, _: int, partial: bytes, __: tuple[int, ...]) -> Reading:
        """Round the sum or the mean, once."""
        yield from ()
        x = node.inputs[0]
        if not self.averages:
            return finish_elements(x.dtype, partial)
        fmt = FORMATS[x.dtype]
        return sums.finish_mean(fmt, partial, x.shape[-1]) if x.shape[-1] else nan(fmt)

    def measure(self, _: BoundNode) -> int:
        """1,024 elements, each added to a long integer."""
        return ELEMENT_WORK * BLOCK_TERMS


SUMS: Final[tuple[Fold, ...]] = (
    ReduceSum(operator="ReduceSum", averages=False),
    ReduceSum(operator="ReduceMean", averages=True),
)
"""All of this page."""
