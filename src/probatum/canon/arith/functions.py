"""Functions of one element: exp, log, erf, tanh, sigmoid, sin, cos (`CANON-3`).

Each computes the exact real function, rounded once. First come special values and those where the
function is rational: exp 0, log 1, sigmoid 0; everywhere else the value is transcendental or, for
erf, sin and cos, not known to be a rounding boundary, and Ziv's loop decides. Where an argument is
so small or large that the result is certain, the inequality stands beside it; p is the precision.
"""

from __future__ import annotations

from probatum.canon.arith.constants import get_two_over_sqrt_pi
from probatum.canon.arith.formats import Format, Number, decode, inf, nan, one, zero
from probatum.canon.arith.rounding import round_dyadic
from probatum.canon.arith.series import (
    enclose_cosine,
    enclose_erf_sum,
    enclose_exp,
    enclose_log,
    enclose_sine,
    reduce_angle,
    shift_floor,
)
from probatum.canon.arith.ziv import Enclosure, round_enclosed

__all__ = ["cos", "erf", "exp", "log", "sigmoid", "sin", "tanh"]


def exp(fmt: Format, bits: int) -> int:
    """Compute e to the power of x. The value at -inf is +0."""
    x = decode(fmt, bits)
    if x.kind == "nan":
        return nan(fmt)
    if x.kind == "inf" or _get_lead(x) >= 10:
        # |x| >= 1024: e**1024 > 2**1024 overflows, e**-1024 < 2**-1076 is below half the least.
        return 0 if x.negative else inf(fmt)
    if x.kind == "zero" or _get_lead(x) < -fmt.precision - 2:
        return one(fmt)  # |e**x - 1| < 2|x| < 2**-(p+1)

    def enclose(precision: int) -> Enclosure:
        fraction = precision + 24
        return enclose_exp(shift_floor(x.signed, x.exponent + fraction), fraction, 1)

    return round_enclosed(fmt, enclose)


def log(fmt: Format, bits: int) -> int:
    """Compute the natural logarithm. At ±0 it is -inf, below zero NaN, at 1 it is +0."""
    x = decode(fmt, bits)
    if x.kind == "zero":
        return inf(fmt, negative=True)
    if x.kind == "nan" or x.negative:
        return nan(fmt)
    if x.kind == "inf":
        return bits
    if bits == one(fmt):
        return 0
    return round_enclosed(fmt, lambda precision: enclose_log(x.mantissa, x.exponent, precision))


def erf(fmt: Format, bits: int) -> int:
    """Compute the error function. At ±0 it is ±0, at ±inf ±1."""
    x = decode(fmt, bits)
    if x.kind == "nan":
        return nan(fmt)
    if x.kind == "zero":
        return bits
    if x.kind == "inf" or _get_lead(x) >= 3:
        return one(fmt, x.negative)  # |x| >= 8: 1 - erf|x| < e**-64 < 2**-(p+1)

    def enclose(precision: int) -> Enclosure:
        fraction = precision + 32
        square = shift_floor(-(x.mantissa**2), 2 * x.exponent + fraction)
        gauss = enclose_exp(square, fraction, 1)
        total = enclose_erf_sum(x.mantissa, x.exponent, fraction)
        constant = get_two_over_sqrt_pi(fraction)
        low = gauss.low * total.low * constant * x.mantissa
        high = gauss.high * total.high * (constant + 2) * x.mantissa
        return Enclosure(low, high, gauss.exponent + total.exponent - fraction + x.exponent)

    return _sign(fmt, round_enclosed(fmt, enclose), x)


def tanh(fmt: Format, bits: int) -> int:
    """Compute the hyperbolic tangent. At ±0 it is ±0, at ±inf ±1."""
    x = decode(fmt, bits)
    if x.kind == "nan":
        return nan(fmt)
    if _is_tiny(fmt, x):
        return bits  # tanh x = x(1 - d), d < x²/3 < 2**-(p+1)
    if x.kind == "inf" or _get_lead(x) >= 5:
        return one(fmt, x.negative)  # |x| >= 32: 1 - tanh|x| < 2e**-64 < 2**-(p+1)

    def enclose(precision: int) -> Enclosure:
        fraction = precision + 24 + max(-_get_lead(x), 0)
        unit = 1 << fraction
        least, most = _enclose_decay(x, fraction, 1)  # u = e**-2|x|
        # (1-u)/(1+u) falls with u.
        low = ((unit - most) << fraction) // (unit + most)
        high = ((unit - least) << fraction) // (unit + least) + 1
        return Enclosure(low, high, -fraction)

    return _sign(fmt, round_enclosed(fmt, enclose), x)


