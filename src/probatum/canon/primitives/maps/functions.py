"""Maps by functions of real numbers, rounded once: roots, exponentials, circles (`CANON-1`).

The functions are `canon.arith`'s; here they become primitives.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from probatum.canon.arith import basic, functions, powers
from probatum.canon.arith.formats import FORMATS, Format
from probatum.canon.graph.types import CanonDtype
from probatum.canon.primitives.interface import Direct
from probatum.canon.primitives.maps.elementwise import Compute, ElementMap
from probatum.canon.primitives.operands import FLOATS

__all__ = ["FUNCTIONS"]

ROOT_WORK: Final = 1 << 10
FUNCTION_WORK: Final = 1 << 24
"""At the cap of 4,096 bits (64 words): fewer than 4,096 products of 64 by 64 words."""


def _apply(function: Callable[[Format, int], int]) -> Compute:
    def compute(dtype: CanonDtype, bits: tuple[int, ...]) -> int:
        return function(FORMATS[dtype], bits[0])

    return compute


def _compute_power(dtype: CanonDtype, bits: tuple[int, ...]) -> int:
    return powers.power(FORMATS[dtype], bits[0], bits[1])


def _map(
    operator: str, compute: Compute, *, operands: int = 1, work: int = FUNCTION_WORK
) -> ElementMap:
    return ElementMap(
        operator=operator, operands=operands, admitted=FLOATS, compute=compute, work=work
    )


FUNCTIONS: Final[tuple[Direct, ...]] = (
    _map("Sqrt", _apply(basic.sqrt), work=ROOT_WORK),
    _map("Exp", _apply(functions.exp)),
    _map("Log", _apply(functions.log)),
    _map("Erf", _apply(functions.erf)),
    _map("Tanh", _apply(functions.tanh)),
    _map("Sigmoid", _apply(functions.sigmoid)),
    _map("Sin", _apply(functions.sin)),
    _map("Cos", _apply(functions.cos)),
    _map("Pow", _compute_power, operands=2, work=2 * FUNCTION_WORK),
)
"""All of this page."""
