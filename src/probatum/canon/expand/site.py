"""Where an operator stands while it is expanded: its inputs, its attributes, the builder.

Shape arithmetic that many operators share lives here too. Must not know operators.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from probatum.canon.expand.builder import Builder
from probatum.canon.expand.loading import Node
from probatum.canon.expand.values import (
    Array,
    Known,
    Sizes,
    Value,
    get_dtype,
    get_storage,
    get_type,
    list_sizes,
    make_known,
)
from probatum.canon.graph.sizes import (
    Expr,
    Quotient,
    Size,
    Term,
    bound_size,
    multiply_sizes,
    show_size,
)
from probatum.canon.graph.types import DTYPES, CanonDtype
from probatum.errors import Refusal

__all__ = ["Expansion", "Site", "divide_sizes"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """One node of the file, about to be expanded.

    Attributes:
        build: Where primitives go.
        node: The operator.
        inputs: Its inputs; None where one is left out.
    """

    build: Builder
    node: Node
    inputs: tuple[Value | None, ...]

    def get(self, place: int) -> Value:
        """Get an input that must be there. Raises Refusal `canon.missing-input`."""
        value = self.find(place)
        if value is None:
            raise Refusal("canon.missing-input", f"{self.node.label} lacks its input {place}")
        return value

    def find(self, place: int) -> Value | None:
        """Get an input, or None where it is left out."""
        return self.inputs[place] if place < len(self.inputs) else None

    def get_known(self, place: int, what: str) -> Array:
        """Get the elements of an input that must be a constant.

        Raises:
            Refusal: `canon.not-static`.
        """
        value = self.get(place)
        if not isinstance(value, Known):
            raise Refusal("canon.not-static", f"{what} of {self.node.label} must be a constant")
        return value.array

    def get_sizes(self, place: int, what: str) -> tuple[Size, ...]:
        """Get the sizes that an input holds. Raises Refusal `canon.not-static`."""
        return list_sizes(self.get(place), f"{what} of {self.node.label}")

    def get_ints(self, place: int, what: str) -> tuple[int, ...]:
        """Get the integers that an input holds, none of which may depend on dims.

        Raises:
            Refusal: `canon.not-static`, `canon.dim-must-be-fixed`.
        """
        return tuple(self.fix(size, what) for size in self.get_sizes(place, what))

    def fix(self, size: Size, what: str) -> int:
        """Take a size that must not depend on dims. Raises Refusal `canon.dim-must-be-fixed`."""
        if isinstance(size, Expr):
            raise Refusal(
                "canon.dim-must-be-fixed",
                f"{what} of {self.node.label} is {show_size(size)}",
                hint="admit one value only for the dims that it depends on",
            )
        return size

    def get_attribute(self, name: str, default: Any = None) -> Any:
        """Get an attribute of the file's node."""
        return self.node.attributes.get(name, default)

    def get_shape(self, value: Value) -> tuple[Size, ...]:
        """Get a value's shape."""
        return get_type(value).shape

    def get_axis(self, axis: int, rank: int) -> int:
        """Count an axis from the front. Raises Refusal `canon.bad-axis`."""
        if not -rank <= axis < max(rank, 1):
            raise Refusal("canon.bad-axis", f"{self.node.label} has no axis {axis}")
        return axis % rank if rank else 0

    def make_scalar(self, value: float, like: Value) -> Known:
        """Make a constant scalar of another value's element type: the number, rounded once."""
        dtype = get_dtype(like)
        if dtype == "bfloat16":
            raise Refusal("canon.bad-dtype", f"{self.node.label} is not admitted for bfloat16")
        return make_known(dtype, np.asarray(value, dtype=get_storage(dtype)))

    def require_float(self, value: Value) -> CanonDtype:
        """Check that a value is of a float type. Raises Refusal `canon.wrong-operands`."""
        dtype = get_dtype(value)
        if DTYPES[dtype].kind != "float":
            raise Refusal("canon.wrong-operands", f"{self.node.label} reads {dtype}, not floats")
        return dtype

    def pick_less(self, one: Size, two: Size) -> Size:
        """Take the lesser of two sizes, the same one whatever the dims are.

        Raises:
            Refusal: `canon.shape-undecided`.
        """
        low, high = bound_size(two - one, self.build.ranges)
        if low >= 0:
            return one
        if high <= 0:
            return two
        raise Refusal(
            "canon.shape-undecided",
            f"{self.node.label}: whether {show_size(one)} exceeds {show_size(two)} depends on dims",
            hint="narrow the dims' ranges",
        )

    def move_last(self, value: Value, axis: int) -> Value:
        """Transpose so that an axis is the last one."""
        rank = len(self.get_shape(value))
        perm = (*(one for one in range(rank) if one != axis), axis)
        return self.build.emit("Transpose", value, perm=perm)

    def move_back(self, value: Value, axis: int) -> Value:
        """Undo `move_last`."""
        rank = len(self.get_shape(value))
        order = [*(one for one in range(rank) if one != axis), axis]
        perm = tuple(order.index(one) for one in range(rank))
        return self.build.emit("Transpose", value, perm=perm)

    def as_tensor(self, value: Value) -> Value:
        """Make a tensor of sizes; everything else is one already."""
        return self.build.materialise(value) if isinstance(value, Sizes) else value

    def refuse(self, why: str) -> Refusal:
        """Say that this use of the operator is not admitted."""
        return Refusal("canon.not-admitted", f"{self.node.label}: {why}")


Expansion: TypeAlias = Callable[[Site], tuple[Value, ...]]
"""Expands one operator; as many values as it has outputs that are told apart."""


def divide_sizes(whole: tuple[Size, ...], parts: tuple[Size, ...]) -> Size:
    """Divide a product of sizes by another that divides it whatever the dims are.

    Raises:
        Refusal: `canon.shape-undecided`.
    """
    left, right = list(whole), []
    for part in parts:
        if part in left:
            left.remove(part)
        else:
            right.append(part)
    numerator, divisor = multiply_sizes(tuple(left)), multiply_sizes(tuple(right))
    if isinstance(divisor, int):
        quotient = numerator // divisor if divisor > 0 else 0
    elif isinstance(numerator, Expr) and len(divisor.terms) == 1:
        quotient = _divide_by_term(numerator, divisor)
    else:
        quotient = 0
    if quotient * divisor != numerator:
        raise Refusal(
            "canon.shape-undecided",
            f"{show_size(numerator)} is not divided by {show_size(divisor)} whatever the dims are",
            hint="admit one value only for some of these dims",
        )
    return quotient


def _divide_by_term(numerator: Expr, divisor: Expr) -> Size:
    term = divisor.terms[0]
    total: Size = 0
    for one in numerator.terms:
        factors = list(one.factors)
        for factor in term.factors:
            if factor not in factors:
                return 0
            factors.remove(factor)
        part: Size = one.coefficient // term.coefficient
        for factor in factors:
            part = part * _as_size(factor)
        total = total + part
    return total


def _as_size(factor: str | Quotient) -> Expr:
    return Expr(terms=(Term(coefficient=1, factors=(factor,)),))