def sigmoid(fmt: Format, bits: int) -> int:
    """Compute the logistic function 1/(1 + e**-x). At ±0 it is 1/2, at -inf +0."""
    x = decode(fmt, bits)
    if x.kind == "nan":
        return nan(fmt)
    if x.kind == "zero" or (x.kind == "finite" and _get_lead(x) < -fmt.precision):
        return round_dyadic(fmt, 1, -1)  # |sigmoid x - 1/2| < |x|/4 < 2**-(p+2)
    if not x.negative and (x.kind == "inf" or _get_lead(x) >= 6):
        return one(fmt)  # x >= 64: 1 - sigmoid x < e**-64 < 2**-(p+1)
    if x.kind == "inf" or _get_lead(x) >= 10:
        return 0  # x <= -1024: sigmoid x < e**-1024 is below half the least value

    def enclose(precision: int) -> Enclosure:
        fraction = precision + 24
        unit = 1 << fraction
        least, most = _enclose_decay(x, fraction, 0)  # u = e**-|x|
        if not x.negative:
            low, high = (unit << fraction) // (unit + most), (unit << fraction) // (unit + least)
            return Enclosure(low, high + 1, -fraction)
        # u/(1+u), u with all its digits however small.
        u = enclose_exp(shift_floor(x.signed, x.exponent + fraction), fraction, 1)
        low, high = (u.low << fraction) // (unit + most), (u.high << fraction) // (unit + least)
        return Enclosure(low, high + 1, u.exponent)

    return round_enclosed(fmt, enclose)


def sin(fmt: Format, bits: int) -> int:
    """Compute the sine; any finite angle is reduced exactly. At ±0 it is ±0, at ±inf NaN."""
    x = decode(fmt, bits)
    if x.kind in ("nan", "inf"):
        return nan(fmt)
    if _is_tiny(fmt, x):
        return bits  # sin x = x(1 - d), d < x²/6 < 2**-(p+1)
    return _sign(fmt, _round_circular(fmt, x, 0), x)


def cos(fmt: Format, bits: int) -> int:
    """Compute the cosine; any finite angle is reduced exactly. At ±inf it is NaN."""
    x = decode(fmt, bits)
    if x.kind in ("nan", "inf"):
        return nan(fmt)
    if _is_tiny(fmt, x):
        return one(fmt)  # 1 - cos x < x²/2 < 2**-(p+1)
    return _round_circular(fmt, x, 1)


def _round_circular(fmt: Format, x: Number, quarters: int) -> int:
    """Round sin(|x| + quarters·pi/2)."""

    def enclose(precision: int) -> Enclosure:
        fraction = precision + 16 + max(-_get_lead(x), 0)
        angle = reduce_angle(x.mantissa, x.exponent, fraction)
        turned = angle.quadrant + quarters
        low, high, exponent = enclose_cosine(angle) if turned & 1 else enclose_sine(angle)
        return Enclosure(-high, -low, exponent) if turned & 2 else Enclosure(low, high, exponent)

    return round_enclosed(fmt, enclose)


def _enclose_decay(x: Number, fraction: int, doublings: int) -> tuple[int, int]:
    """Enclose e**-(2**doublings·|x|) in units of 2**-fraction."""
    argument = shift_floor(-x.mantissa, x.exponent + fraction + doublings)
    u = enclose_exp(argument, fraction, 1)
    shift = u.exponent + fraction  # negative, as the argument is
    return shift_floor(u.low, shift), shift_floor(u.high, shift) + 1


def _get_lead(x: Number) -> int:
    """Get the exponent of the first bit: 2**lead <= |x| < 2**(lead + 1)."""
    return x.exponent + x.mantissa.bit_length() - 1


def _is_tiny(fmt: Format, x: Number) -> bool:
    """Tell whether x² < 2**-p."""
    return x.kind == "zero" or (x.kind == "finite" and _get_lead(x) < -((fmt.precision + 1) // 2))


def _sign(fmt: Format, magnitude: int, x: Number) -> int:
    """Give an odd function's value of |x| the sign of x."""
    return magnitude ^ zero(fmt, x.negative)
