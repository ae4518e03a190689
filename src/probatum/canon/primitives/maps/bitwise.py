"""Maps of integers' bits: and, or, exclusive or, complement (`CANON-1`).

Every pattern of bits has a result, the same for signed and unsigned (`CANON-8`).
"""

from __future__ import annotations

from collections.abc import Callable
from operator import and_, or_, xor
from typing import Final

from probatum.canon.graph.types import CanonDtype
from probatum.canon.primitives.interface import Direct
from probatum.canon.primitives.maps.elementwise import Compute, ElementMap
from probatum.canon.primitives.operands import INTS, WIDTHS

__all__ = ["BITWISE"]

WORK: Final = 16


def _complement(dtype: CanonDtype, bits: tuple[int, ...]) -> int:
    return bits[0] ^ ((1 << WIDTHS[dtype]) - 1)


def _combine(combine: Callable[[int, int], int]) -> Compute:
    def compute(_: CanonDtype, bits: tuple[int, ...]) -> int:
        left, right = bits
        return combine(left, right)

    return compute


BITWISE: Final[tuple[Direct, ...]] = (
    *(
        ElementMap(
            operator=operator,
            operands=2,
            admitted=INTS,
            compute=_combine(combine),
            work=WORK,
        )
        for operator, combine in (("BitAnd", and_), ("BitOr", or_), ("BitXor", xor))
    ),
    ElementMap(operator="BitNot", operands=1, admitted=INTS, compute=_complement, work=WORK),
)
"""All of this page."""
