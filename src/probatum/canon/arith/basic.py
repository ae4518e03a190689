"""Addition to square root, and conversion between formats: IEEE 754's, from integers (`CANON-1`).

Special values are those of IEEE 754, with the one NaN. Must not know integers' dtypes.
"""

from __future__ import annotations

from probatum.canon.arith.formats import Format, decode, inf, nan, zero
from probatum.canon.arith.rounding import round_dyadic, round_ratio, round_sqrt

__all__ = ["add", "convert", "divide", "multiply", "sqrt", "subtract"]


def add(fmt: Format, left: int, right: int) -> int:
    """Compute x + y. An exact zero is +0, but (-0) + (-0) is -0."""
    x, y = decode(fmt, left), decode(fmt, right)
    if "nan" in (x.kind, y.kind):
        return nan(fmt)
    if x.kind == "inf":
        return nan(fmt) if y.kind == "inf" and x.negative != y.negative else left
    if y.kind == "inf":
        return right
    if x.kind == y.kind == "zero":
        return left & right
    exponent = min(x.exponent, y.exponent)
    total = (x.signed << x.exponent - exponent) + (y.signed << y.exponent - exponent)
    return round_dyadic(fmt, total, exponent)


def subtract(fmt: Format, left: int, right: int) -> int:
    """Compute x - y, which is x + (-y)."""
    return add(fmt, left, right ^ fmt.sign_bit)


def multiply(fmt: Format, left: int, right: int) -> int:
    """Compute x·y. A zero times an infinity is NaN."""
    x, y = decode(fmt, left), decode(fmt, right)
    negative = x.negative != y.negative
    kinds = {x.kind, y.kind}
    if "nan" in kinds or kinds == {"inf", "zero"}:
        return nan(fmt)
    if "inf" in kinds:
        return inf(fmt, negative)
    if "zero" in kinds:
        return zero(fmt, negative)
    return round_dyadic(fmt, x.signed * y.signed, x.exponent + y.exponent)


def divide(fmt: Format, left: int, right: int) -> int:
    """Compute x/y. 0/0 and inf/inf are NaN; anything else over zero is infinite."""
    x, y = decode(fmt, left), decode(fmt, right)
    negative = x.negative != y.negative
    if "nan" in (x.kind, y.kind) or x.kind == y.kind != "finite":
        return nan(fmt)
    if x.kind == "inf" or y.kind == "zero":
        return inf(fmt, negative)
    if x.kind == "zero" or y.kind == "inf":
        return zero(fmt, negative)
    numerator = -x.mantissa if negative else x.mantissa
    return round_ratio(fmt, numerator, y.mantissa, x.exponent - y.exponent)


def sqrt(fmt: Format, bits: int) -> int:
    """Compute the square root. At -0 it is -0, below zero NaN."""
    x = decode(fmt, bits)
    if x.kind == "zero":
        return bits
    if x.kind == "nan" or x.negative:
        return nan(fmt)
    if x.kind == "inf":
        return bits
    return round_sqrt(fmt, x.mantissa, x.exponent)


def convert(source: Format, target: Format, bits: int) -> int:
    """Round an element of one format to another; NaN becomes the one NaN."""
    x = decode(source, bits)
    if x.kind == "nan":
        return nan(target)
    if x.kind == "inf":
        return inf(target, x.negative)
    if x.kind == "zero":
        return zero(target, x.negative)
    return round_dyadic(target, x.signed, x.exponent)
