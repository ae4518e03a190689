"""ArgMax and ArgMin over the last axis, of which size 1 is kept (`CANON-1`, `CANON-9`).

A partial is the key of the best so far and its index in the row: 9 bytes, two's complement, and 8
bytes, both big-endian.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
    NUMBERS,
    check_attributes,
    check_dtype,
    check_operands,
    get_literal,
    split_last,
)
from probatum.canon.primitives.orders.keys import compute_key
from probatum.canon.primitives.places import get_block
from probatum.canon.primitives.rows import RowFold
from probatum.errors import Refusal

__all__ = ["ARGUMENTS", "ArgExtreme"]

KEY_BYTES: Final = 9
INDEX_BYTES: Final = 8
COMPARISON_WORK: Final = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class ArgExtreme(RowFold):
    """The index of the greatest or least; ties go to the first, or to the last if asked.

    NaN is above all: the greatest where there is one, the least only where all are.
    """

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
        check_attributes(self.operator, attributes, "select_last")
        get_literal(self.operator, attributes, "select_last", 0, 1)
        rows, _ = split_last(self.operator, x)
        return TensorType(check_dtype(self.operator, "int64", dtype), (*rows, 1))

    def list_conditions(self, inputs: tuple[TensorType, ...], _: Attributes) -> tuple[Size, ...]:
        """The axis is not empty."""
        return (inputs[0].shape[-1] - 1,)

    def fold(self, node: BoundNode, element: int, block: int, _: tuple[int, ...]) -> PartialReading:
        """Find the best of one block."""
        (x,) = node.inputs
        terms = get_block(x.shape[-1], block)
        bits = yield (Read(0, element * x.shape[-1] + terms.start, len(terms)),)
        keys = [compute_key(x.dtype, one) for one in bits]
        best = max(keys) if self.greatest else min(keys)
        at = len(keys) - 1 - keys[::-1].index(best) if _takes_last(node) else keys.index(best)
        return _encode(best, terms.start + at)

    def combine(self, node: BoundNode, left: bytes, right: bytes) -> bytes:
        """Keep the better; a tie goes to the left, or to the right if asked."""
        (one, _), (two, _) = _decode(left), _decode(right)
        if one == two:
            return right if _takes_last(node) else left
        return left if (one > two) == self.greatest else right

    def finish(self, node: BoundNode, _: int, partial: bytes, __: tuple[int, ...]) -> Reading:
        """Take the index."""
        yield from ()
        index = _decode(partial)[1]
        if index >= node.inputs[0].shape[-1]:
            raise Refusal("canon.bad-partial", "an index lies beyond its row")
        return index

    def measure(self, _: BoundNode) -> int:
        """1,024 comparisons."""
        return COMPARISON_WORK * BLOCK_TERMS


def _takes_last(node: BoundNode) -> bool:
    return node.get_int("select_last") == 1


def _encode(key: int, index: int) -> bytes:
    return key.to_bytes(KEY_BYTES, "big", signed=True) + index.to_bytes(INDEX_BYTES, "big")


def _decode(partial: bytes) -> tuple[int, int]:
    if len(partial) != KEY_BYTES + INDEX_BYTES:
        raise Refusal("canon.bad-partial", "these bytes are no key and index")
    key = int.from_bytes(partial[:KEY_BYTES], "big", signed=True)
    return key, int.from_bytes(partial[KEY_BYTES:], "big")


ARGUMENTS: Final[tuple[Fold, ...]] = (
    ArgExtreme(operator="ArgMax", greatest=True),
    ArgExtreme(operator="ArgMin", greatest=False),
)
"""All of this page."""
