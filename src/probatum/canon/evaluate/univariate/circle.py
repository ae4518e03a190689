"""sin and cos of float64, to a proven relative error, for arguments below 2**17.

x = k pi/2 + r, pi/2 in three parts of which the first two have 33 bits: k times them is exact.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from probatum.canon.evaluate.univariate.exponential import SHIFTER
from probatum.canon.evaluate.univariate.polynomials import compute_polynomial
from probatum.canon.evaluate.values import Doubles
from probatum.canon.evaluate.workspace import Scratch

__all__ = ["CIRCLE_ERROR", "compute_cosine", "compute_sine"]

CIRCLE_ERROR: Final = 2.0**-46
GREATEST: Final = 2.0**17
CLOSE: Final = 2.0**-20
"""Nearer to a multiple of pi/2 nothing is claimed, other than at k = 0."""
PER_QUARTER: Final = float.fromhex("0x1.45f306dc9c883p-1")
QUARTER: Final = (
    float.fromhex("0x1.921fb54400000p+0"),
    float.fromhex("0x1.0b4611a600000p-34"),
    float.fromhex("0x1.3198a2e037073p-69"),
)
SINE: Final = (
    1.0,
    float.fromhex("-0x1.5555555555542p-3"),
    float.fromhex("0x1.111111110f2cfp-7"),
    float.fromhex("-0x1.a01a019b8b5e3p-13"),
    float.fromhex("0x1.71de35188ad40p-19"),
    float.fromhex("-0x1.ae5e2604e3d38p-26"),
    float.fromhex("0x1.5d8270d3ca2b0p-33"),
)
COSINE: Final = (
    1.0,
    -0.5,
    float.fromhex("0x1.5555555555533p-5"),
    float.fromhex("-0x1.6c16c16c135d8p-10"),
    float.fromhex("0x1.a01a019ad08fep-16"),
    float.fromhex("-0x1.27e4f6f9a457ap-22"),
    float.fromhex("0x1.1ee95193c389dp-29"),
    float.fromhex("-0x1.8f696037943c1p-37"),
)
"""sin(r)/r and cos r in r², to 2**-55 relative on |r| <= 0.787 (tests check it)."""


def compute_sine(x: Doubles, scratch: Scratch) -> Doubles:
    """Compute sin, x overwritten; NaN where nothing is claimed."""
    return _compute(x, scratch, 0)


def compute_cosine(x: Doubles, scratch: Scratch) -> Doubles:
    """Compute cos, x overwritten; NaN where nothing is claimed."""
    return _compute(x, scratch, 1)


def _compute(x: Doubles, scratch: Scratch, quarters: int) -> Doubles:
    whole, part, even, odd = (scratch.take(name, x.size) for name in ("a", "b", "even", "odd"))
    large = np.abs(x) > GREATEST
    np.multiply(x, PER_QUARTER, out=whole)
    whole += SHIFTER
    turns = (whole.view(np.int64) + quarters) & 3
    whole -= SHIFTER
    for length in QUARTER:
        np.multiply(whole, length, out=part)
        x -= part
    unsure = large | ((np.abs(x) < CLOSE) & (whole != 0))
    np.multiply(x, x, out=part)
    compute_polynomial(SINE, part, odd)
    compute_polynomial(COSINE, part, even)
    odd *= x
    np.copyto(odd, even, where=(turns & 1) == 1)
    np.negative(odd, out=odd, where=turns >= 2)
    odd[unsure] = np.nan
    return odd
