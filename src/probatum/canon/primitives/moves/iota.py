"""Iota: start + i times step, out of nothing (`CANON-1`)."""

from __future__ import annotations

from dataclasses import dataclass

from probatum.canon.arith.formats import from_signed
from probatum.canon.graph.binding import BoundNode
from probatum.canon.graph.sizes import Size
from probatum.canon.graph.types import CanonDtype, TensorType
from probatum.canon.primitives.interface import Attributes, ReadBound, Reading
from probatum.canon.primitives.operands import (
    check_attributes,
    check_dtype,
    check_operands,
    get_sizes,
)

__all__ = ["Iota"]

INT64_BITS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Iota:
    """Integers at equal distances, int64; beyond its range they wrap."""

    operator: str = "Iota"
    version: int = 1

    def infer(
        self,
        inputs: tuple[TensorType, ...],
        attributes: Attributes,
        dtype: CanonDtype | None = None,
    ) -> TensorType:
        """Compute the type; see `Typed`."""
        check_operands("Iota", inputs)
        check_attributes("Iota", attributes, "start", "step", "shape")
        for name in ("start", "step"):
            get_sizes("Iota", attributes, name, 1)
        shape = get_sizes("Iota", attributes, "shape", 1)
        return TensorType(check_dtype("Iota", "int64", dtype), shape)

    def list_conditions(self, _: tuple[TensorType, ...], __: Attributes) -> tuple[Size, ...]:
        """None."""
        return ()

    def judge(self, node: BoundNode, element: int) -> Reading:
        """Compute start + element * step."""
        yield from ()
        return from_signed(INT64_BITS, node.get_int("start") + element * node.get_int("step"))

    def bound_reads(self, _: BoundNode) -> tuple[ReadBound, ...]:
        """Nothing."""
        return ()

    def count_operations(self, node: BoundNode) -> int:
        """One multiply-add an element."""
        return node.output.count

    def measure(self, _: BoundNode) -> int:
        """One multiply-add and its surroundings."""
        return 8
