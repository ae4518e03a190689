"""erf of float64, to a proven relative error.

erf x = x P(x²)/Q(x²), both of degree 9 with positive coefficients: nothing cancels. Written for
arguments of at most 24 bits, whose squares are exact.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from probatum.canon.evaluate.univariate.polynomials import compute_polynomial
from probatum.canon.evaluate.values import Doubles
from probatum.canon.evaluate.workspace import Scratch

__all__ = ["ERF_ERROR", "ROUGH_ERROR", "compute_erf", "compute_erf_roughly"]

ERF_ERROR: Final = 2.0**-46
"""Relative, for |x| <= 4; 2**-47 and a little."""
ROUGH_ERROR: Final = 2.0**-36
"""Of the rougher one, likewise: 2**-36.4 and 30u."""
ABOVE: Final = (
    float.fromhex("0x1.20dd750429b67p+0"),
    float.fromhex("0x1.9daa6ecc370e1p-3"),
    float.fromhex("0x1.f028249c762cbp-5"),
    float.fromhex("0x1.6623885115a3ap-8"),
    float.fromhex("0x1.4e00b4407d973p-11"),
    float.fromhex("0x1.192b20f6247bfp-15"),
    float.fromhex("0x1.f50136dc3486ap-20"),
    float.fromhex("0x1.b1475703cbe97p-25"),
    float.fromhex("0x1.1565a6ccc0937p-30"),
    float.fromhex("0x1.700de134d01a7p-39"),
)
BELOW: Final = (
    1.0,
    float.fromhex("0x1.06512d63362d7p-1"),
    float.fromhex("0x1.fdc41a375ae81p-4"),
    float.fromhex("0x1.35b7743321755p-6"),
    float.fromhex("0x1.04bb09afc6aa8p-9"),
    float.fromhex("0x1.3d37cdfe04b88p-13"),
    float.fromhex("0x1.186bfb7daba2ep-17"),
    float.fromhex("0x1.5c2637ba33fa3p-22"),
    float.fromhex("0x1.0fbd7e57d9294p-27"),
    float.fromhex("0x1.57b971909ad3ap-34"),
)
"""Of P and Q; P/Q is erf(x)/x to 2**-49.1 relative on 0 <= x² <= 16 (tests check it)."""


ROUGH_ABOVE: Final = (
    float.fromhex("0x1.20dd75041e89ep+0"),
    float.fromhex("0x1.9a95238fb6a61p-3"),
    float.fromhex("0x1.dc489d3fb1e6ep-5"),
    float.fromhex("0x1.459fed69d471ap-8"),
    float.fromhex("0x1.0d362a52e68ecp-11"),
    float.fromhex("0x1.6e4a044aa0054p-16"),
    float.fromhex("0x1.946a0192bae48p-21"),
    float.fromhex("0x1.9ca204bcf7bb4p-29"),
)
ROUGH_BELOW: Final = (
    1.0,
    float.fromhex("0x1.05a24dc9c4b78p-1"),
    float.fromhex("0x1.f3236cc3ada8ep-4"),
    float.fromhex("0x1.228745e24b518p-6"),
    float.fromhex("0x1.c21c2be1b0fd1p-10"),
    float.fromhex("0x1.d45df270ab4b9p-14"),
    float.fromhex("0x1.2fc612c70713dp-18"),
    float.fromhex("0x1.3ac21e2bcdcecp-24"),
)
"""As above, of degree 7, to 2**-36.4 relative."""
ROUGH: Final = np.array([ROUGH_ABOVE[:4], ROUGH_BELOW[:4], ROUGH_ABOVE[4:], ROUGH_BELOW[4:]])
ROUGH.flags.writeable = False


def compute_erf(x: Doubles, scratch: Scratch) -> Doubles:
    """Compute erf, x overwritten.

    Args:
        x: Of at most 24 bits each. Beyond ±4 erf 4 is returned, which rounds to ±1 as erf does in
            every format of at most 24 bits; NaN gives NaN.
        scratch: Holds the result.
    """
    np.clip(x, -4.0, 4.0, out=x)
    square, above, below = (scratch.take(name, x.size) for name in ("square", "above", "below"))
    np.multiply(x, x, out=square)
    compute_polynomial(ABOVE, square, above)
    compute_polynomial(BELOW, square, below)
    above *= x
    above /= below
    return above


def compute_erf_roughly(x: Doubles, scratch: Scratch) -> Doubles:
    """Compute erf as `compute_erf`, with a larger error in less time.

    P and Q are each low(t) + t**4 high(t), t = x²: a matrix product makes all four at once.
    """
    np.clip(x, -4.0, 4.0, out=x)
    powers, parts = (scratch.take(name, 4 * x.size).reshape(4, -1) for name in ("powers", "parts"))
    powers[0] = 1.0
    np.multiply(x, x, out=powers[1])
    np.multiply(powers[1], powers[1], out=powers[2])
    np.multiply(powers[1], powers[2], out=powers[3])
    np.matmul(ROUGH, powers, out=parts)
    fourth, both = powers[0], parts[2:]
    np.multiply(powers[2], powers[2], out=fourth)
    both *= fourth
    both += parts[:2]
    value: Doubles = both[0]
    value *= x
    value /= both[1]
    return value
