"""Rounding float64 to an element type, and the test that a bound is small enough (`CANON-2`).

An exact value lies in [low, high]. Rounding is monotonic: where both ends round to the same bits,
these are the exact value's. Bits are compared, not values: a zero whose sign is in doubt counts as
undecided. Read `ladder` for what becomes of the undecided.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from probatum.canon.evaluate.values import Array, Doubles, get_bits, get_numpy_dtype, widen
from probatum.canon.evaluate.workspace import Scratch

__all__ = ["UNIT", "Indices", "compare_rounded", "find_midpoints", "round_to", "settle_between"]

UNIT: Final = 2.0**-53
"""The unit roundoff u of float64."""

Indices = NDArray[np.intp]


def round_to(dtype: str, values: Doubles, out: Array | None = None) -> Array:
    """Round float64 to an element type: nearest, ties to even, overflow to infinity.

    Never through float32 to bfloat16 by nearest: float32 is reached by rounding to odd, which
    leaves the second rounding what the one rounding gives.

    Args:
        dtype: A canonical float type.
        values: Any shape; NaN stays one, and keeps no promise about its bits.
        out: Where to.
    """
    if out is None:
        out = np.empty(values.shape, get_numpy_dtype(dtype))
    if dtype != "bfloat16":
        np.copyto(out, values, casting="same_kind")
        return out
    near = values.astype(np.float32)
    bits = near.view(np.uint32)
    inexact = (near.astype(np.float64) != values) & ((bits & 1) == 0) & ~np.isnan(values)
    beyond = np.abs(near.astype(np.float64)) > np.abs(values)
    bits += np.where(inexact, np.where(beyond, np.uint32(0xFFFFFFFF), np.uint32(1)), np.uint32(0))
    # A NaN's payload would carry into the sign, and out of it.
    bits = np.where(np.isnan(near), np.uint32(0x7FC00000), bits)
    np.copyto(out, (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16, casting="unsafe")
    return out


def compare_rounded(low: Array, high: Array, scratch: Scratch | None = None) -> Indices | None:
    """Find where two rounded arrays differ in bits: flat indices, None where nowhere."""
    lows, highs = get_bits(low).reshape(-1), get_bits(high).reshape(-1)
    out = None if scratch is None else scratch.take("differ", lows.size, "bool")
    # A mask has one dimension: what `flatnonzero` adds around this counts in small chunks.
    found: Indices = np.not_equal(lows, highs, out=out).nonzero()[0]
    return found if len(found) else None


def find_midpoints(dtype: str, low: Array, high: Array) -> tuple[Doubles, NDArray[np.bool_]]:
    """Find the float64 halfway between neighbours of an element type, where they are neighbours.

    Args:
        dtype: float16, bfloat16 or float32.
        low: The lesser value of each pair, n.
        high: The greater, n; infinity stands for the power of two that follows.

    Returns:
        The midpoints, exact; and where low and high are neighbours, or the two zeros.
    """
    lows, highs = widen(low, dtype), widen(high, dtype)
    top = 2.0**16 if dtype == "float16" else 2.0**128
    lows[np.isneginf(lows)] = -top
    highs[np.isposinf(highs)] = top
    middles = (lows + highs) * 0.5
    back = round_to(dtype, middles)
    # Between neighbours there is nothing: the midpoint rounds to one of the two.
    near = (get_bits(back) == get_bits(low)) | (get_bits(back) == get_bits(high))
    return middles, near | ((lows == 0) & (highs == 0))


def settle_between(low: Array, high: Array, middles: Doubles, signs: NDArray[Any]) -> Array:
    """Choose between neighbours by the sign of exact - midpoint: 0 is a tie, to even.

    Where the two are the zeros, an exact zero is +0.
    """
    lows, highs = get_bits(low), get_bits(high)
    even = np.where((lows & 1) == 0, lows, highs)
    even = np.where(middles == 0, get_bits(np.zeros(1, low.dtype))[0], even)
    chosen = np.where(signs > 0, highs, np.where(signs < 0, lows, even)).astype(lows.dtype)
    return chosen.view(low.dtype)
