"""Maps of numbers: + - * / mod, least and greatest, signs and roundings to integers (`CANON-1`).

Floats as IEEE 754, rounded once; integers wrap. Every pair of bits has a result (`CANON-8`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from probatum.canon.arith import basic
from probatum.canon.arith.formats import (
    FORMATS,
    Format,
    compute_order,
    decode,
    from_signed,
    is_nan,
    nan,
    one,
    to_signed,
    zero,
)
from probatum.canon.arith.rounding import round_dyadic
from probatum.canon.graph.types import CanonDtype
from probatum.canon.primitives.interface import Direct
from probatum.canon.primitives.maps.elementwise import Compute, ElementMap
from probatum.canon.primitives.operands import (
    FLOATS,
    INTS,
    NUMBERS,
    SIGNED,
    WIDTHS,
    is_signed,
)

__all__ = ["ARITHMETIC", "compute_maximum", "compute_minimum", "read_int"]

WORK: Final = 512
"""Float64 numbers are up to 2,100 bits apart: adding them is a few dozen words of work."""


def read_int(dtype: str, bits: int) -> int:
    """Read an integer's bits, signed or not."""
    return to_signed(WIDTHS[dtype], bits) if is_signed(dtype) else bits


def _choose(floats: Callable[[Format, int, int], int], ints: Callable[[int, int], int]) -> Compute:
    """Make a function of two numbers out of one for floats and one for integers, which wraps."""

    def compute(dtype: CanonDtype, bits: tuple[int, ...]) -> int:
        left, right = bits
        if dtype in FLOATS:
            return floats(FORMATS[dtype], left, right)
        return from_signed(WIDTHS[dtype], ints(read_int(dtype, left), read_int(dtype, right)))

    return compute


def _divide_ints(left: int, right: int) -> int:
    """Divide, toward zero; by zero it is zero."""
    if right == 0:
        return 0
    quotient = abs(left) // abs(right)
    return -quotient if (left < 0) != (right < 0) else quotient


def _modulo_ints(left: int, right: int) -> int:
    """Take the remainder with the divisor's sign; by zero it is zero."""
    return left % right if right else 0


def _pick(*, greatest: bool) -> Callable[[Format, int, int], int]:
    def pick(fmt: Format, left: int, right: int) -> int:
        if is_nan(fmt, left) or is_nan(fmt, right):
            return nan(fmt)
        one_key, two_key = compute_order(fmt, left), compute_order(fmt, right)
        if one_key == two_key:  # the same bits, or zeros of two signs
            return left & right if greatest else left | right
        return left if (one_key > two_key) == greatest else right

    return pick


compute_maximum: Final = _choose(_pick(greatest=True), max)
"""The greater of two: NaN wins, +0 is above -0."""
compute_minimum: Final = _choose(_pick(greatest=False), min)
"""The lesser of two: NaN wins, -0 is below +0."""


def _each(
    floats: Callable[[Format, int], int], ints: Callable[[int], int] | None = None
) -> Compute:
    """Make a function of one number; NaN gives the one NaN."""

    def compute(dtype: CanonDtype, bits: tuple[int, ...]) -> int:
        (x,) = bits
        if dtype in FLOATS:
            fmt = FORMATS[dtype]
            return nan(fmt) if is_nan(fmt, x) else floats(fmt, x)
        assert ints is not None, "a map of floats alone is asked for integers"
        return from_signed(WIDTHS[dtype], ints(read_int(dtype, x)))

    return compute


def _sign_float(fmt: Format, bits: int) -> int:
    negative = bits >= fmt.sign_bit
    return zero(fmt) if bits & (fmt.sign_bit - 1) == 0 else one(fmt, negative)


def _relu_float(fmt: Format, bits: int) -> int:
    """Keep -0: it is not below zero."""
    return zero(fmt) if bits > fmt.sign_bit else bits


def _round_by(divide: Callable[[int, int], int]) -> Callable[[Format, int], int]:
    """Make a rounding to an integer; a zero result keeps the sign."""

    def compute(fmt: Format, bits: int) -> int:
        x = decode(fmt, bits)
        if x.kind != "finite" or x.exponent >= 0:
            return bits
        whole = divide(x.signed, -x.exponent)
        return round_dyadic(fmt, whole) if whole else zero(fmt, x.negative)

    return compute


def _floor(mantissa: int, shift: int) -> int:
    return mantissa >> shift


def _ceil(mantissa: int, shift: int) -> int:
    return -(-mantissa >> shift)


def _round_half_even(mantissa: int, shift: int) -> int:
    whole, twice = mantissa >> shift, (mantissa & ((1 << shift) - 1)) << 1
    return whole + (twice > 1 << shift or (twice == 1 << shift and whole & 1))


def _map(operator: str, operands: int, admitted: frozenset[str], compute: Compute) -> ElementMap:
    return ElementMap(
        operator=operator, operands=operands, admitted=admitted, compute=compute, work=WORK
    )


ARITHMETIC: Final[tuple[Direct, ...]] = (
    _map("Add", 2, NUMBERS, _choose(basic.add, lambda x, y: x + y)),
    _map("Sub", 2, NUMBERS, _choose(basic.subtract, lambda x, y: x - y)),
    _map("Mul", 2, NUMBERS, _choose(basic.multiply, lambda x, y: x * y)),
    _map("Div", 2, NUMBERS, _choose(basic.divide, _divide_ints)),
    _map("Mod", 2, INTS, _choose(basic.divide, _modulo_ints)),
    _map("Max", 2, NUMBERS, compute_maximum),
    _map("Min", 2, NUMBERS, compute_minimum),
    _map("Neg", 1, SIGNED | FLOATS, _each(lambda fmt, x: x ^ fmt.sign_bit, lambda x: -x)),
    _map("Abs", 1, NUMBERS, _each(lambda fmt, x: x & (fmt.sign_bit - 1), abs)),
    _map("Sign", 1, NUMBERS, _each(_sign_float, lambda x: (x > 0) - (x < 0))),
    _map("Relu", 1, SIGNED | FLOATS, _each(_relu_float, lambda x: max(x, 0))),
    _map("Floor", 1, FLOATS, _each(_round_by(_floor))),
    _map("Ceil", 1, FLOATS, _each(_round_by(_ceil))),
    _map("Round", 1, FLOATS, _each(_round_by(_round_half_even))),
)
"""All of this page."""
