"""x to the power of y, rounded once (`CANON-3`): IEEE 754's pow, special values by C99 Annex F.

A power of two floats is rational only where x is a perfect 2**g-th power and y a multiple of
2**-g; those powers are computed in integers, as far as they are short enough to lie on a rounding
boundary. Every other power is irrational, or longer than any boundary: Ziv's loop ends.
"""

from __future__ import annotations

from math import isqrt
from typing import Final

from probatum.canon.arith.formats import Format, Number, decode, inf, nan, one, zero
from probatum.canon.arith.rounding import round_dyadic, round_ratio
from probatum.canon.arith.series import enclose_exp, enclose_log, shift_floor
from probatum.canon.arith.ziv import Enclosure, round_enclosed

__all__ = ["power"]

EXACT_BITS: Final = 2048
"""Powers of at most so many bits are computed exactly: far more than a boundary has, and fast."""


def power(fmt: Format, base: int, exponent: int) -> int:
    """Compute base**exponent.

    Args:
        fmt: The format of both.
        base: Bits of x.
        exponent: Bits of y.
    """
    x, y = decode(fmt, base), decode(fmt, exponent)
    if y.kind == "zero" or base == one(fmt):
        return one(fmt)  # also where the other is NaN
    if "nan" in (x.kind, y.kind):
        return nan(fmt)
    if y.kind == "inf":
        return _raise_to_infinity(fmt, x, y.negative)
    negative = x.negative and _is_odd(y)
    if x.kind in ("zero", "inf"):
        vanishes = (x.kind == "zero") != y.negative
        return zero(fmt, negative) if vanishes else inf(fmt, negative)
    if x.negative and y.exponent < 0 and y.mantissa & ((1 << -y.exponent) - 1):
        return nan(fmt)
    return _raise_positive(fmt, x, y) | zero(fmt, negative)


def _raise_to_infinity(fmt: Format, x: Number, negative: bool) -> int:  # noqa: FBT001
    lead = x.exponent + x.mantissa.bit_length() - 1
    is_power_of_two = x.mantissa & (x.mantissa - 1) == 0
    if x.kind == "finite" and lead == 0 and is_power_of_two:
        return one(fmt)
    grows = x.kind == "inf" or (x.kind == "finite" and lead >= 0)
    return inf(fmt) if grows != negative else zero(fmt)


def _is_odd(y: Number) -> bool:
    """Tell whether a finite number is an odd integer."""
    if y.exponent > 0:
        return False
    return y.mantissa >> -y.exponent & 1 == 1 and y.mantissa & ((1 << -y.exponent) - 1) == 0


def _strip(mantissa: int, exponent: int) -> tuple[int, int]:
    """Make the mantissa odd."""
    zeros = (mantissa & -mantissa).bit_length() - 1
    return mantissa >> zeros, exponent + zeros


def _raise_positive(fmt: Format, x: Number, y: Number) -> int:
    """Compute |x|**y for finite x and y other than 0."""
    found = _raise_rational(fmt, x, y)
    if found is not None:
        return found
    # The magnitude of t = y·log|x| decides what precision is needed, and whether any is.
    rough = enclose_log(x.mantissa, x.exponent, 64)
    largest = max(abs(rough.low), abs(rough.high)) * y.mantissa
    lead = largest.bit_length() - 1 + rough.exponent + y.exponent
    grows = (rough.low > 0) != y.negative
    if lead > 10:
        # |t| >= 1024, as a rough |log x| exceeds the true one by less than half: e**1024 > 2**1024
        # overflows, e**-1024 < 2**-1076 is below half the least value.
        return inf(fmt) if grows else 0
    if lead < -fmt.precision - 3:
        return one(fmt)  # |e**t - 1| < 2|t| < 2**-(p+1)

    def enclose(precision: int) -> Enclosure:
        fraction = precision + 24
        # t to the unit 2**-fraction: log|x| to lead + 2 more bits, relative.
        log = enclose_log(x.mantissa, x.exponent, fraction + max(lead, 0) + 2)
        shift = log.exponent + y.exponent + fraction
        argument = shift_floor(log.low * y.signed, shift)
        width = shift_floor((log.high - log.low) * y.mantissa, shift)
        return enclose_exp(argument, fraction, width + 2)

    return round_enclosed(fmt, enclose)


def _raise_rational(fmt: Format, x: Number, y: Number) -> int | None:
    """Compute |x|**y where it is rational and short; None elsewhere."""
    mantissa, exponent = _strip(x.mantissa, x.exponent)
    times, halvings = _strip(y.mantissa, y.exponent)
    while halvings < 0:
        # An odd multiple of a half: rational only where the root is.
        root = isqrt(mantissa)
        if exponent & 1 or root * root != mantissa:
            return None
        mantissa, exponent, halvings = root, exponent // 2, halvings + 1
    if mantissa > 1 and (halvings > 11 or times * mantissa.bit_length() << halvings > EXACT_BITS):
        return None
    if mantissa == 1:
        shift = exponent * times << halvings
        return round_dyadic(fmt, 1, -shift if y.negative else shift)
    times <<= halvings
    if y.negative:
        return round_ratio(fmt, 1, mantissa**times, -exponent * times)
    return round_dyadic(fmt, mantissa**times, exponent * times)
