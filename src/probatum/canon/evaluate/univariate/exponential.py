"""exp, sigmoid and tanh of float64, to a proven relative error.

x = k ln 2 + r, |r| <= 0.347. exp r = (R + r)/(R - r) with R(r) = r coth(r/2), an even function: a
polynomial of degree 4 in r², right to 2**-49. Written for arguments of at most 24 bits.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from probatum.canon.evaluate.univariate.polynomials import compute_polynomial
from probatum.canon.evaluate.values import Doubles
from probatum.canon.evaluate.workspace import Scratch

__all__ = [
    "EXP_ERROR",
    "SIGMOID_ERROR",
    "TANH_ERROR",
    "compute_exp",
    "compute_sigmoid",
    "compute_tanh",
]

EXP_ERROR: Final = 2.0**-45
SIGMOID_ERROR: Final = 2.0**-44
TANH_ERROR: Final = 2.0**-43
"""Relative; within the stated ranges, and right after rounding beyond them."""

LN2: Final = float.fromhex("0x1.62e42fefa39efp-1")
PER_LN2: Final = float.fromhex("0x1.71547652b82fep+0")
SHIFTER: Final = 1.5 * 2.0**52
"""Added, it leaves the nearest integer in a float64's last bits."""
COEFFICIENTS: Final = (
    float.fromhex("0x1.0000000000005p+1"),
    float.fromhex("0x1.555555554de4ap-3"),
    float.fromhex("-0x1.6c16c0f03b9eep-9"),
    float.fromhex("0x1.156542f1069d1p-14"),
    float.fromhex("-0x1.b87ceb62d7eecp-20"),
)
"""Of R in r²; greatest relative error 2**-49.5 on |r| <= 0.347 (tests check it)."""


def _reduce(x: Doubles, scratch: Scratch) -> tuple[Doubles, Doubles]:
    """Reduce x to r, in place: the exponent field of 2**k, in a float64's place, and R(r)."""
    power, square, even = (scratch.take(name, x.size) for name in ("power", "square", "even"))
    np.multiply(x, PER_LN2, out=power)
    power += SHIFTER
    np.subtract(power, SHIFTER, out=square)
    square *= LN2
    x -= square
    bits = power.view(np.int64)
    np.left_shift(bits, 52, out=bits)
    np.multiply(x, x, out=square)
    compute_polynomial(COEFFICIENTS, square, even)
    return power, even


def compute_exp(x: Doubles, scratch: Scratch) -> Doubles:
    """Compute exp, x overwritten.

    Args:
        x: Of at most 24 bits each. Beyond ±127 a value is returned that rounds as exp does to
            every format of at most 8 exponent bits; NaN gives anything.
        scratch: Holds the result.
    """
    np.clip(x, -127.0, 127.0, out=x)
    power, even = _reduce(x, scratch)
    above = scratch.take("square", x.size)
    np.add(even, x, out=above)
    even -= x
    above /= even
    bits = above.view(np.int64)
    bits += power.view(np.int64)
    return above


def compute_sigmoid(x: Doubles, scratch: Scratch) -> Doubles:
    """Compute 1/(1 + exp -x), x overwritten; as `compute_exp`."""
    np.negative(x, out=x)
    value = compute_exp(x, scratch)
    value += 1.0
    np.divide(1.0, value, out=value)
    return value


def compute_tanh(x: Doubles, scratch: Scratch) -> Doubles:
    """Compute tanh, x overwritten; as `compute_exp`, beyond ±20 it rounds to ±1.

    tanh x = ((s - 1) R + (s + 1) r)/((s + 1) R + (s - 1) r) with 2x = k ln 2 + r, s = 2**k:
    for k = 0 nothing cancels, so that small arguments keep their relative error.
    """
    np.clip(x, -20.0, 20.0, out=x)
    sign = scratch.take("sign", x.size)
    np.copyto(sign, x)
    x *= 2.0
    power, even = _reduce(x, scratch)
    bits = power.view(np.int64)
    bits += 0x3FF0000000000000
    above, more = scratch.take("square", x.size), scratch.take("more", x.size)
    np.subtract(power, 1.0, out=more)
    power += 1.0
    np.multiply(more, even, out=above)
    even *= power
    power *= x
    above += power
    more *= x
    even += more
    above /= even
    np.copysign(above, sign, out=above)
    return above
