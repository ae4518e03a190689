"""log of float64, and powers by it, to a proven relative error.

x = 2**e m, sqrt(1/2) <= m < sqrt 2; log m = s A(s²), s = (m - 1)/(m + 1), A of degree 6 with
positive coefficients. For e = 0 nothing cancels, so that arguments near 1 keep relative error.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from probatum.canon.evaluate.univariate.exponential import compute_exp
from probatum.canon.evaluate.univariate.polynomials import compute_polynomial
from probatum.canon.evaluate.values import Doubles
from probatum.canon.evaluate.workspace import Scratch

__all__ = ["LOG_ERROR", "POWER_ERROR", "compute_log", "compute_power"]

LOG_ERROR: Final = 2.0**-47
POWER_ERROR: Final = 2.0**-39
LN2_HIGH: Final = float.fromhex("0x1.62e42fefa2000p-1")
LN2_LOW: Final = float.fromhex("0x1.9ef35793c7673p-41")
HALF_ROOT: Final = 0x3FE6A09E00000000
"""Bits of a float64 a little below sqrt(1/2)."""
COEFFICIENTS: Final = (
    float.fromhex("0x1.0000000000001p+1"),
    float.fromhex("0x1.5555555552cd9p-1"),
    float.fromhex("0x1.999999a44dd26p-2"),
    float.fromhex("0x1.249240a96b0a6p-2"),
    float.fromhex("0x1.c722d52060af6p-3"),
    float.fromhex("0x1.73221a188b6e7p-3"),
    float.fromhex("0x1.58e21d4645ed5p-3"),
)
"""Of A in s²; 2 atanh(s)/s to 2**-51.7 relative on |s| <= 0.1717 (tests check it)."""


def compute_log(x: Doubles, scratch: Scratch) -> Doubles:
    """Compute log, x overwritten.

    Args:
        x: Of at most 24 bits each, at least 2**-1000; zero, negative, infinity and NaN give
            anything.
        scratch: Holds the result.
    """
    square, total, exponents = (scratch.take(name, x.size) for name in ("square", "log", "more"))
    bits = x.view(np.int64)
    fields = exponents.view(np.int64)
    np.subtract(bits, HALF_ROOT, out=fields)
    np.right_shift(fields, 52, out=fields)
    bits -= fields << 52
    np.add(x, 1.0, out=square)
    x -= 1.0
    x /= square
    np.multiply(x, x, out=square)
    compute_polynomial(COEFFICIENTS, square, total)
    total *= x
    np.copyto(exponents, fields)
    np.multiply(exponents, LN2_LOW, out=square)
    total += square
    exponents *= LN2_HIGH
    total += exponents
    return total


def compute_power(x: Doubles, y: Doubles, scratch: Scratch) -> Doubles:
    """Compute x**y for positive x, both overwritten; as `compute_log` and `compute_exp`.

    |y log x| <= 127 carries log's error 127-fold into the exponent: 2**-40, and a little.
    """
    exponent = compute_log(x, scratch)
    y *= exponent
    return compute_exp(y, scratch)
