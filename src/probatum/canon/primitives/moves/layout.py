"""Moves between fixed places: Reshape, Transpose, Slice, Concat, Expand, Pad (`CANON-1`).

Each element copies the bits of one element, or is all-zero bits where the record points outside.
Must not know what elements mean.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from probatum.canon.graph.binding import BoundNode
from probatum.canon.graph.sizes import Size, multiply_sizes, sum_sizes
from probatum.canon.graph.types import DTYPES, CanonDtype, TensorType
from probatum.canon.primitives.interface import Attributes, Direct, Read, ReadBound, Reading
from probatum.canon.primitives.operands import (
    broadcast,
    check_attributes,
    check_dtype,
    check_operands,
    get_literal,
    get_literals,
    get_sizes,
    get_word,
    refuse_attributes,
    refuse_operands,
)
from probatum.canon.primitives.places import find_broadcast, find_place, list_coordinates
from probatum.protocol import limits

__all__ = ["CONCATENATED", "LAYOUTS", "MOVE_WORK", "Layout"]

CONCATENATED: Final = 64
"""The most tensors that Concat joins."""
MOVE_WORK: Final = 64
"""Of finding one place, in 64-bit multiply-adds."""
ANY: Final = frozenset(DTYPES)


def _infer_reshape(inputs: tuple[TensorType, ...], attributes: Attributes) -> tuple[Size, ...]:
    (x,) = check_operands("Reshape", inputs, ANY)
    check_attributes("Reshape", attributes, "shape")
    shape = get_sizes("Reshape", attributes, "shape")
    if multiply_sizes(shape) != multiply_sizes(x.shape):
        raise refuse_operands("Reshape keeps the number of elements, for all values of the dims")
    return shape


def _find_reshaped(_: BoundNode, element: int) -> Read:
    return Read(0, element)


def _infer_transpose(inputs: tuple[TensorType, ...], attributes: Attributes) -> tuple[Size, ...]:
    (x,) = check_operands("Transpose", inputs, ANY)
    check_attributes("Transpose", attributes, "perm")
    perm = get_literals("Transpose", attributes, "perm", len(x.shape))
    if sorted(perm) != list(range(len(x.shape))):
        raise refuse_attributes("Transpose's perm names every axis once")
    return tuple(x.shape[axis] for axis in perm)


def _find_transposed(node: BoundNode, element: int) -> Read:
    coordinates = [0] * len(node.output.shape)
    found = list_coordinates(node.output.shape, element)
    for axis, coordinate in zip(node.get_ints("perm"), found, strict=True):
        coordinates[axis] = coordinate
    return Read(0, find_place(node.inputs[0].shape, coordinates))


def _infer_slice(inputs: tuple[TensorType, ...], attributes: Attributes) -> tuple[Size, ...]:
    (x,) = check_operands("Slice", inputs, ANY)
    check_attributes("Slice", attributes, "starts", "steps", "shape")
    rank = len(x.shape)
    get_sizes("Slice", attributes, "starts", rank)
    if 0 in get_literals("Slice", attributes, "steps", rank):
        raise refuse_attributes("Slice's steps are not zero")
    return get_sizes("Slice", attributes, "shape", rank)


def _find_sliced(node: BoundNode, element: int) -> Read | None:
    coordinates = [
        start + step * place
        for start, step, place in zip(
            node.get_ints("starts"),
            node.get_ints("steps"),
            list_coordinates(node.output.shape, element),
            strict=True,
        )
    ]
    shape = node.inputs[0].shape
    if not all(0 <= place < size for place, size in zip(coordinates, shape, strict=True)):
        return None
    return Read(0, find_place(shape, coordinates))


def _infer_concat(inputs: tuple[TensorType, ...], attributes: Attributes) -> tuple[Size, ...]:
    if not 1 <= len(inputs) <= CONCATENATED:
        raise refuse_operands(f"Concat reads 1 to {CONCATENATED} tensors")
    check_operands("Concat", inputs, *[frozenset({inputs[0].dtype})] * len(inputs))
    check_attributes("Concat", attributes, "axis")
    shape = inputs[0].shape
    axis = get_literal("Concat", attributes, "axis", 0, len(shape) - 1)
    for one in inputs:
        if (*one.shape[:axis], *one.shape[axis + 1 :]) != (*shape[:axis], *shape[axis + 1 :]):
            raise refuse_operands("Concat reads tensors that differ along its axis alone")
    return (
        *shape[:axis],
        sum_sizes(tuple(one.shape[axis] for one in inputs)),
        *shape[axis + 1 :],
    )


def _find_concatenated(node: BoundNode, element: int) -> Read:
    coordinates = list_coordinates(node.output.shape, element)
    axis = node.get_int("axis")
    for source, one in enumerate(node.inputs):
        if coordinates[axis] < one.shape[axis]:
            return Read(source, find_place(one.shape, coordinates))
        coordinates[axis] -= one.shape[axis]
    raise AssertionError("an element of a Concat is in one of its parts")


def _infer_expand(inputs: tuple[TensorType, ...], attributes: Attributes) -> tuple[Size, ...]:
    (x,) = check_operands("Expand", inputs, ANY)
    check_attributes("Expand", attributes, "shape")
    shape = get_sizes("Expand", attributes, "shape")
    if broadcast("Expand", x.shape, shape) != shape:
        raise refuse_operands("Expand's shape is what it broadcasts to")
    return shape


def _find_expanded(node: BoundNode, element: int) -> Read:
    coordinates = list_coordinates(node.output.shape, element)
    return Read(0, find_broadcast(node.inputs[0].shape, coordinates))


def _infer_pad(inputs: tuple[TensorType, ...], attributes: Attributes) -> tuple[Size, ...]:
    if len(inputs) != 2 or inputs[1] != TensorType(inputs[0].dtype, ()):
        raise refuse_operands("Pad reads a tensor and a scalar of its dtype")
    check_attributes("Pad", attributes, "begins", "mode", "shape")
    get_word("Pad", attributes, "mode", "constant", "edge", "reflect")
    rank = len(inputs[0].shape)
    get_sizes("Pad", attributes, "begins", rank)
    return get_sizes("Pad", attributes, "shape", rank)


def _find_padded(node: BoundNode, element: int) -> Read:
    shape, mode = node.inputs[0].shape, node.get_word("mode")
    found = list_coordinates(node.output.shape, element)
    coordinates = [
        place - begin for place, begin in zip(found, node.get_ints("begins"), strict=True)
    ]
    for axis, (place, size) in enumerate(zip(coordinates, shape, strict=True)):
        if 0 <= place < size:
            continue
        if mode == "constant":
            return Read(1, 0)
        coordinates[axis] = _clamp(place, size) if mode == "edge" else _reflect(place, size)
    return Read(0, find_place(shape, coordinates))


def _clamp(place: int, size: int) -> int:
    return min(max(place, 0), size - 1)


def _reflect(place: int, size: int) -> int:
    """Fold a place back at both ends, which are not repeated."""
    if size == 1:
        return 0
    folded = place % (2 * (size - 1))
    return min(folded, 2 * (size - 1) - folded)


def _require_nothing(_: tuple[TensorType, ...], __: Attributes) -> tuple[Size, ...]:
    return ()


def _require_edges(inputs: tuple[TensorType, ...], attributes: Attributes) -> tuple[Size, ...]:
    if attributes["mode"] == "constant":
        return ()
    return tuple(size - 1 for size in inputs[0].shape)


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A move of which each element has one fixed place, or none.

    Attributes:
        compute_shape: Its shape from its operands.
        find: The one read of an element; None is all-zero bits.
        require: Sizes that must not be negative.
    """

    operator: str
    compute_shape: Callable[[tuple[TensorType, ...], Attributes], tuple[Size, ...]]
    find: Callable[[BoundNode, int], Read | None]
    require: Callable[[tuple[TensorType, ...], Attributes], tuple[Size, ...]] = _require_nothing
    version: int = 1

    def infer(
        self,
        inputs: tuple[TensorType, ...],
        attributes: Attributes,
        dtype: CanonDtype | None = None,
    ) -> TensorType:
        """Compute the type; see `Typed`."""
        shape = self.compute_shape(inputs, attributes)
        if len(shape) > limits.TENSOR_RANK:
            raise refuse_attributes(f"a tensor has at most {limits.TENSOR_RANK} dimensions")
        return TensorType(check_dtype(self.operator, inputs[0].dtype, dtype), shape)

    def list_conditions(
        self, inputs: tuple[TensorType, ...], attributes: Attributes
    ) -> tuple[Size, ...]:
        """List sizes that must not be negative; see `Typed`."""
        return self.require(inputs, attributes)

    def judge(self, node: BoundNode, element: int) -> Reading:
        """Copy one element."""
        read = self.find(node, element)
        if read is None:
            return 0
        (bits,) = yield (read,)
        return bits

    def bound_reads(self, node: BoundNode) -> tuple[ReadBound, ...]:
        """One element of one operand: the largest has the longest path."""
        sizes = [one.count for one in node.inputs]
        return (ReadBound(sizes.index(max(sizes)), 1),)

    def count_operations(self, _: BoundNode) -> int:
        """Moves compute nothing."""
        return 0

    def measure(self, node: BoundNode) -> int:
        """Finding the place: more for more parts."""
        return MOVE_WORK + 8 * len(node.inputs)


LAYOUTS: Final[tuple[Direct, ...]] = (
    Layout(operator="Reshape", compute_shape=_infer_reshape, find=_find_reshaped),
    Layout(operator="Transpose", compute_shape=_infer_transpose, find=_find_transposed),
    Layout(operator="Slice", compute_shape=_infer_slice, find=_find_sliced),
    Layout(operator="Concat", compute_shape=_infer_concat, find=_find_concatenated),
    Layout(operator="Expand", compute_shape=_infer_expand, find=_find_expanded),
    Layout(operator="Pad", compute_shape=_infer_pad, find=_find_padded, require=_require_edges),
)
"""All of this page."""
