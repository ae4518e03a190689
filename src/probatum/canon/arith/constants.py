"""pi, ln 2 and 2/sqrt(pi) as integers, to any number of bits.

Each is a floor, or one below it: ``0 <= exact·2**bits - value < 2``. Computed by integers alone,
once for each 256 bits of precision. Must not know which function asks.
"""

from __future__ import annotations

from functools import cache
from math import isqrt
from typing import Final

__all__ = ["get_ln2", "get_pi", "get_two_over_sqrt_pi"]

GRAIN: Final = 256
GUARD_BITS: Final = 32
"""Covers the one unit lost in each term of a series: there are fewer than 2**30 terms."""


def get_pi(bits: int) -> int:
    """Get pi·2**bits."""
    return _compute_pi(bits // GRAIN + 1) >> GRAIN - bits % GRAIN


def get_ln2(bits: int) -> int:
    """Get ln(2)·2**bits."""
    return _compute_ln2(bits // GRAIN + 1) >> GRAIN - bits % GRAIN


def get_two_over_sqrt_pi(bits: int) -> int:
    """Get 2/sqrt(pi)·2**bits."""
    return _compute_two_over_sqrt_pi(bits // GRAIN + 1) >> GRAIN - bits % GRAIN


@cache
def _compute_pi(grains: int) -> int:
    # Machin 1706: pi/4 = 4 arctan(1/5) - arctan(1/239).
    bits = grains * GRAIN + GUARD_BITS
    quarter = 4 * _sum_series(5, bits, -1) - _sum_series(239, bits, -1)
    return (4 * quarter - (1 << GUARD_BITS - 1)) >> GUARD_BITS


@cache
def _compute_ln2(grains: int) -> int:
    # ln 2 = 18 artanh(1/26) - 2 artanh(1/4801) + 8 artanh(1/8749).
    bits = grains * GRAIN + GUARD_BITS
    total = (
        18 * _sum_series(26, bits, 1)
        - 2 * _sum_series(4801, bits, 1)
        + 8 * _sum_series(8749, bits, 1)
    )
    return (total - (1 << GUARD_BITS - 1)) >> GUARD_BITS


@cache
def _compute_two_over_sqrt_pi(grains: int) -> int:
    # Floors of a quotient and of a root, 32 bits further out than is kept.
    bits = grains * GRAIN + GUARD_BITS
    root = isqrt((4 << 3 * bits) // get_pi(bits))
    return (root - (1 << GUARD_BITS - 1)) >> GUARD_BITS


def _sum_series(inverse: int, bits: int, sign: int) -> int:
    """Sum arctan (sign -1) or artanh (sign 1) of 1/inverse, within one unit a term."""
    power = (1 << bits) // inverse
    total, divisor, turn = power, 1, 1
    while power:
        power //= inverse * inverse
        divisor += 2
        turn *= sign
        total += turn * (power // divisor)
    return total
