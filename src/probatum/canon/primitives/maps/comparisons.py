"""Maps to bool: comparisons, logic, IsNan (`CANON-1`).

NaN compares false, the zeros are equal. A bool is true where its bits are not 0.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from probatum.canon.arith.formats import FORMATS, compute_order, is_nan
from probatum.canon.graph.types import DTYPES, CanonDtype
from probatum.canon.primitives.interface import Direct
from probatum.canon.primitives.maps.arithmetic import read_int
from probatum.canon.primitives.maps.elementwise import Compute, ElementMap
from probatum.canon.primitives.operands import BOOL, FLOATS, NUMBERS

__all__ = ["COMPARISONS"]

WORK: Final = 16


def _compare(holds: Callable[[int, int], bool]) -> Compute:
    def compute(dtype: CanonDtype, bits: tuple[int, ...]) -> int:
        left, right = bits
        if dtype in FLOATS:
            fmt = FORMATS[dtype]
            if is_nan(fmt, left) or is_nan(fmt, right):
                return 0
            return int(holds(compute_order(fmt, left), compute_order(fmt, right)))
        if dtype == "bool":
            return int(holds(int(left != 0), int(right != 0)))
        return int(holds(read_int(dtype, left), read_int(dtype, right)))

    return compute


def _combine(holds: Callable[[bool, bool], bool]) -> Compute:
    def compute(_: CanonDtype, bits: tuple[int, ...]) -> int:
        left, right = bits
        return int(holds(left != 0, right != 0))

    return compute


def _compute_not(_: CanonDtype, bits: tuple[int, ...]) -> int:
    return int(bits[0] == 0)


def _compute_is_nan(dtype: CanonDtype, bits: tuple[int, ...]) -> int:
    return int(is_nan(FORMATS[dtype], bits[0]))


def _map(operator: str, operands: int, admitted: frozenset[str], compute: Compute) -> ElementMap:
    return ElementMap(
        operator=operator,
        operands=operands,
        admitted=admitted,
        compute=compute,
        work=WORK,
        result="bool",
    )


COMPARISONS: Final[tuple[Direct, ...]] = (
    _map("Equal", 2, frozenset(DTYPES), _compare(lambda x, y: x == y)),
    _map("Less", 2, NUMBERS, _compare(lambda x, y: x < y)),
    _map("LessOrEqual", 2, NUMBERS, _compare(lambda x, y: x <= y)),
    _map("Greater", 2, NUMBERS, _compare(lambda x, y: x > y)),
    _map("GreaterOrEqual", 2, NUMBERS, _compare(lambda x, y: x >= y)),
    _map("And", 2, BOOL, _combine(lambda x, y: x and y)),
    _map("Or", 2, BOOL, _combine(lambda x, y: x or y)),
    _map("Xor", 2, BOOL, _combine(lambda x, y: x != y)),
    _map("Not", 1, BOOL, _compute_not),
    _map("IsNan", 1, FLOATS, _compute_is_nan),
)
"""All of this page."""
