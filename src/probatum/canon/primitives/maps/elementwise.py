"""The frame of all maps: operands are broadcast, one element of each gives one (`CANON-9`).

A page of functions lists what it adds as `ElementMap` values. Must not know any function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from probatum.canon.graph.binding import BoundNode
from probatum.canon.graph.sizes import Size
from probatum.canon.graph.types import CanonDtype, TensorType
from probatum.canon.primitives.interface import Attributes, Read, ReadBound, Reading
from probatum.canon.primitives.operands import (
    broadcast,
    check_attributes,
    check_dtype,
    check_operands,
    refuse_operands,
)
from probatum.canon.primitives.places import find_broadcast, list_coordinates

__all__ = ["Compute", "ElementMap"]

Compute: TypeAlias = Callable[[CanonDtype, tuple[int, ...]], int]
"""Takes the operands' dtype and one element's bits of each; returns the result's bits."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ElementMap:
    """A map of one or two operands of one dtype.

    Attributes:
        operands: How many.
        admitted: Dtypes of the operands.
        compute: The function, total on all bits.
        result: The result's dtype: the operands' own, or ``bool``.
        work: Bound of one call, in 64-bit multiply-adds.
    """

    operator: str
    operands: int
    admitted: frozenset[str]
    compute: Compute
    work: int
    result: Literal["same", "bool"] = "same"
    version: int = 1

    def infer(
        self,
        inputs: tuple[TensorType, ...],
        attributes: Attributes,
        dtype: CanonDtype | None = None,
    ) -> TensorType:
        """Compute the type; see `Typed`."""
        check_operands(self.operator, inputs, *[self.admitted] * self.operands)
        check_attributes(self.operator, attributes)
        if any(one.dtype != inputs[0].dtype for one in inputs):
            raise refuse_operands(f"{self.operator} reads tensors of one dtype")
        computed: CanonDtype = "bool" if self.result == "bool" else inputs[0].dtype
        shape = broadcast(self.operator, *(one.shape for one in inputs))
        return TensorType(check_dtype(self.operator, computed, dtype), shape)

    def list_conditions(self, _: tuple[TensorType, ...], __: Attributes) -> tuple[Size, ...]:
        """None."""
        return ()

    def judge(self, node: BoundNode, element: int) -> Reading:
        """Read one element of each operand and compute."""
        coordinates = list_coordinates(node.output.shape, element)
        bits = yield tuple(
            Read(source, find_broadcast(one.shape, coordinates))
            for source, one in enumerate(node.inputs)
        )
        return self.compute(node.inputs[0].dtype, bits)

    def bound_reads(self, _: BoundNode) -> tuple[ReadBound, ...]:
        """One element of each operand."""
        return tuple(ReadBound(source, 1) for source in range(self.operands))

    def count_operations(self, node: BoundNode) -> int:
        """One an element."""
        return node.output.count

    def measure(self, _: BoundNode) -> int:
        """The function's bound and the finding of places."""
        return self.work + 64
