"""The one rounding: nearest, ties to even, from exact integers (`CANON-1`).

Every result is rounded here. What is not dyadic is cut far below the last kept bit and a last bit
is set where anything was cut, which rounds as the exact value does. Must not know what is computed.
"""

from __future__ import annotations

from math import isqrt

from probatum.canon.arith.formats import Format

__all__ = ["round_dyadic", "round_ratio", "round_sqrt"]

GUARD_BITS = 3
"""Bits kept beyond the precision before cutting: more than the one that decides."""


def round_dyadic(fmt: Format, mantissa: int, exponent: int = 0) -> int:
    """Round mantissa·2**exponent to a format.

    Too large a magnitude becomes an infinity, exact zero +0; what is not zero keeps its sign, also
    where it rounds to zero.

    Args:
        fmt: The format.
        mantissa: Any integer, with its sign.
        exponent: Any integer.

    Returns:
        The bits.
    """
    if mantissa == 0:
        return 0
    sign = fmt.sign_bit if mantissa < 0 else 0
    magnitude = abs(mantissa)
    length = magnitude.bit_length()
    lead = exponent + length - 1
    if lead > fmt.greatest_exponent:
        return sign | fmt.infinity
    quantum = max(lead - fmt.precision + 1, fmt.least_exponent)
    shift = quantum - exponent
    if shift <= 0:
        kept = magnitude << -shift
    elif shift > length:
        return sign  # below half of the least value
    else:
        kept = magnitude >> shift
        rest = magnitude & ((1 << shift) - 1)
        half = 1 << (shift - 1)
        if rest > half or (rest == half and kept & 1):
            kept += 1
    # The implied bit of a normal number, and a carry out of the significand, add one to the
    # exponent's field by themselves.
    bits = ((quantum - fmt.least_exponent) << (fmt.precision - 1)) + kept
    return sign | min(bits, fmt.infinity)


def round_ratio(fmt: Format, numerator: int, denominator: int, exponent: int = 0) -> int:
    """Round numerator/denominator·2**exponent to a format, as `round_dyadic`.

    Args:
        fmt: The format.
        numerator: Any integer.
        denominator: A positive integer.
        exponent: Any integer.
    """
    if numerator == 0:
        return 0
    magnitude = abs(numerator)
    shift = max(0, fmt.precision + GUARD_BITS + denominator.bit_length() - magnitude.bit_length())
    quotient, rest = divmod(magnitude << shift, denominator)
    cut = quotient << 1 | (rest != 0)
    return round_dyadic(fmt, -cut if numerator < 0 else cut, exponent - shift - 1)


def round_sqrt(fmt: Format, mantissa: int, exponent: int = 0) -> int:
    """Round the square root of mantissa·2**exponent to a format, as `round_dyadic`.

    Args:
        fmt: The format.
        mantissa: Not negative.
        exponent: Any integer.
    """
    shift = max(0, 2 * (fmt.precision + GUARD_BITS) - mantissa.bit_length())
    shift += (exponent - shift) & 1  # the remaining exponent is even
    radicand = mantissa << shift
    root = isqrt(radicand)
    return round_dyadic(fmt, root << 1 | (root * root != radicand), (exponent - shift) // 2 - 1)
