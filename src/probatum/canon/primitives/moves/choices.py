"""Moves whose place is read first: Gather, GatherElements, Where (`CANON-8`, `CANON-9`).

The first stage reads an index or a condition, the second the one element that it chooses. Must not
know what elements mean.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from probatum.canon.arith.formats import to_signed
from probatum.canon.graph.binding import BoundNode
from probatum.canon.graph.sizes import Size
from probatum.canon.graph.types import DTYPES, CanonDtype, TensorType
from probatum.canon.primitives.interface import Attributes, Direct, Read, ReadBound, Reading
from probatum.canon.primitives.moves.layout import MOVE_WORK
from probatum.canon.primitives.operands import (
    BOOL,
    INDICES,
    WIDTHS,
    broadcast,
    check_attributes,
    check_dtype,
    check_operands,
    get_literal,
    refuse_operands,
)
from probatum.canon.primitives.places import (
    find_broadcast,
    find_place,
    list_coordinates,
    wrap_index,
)
from probatum.protocol import limits

__all__ = ["CHOICES", "Gather", "Where"]

ANY: Final = frozenset(DTYPES)


@dataclass(frozen=True, slots=True, kw_only=True)
class Gather:
    """Elements of x at places that another tensor holds, along one axis.

    Attributes:
        element_wise: One index an element (GatherElements), else one a slice (Gather).
    """

    operator: str
    element_wise: bool
    version: int = 1

    def infer(
        self,
        inputs: tuple[TensorType, ...],
        attributes: Attributes,
        dtype: CanonDtype | None = None,
    ) -> TensorType:
        """Compute the type; see `Typed`."""
        x, indices = check_operands(self.operator, inputs, ANY, INDICES)
        check_attributes(self.operator, attributes, "axis")
        check_dtype(self.operator, x.dtype, dtype)
        axis = get_literal(self.operator, attributes, "axis", 0, len(x.shape) - 1)
        before, after = x.shape[:axis], x.shape[axis + 1 :]
        if not self.element_wise:
            shape = (*before, *indices.shape, *after)
            if len(shape) > limits.TENSOR_RANK:
                raise refuse_operands(f"a tensor has at most {limits.TENSOR_RANK} dimensions")
            return TensorType(x.dtype, shape)
        if (indices.shape[:axis], indices.shape[axis + 1 :]) != (before, after) or len(
            indices.shape
        ) != len(x.shape):
            raise refuse_operands("GatherElements reads tensors that differ along its axis alone")
        return TensorType(x.dtype, indices.shape)

    def list_conditions(self, _: tuple[TensorType, ...], __: Attributes) -> tuple[Size, ...]:
        """None: an index out of range gives all-zero bits."""
        return ()

    def judge(self, node: BoundNode, element: int) -> Reading:
        """Read the index, then what it names; nothing where it is out of range."""
        x, indices = node.inputs
        axis = node.get_int("axis")
        place = list_coordinates(node.output.shape, element)
        if self.element_wise:
            before, after, at = place[:axis], place[axis + 1 :], place
        else:
            end = axis + len(indices.shape)
            before, after, at = place[:axis], place[end:], place[axis:end]
        (bits,) = yield (Read(1, find_place(indices.shape, at)),)
        chosen = wrap_index(to_signed(WIDTHS[indices.dtype], bits), x.shape[axis])
        if chosen is None:
            return 0
        (copied,) = yield (Read(0, find_place(x.shape, (*before, chosen, *after))),)
        return copied

    def bound_reads(self, _: BoundNode) -> tuple[ReadBound, ...]:
        """One index, one element."""
        return (ReadBound(1, 1), ReadBound(0, 1))

    def count_operations(self, _: BoundNode) -> int:
        """Moves compute nothing."""
        return 0

    def measure(self, _: BoundNode) -> int:
        """Finding two places."""
        return 2 * MOVE_WORK


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Elements of x where a condition holds, else of y; all three are broadcast."""

    operator: str = "Where"
    version: int = 1

    def infer(
        self,
        inputs: tuple[TensorType, ...],
        attributes: Attributes,
        dtype: CanonDtype | None = None,
    ) -> TensorType:
        """Compute the type; see `Typed`."""
        _, x, y = check_operands("Where", inputs, BOOL, ANY, ANY)
        check_attributes("Where", attributes)
        if x.dtype != y.dtype:
            raise refuse_operands(f"Where reads {x.dtype} and {y.dtype}; both are to be of one")
        shape = broadcast("Where", *(one.shape for one in inputs))
        return TensorType(check_dtype("Where", x.dtype, dtype), shape)

    def list_conditions(self, _: tuple[TensorType, ...], __: Attributes) -> tuple[Size, ...]:
        """None."""
        return ()

    def judge(self, node: BoundNode, element: int) -> Reading:
        """Read the condition, then the one that it chooses."""
        coordinates = list_coordinates(node.output.shape, element)
        places = [find_broadcast(one.shape, coordinates) for one in node.inputs]
        (condition,) = yield (Read(0, places[0]),)
        source = 1 if condition else 2
        (bits,) = yield (Read(source, places[source]),)
        return bits

    def bound_reads(self, node: BoundNode) -> tuple[ReadBound, ...]:
        """The condition and the larger of the two."""
        return (
            ReadBound(0, 1),
            ReadBound(1 if node.inputs[1].count > node.inputs[2].count else 2, 1),
        )

    def count_operations(self, _: BoundNode) -> int:
        """Moves compute nothing."""
        return 0

    def measure(self, _: BoundNode) -> int:
        """Finding three places."""
        return 3 * MOVE_WORK


CHOICES: Final[tuple[Direct, ...]] = (
    Gather(operator="Gather", element_wise=False),
    Gather(operator="GatherElements", element_wise=True),
    Where(),
)
"""All of this page."""
