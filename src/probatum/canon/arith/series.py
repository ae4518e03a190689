"""exp, log, sine, cosine and the series of erf in integer fixed point, with proven errors.

Every function returns an enclosure: two integers between which the exact value times a power of two
lies. A *unit* is the last bit of the precision at hand. All divisions are floors, so what is
computed from positive terms is too small, by the deficits that the docstrings add up. Read
`docs/spec/arithmetic.md` beside it. Must not know formats or special values.
"""

from __future__ import annotations

from math import isqrt
from typing import NamedTuple

from probatum.canon.arith.constants import get_ln2, get_pi
from probatum.canon.arith.ziv import Enclosure

__all__ = [
    "Angle",
    "enclose_cosine",
    "enclose_erf_sum",
    "enclose_exp",
    "enclose_log",
    "enclose_sine",
    "reduce_angle",
    "shift_floor",
]


def shift_floor(value: int, shift: int) -> int:
    """Multiply by 2**shift, rounding down."""
    return value << shift if shift >= 0 else value >> -shift


def enclose_exp(argument: int, bits: int, slack: int) -> Enclosure:
    """Enclose exp of what lies within `slack` units of argument·2**-bits.

    Proof. The argument less k·ln 2 is r in [0, ln 2), wrong by at most eta = slack + 2|k| units.
    Call guard = halvings + 8 and work to bits + guard. The Taylor series runs at a = r/2**halvings,
    which is exact and below 0.35: a term's deficit is at most 1 + 0.35 times the last one's, below
    1.6; the first term that is left out is below 2.6 units and all of them below 4; together below
    2n + 4. A squaring doubles the relative deficit and adds a unit, so afterwards it is below
    2**halvings·(2n + 5) units of the work, (2n + 5)/256 of ours. The value is below 2.02, so its
    deficit is below 1 + (2n + 5)/64 units with the last floor. An argument wrong by eta < 2**(bits
    - 4) units changes the value by less than 2.02·1.07·eta < 3 eta.

    Args:
        argument: Below 2**(bits + 12) in magnitude.
        bits: Of the fraction; at least 64.
        slack: In units.
    """
    k, rest = divmod(argument, get_ln2(bits))
    eta = slack + 2 * abs(k)
    halvings = isqrt(bits) * 2 // 3
    guard = halvings + 8
    work = bits + guard
    step = rest << 8
    term = total = 1 << work
    n = 0
    while term:
        n += 1
        term = (term * step >> work) // n
        total += term
    for _ in range(halvings):
        total = total * total >> work
    value = total >> guard
    return Enclosure(value - 3 * eta, value + 2 + (2 * n + 5) // 64 + 3 * eta, k - bits)


def enclose_log(mantissa: int, exponent: int, bits: int) -> Enclosure:
    """Enclose log(mantissa·2**exponent) to a relative error below 2**-bits; the value is not 1.

    Proof. The value is 2**k·f, f = mantissa/scale from sqrt(1/2) to sqrt(2), so that |log f| is at
    most half of |k| ln 2 where k is not 0. log f = 2 artanh z, z = (f - 1)/(f + 1), |z| < 0.172.
    Deficits in units: z below 1; z² below 2·0.172 + 1 < 1.4; a power of z below 1.3 (0.03 of the
    last one's, 0.172·1.4, and 1); a term below 1.5; what is left out below 1.5. Together below
    2n + 4 for n terms, twice that for log f; 2|k| for k·ln 2. With |k| < 2**11 that is below 2**13
    units (n < 2**10), and |log| is at least 0.34 or, where k is 0, at least half of |f - 1|: the
    fraction bits make up for it.

    Args:
        mantissa: Positive.
        exponent: Any.
        bits: At least 64.
    """
    length = mantissa.bit_length()
    k = exponent + length - 1
    scale = 1 << length - 1
    if mantissa * mantissa > scale * scale * 2:
        k, scale = k + 1, scale * 2
    difference = abs(mantissa - scale)
    fraction = bits + 16
    if k == 0:
        fraction += scale.bit_length() - difference.bit_length()
    z = (difference << fraction) // (mantissa + scale)
    square = z * z >> fraction
    power = total = z
    n = 0
    while power:
        n += 1
        power = power * square >> fraction
        total += power // (2 * n + 1)
    low, high = 2 * total, 2 * total + 4 * n + 8
    if mantissa < scale:
        low, high = -high, -low
    ln2 = get_ln2(fraction) if k else 0
    return Enclosure(low + k * ln2 - 2 * abs(k), high + k * ln2 + 2 * abs(k), -fraction)


class Angle(NamedTuple):
    """An angle less a multiple of pi/2.

    Attributes:
        quadrant: The multiple modulo 4.
        rest: What is left, from 0 to pi/2, within 2 units.
        bits: Of the rest's fraction.
    """

    quadrant: int
    rest: int
    bits: int


def reduce_angle(mantissa: int, exponent: int, bits: int) -> Angle:
    """Subtract the multiple of pi/2 from an angle mantissa·2**exponent, however large.

    Proof. The work has extra = max(lead + 1, 0) + 4 bits, lead the exponent of the angle's first
    bit. The angle is cut by less than 1 unit of it, pi/2 is too small by less than 2, and is
    subtracted k < 2**(lead + 1) times: at most 1 + 2**(lead + 2) units, below half a unit of the
    result's; the last floor costs less than 1.

    Args:
        mantissa: Positive.
        exponent: Any.
        bits: Of the result's fraction.
    """
    extra = max(exponent + mantissa.bit_length(), 0) + 4
    work = bits + extra
    half_pi = get_pi(work - 1)
    k, rest = divmod(shift_floor(mantissa, exponent + work), half_pi)
    return Angle(k & 3, rest >> extra, bits)


def enclose_sine(angle: Angle) -> Enclosure:
    """Enclose the sine of an angle's rest.

    Proof. The square of rest is too small by less than 1 unit, which moves the sum by less than 1.
    A term's error is at most 1 + 2.5/6 of the last one's: below 2. Terms alternate and fall (from
    the second on), so what is left out is below the first of it: 3 units. The rest itself is
    wrong by 2 units, and so the sine at most. Together at most 2n + 6.
    """
    return _enclose_alternating(angle, angle.rest, 1)


def enclose_cosine(angle: Angle) -> Enclosure:
    """Enclose the cosine of an angle's rest.

    Proof. As for the sine: a term's error is at most 1 + 2.5/12 of the last one's (the first is
    exact), and the square moves the sum by less than 1.
    """
    return _enclose_alternating(angle, 1 << angle.bits, 0)


def _enclose_alternating(angle: Angle, first: int, degree: int) -> Enclosure:
    bits = angle.bits
    square = angle.rest * angle.rest >> bits
    term, total, n = first, first, 0
    while term:
        n += 1
        term = (term * square >> bits) // ((2 * n + degree) * (2 * n + degree - 1))
        total += -term if n & 1 else term
    error = 2 * n + 6
    return Enclosure(total - error, total + error, -bits)


def enclose_erf_sum(mantissa: int, exponent: int, bits: int) -> Enclosure:
    """Enclose S(x), the sum over n of (2x²)**n/(1·3·5···(2n+1)).

    erf x = 2/sqrt(pi)·x·exp(-x²)·S, and as all terms are positive, nothing cancels (Abramowitz &
    Stegun 7.1.6).

    Proof. x² is exact, and a term is one floor of the last one times q/(2n+1), q = 2x². A floor at
    term j therefore costs at most 1, q/(2j+3), q²/((2j+3)(2j+5)) … in the terms from j on:
    together at most S, since those products are at most S's own terms. So n terms have a deficit of
    at most n·S. The loop ends at a term that is 0 with later ratios below 1/2; the exact term there
    is at most S + 1, and so is all that is left out. Together at most (n + 2)·(S + 1) units.

    Args:
        mantissa: Positive.
        exponent: Any.
        bits: Of the result's fraction.
    """
    factor = 2 * mantissa * mantissa
    term = total = 1 << bits
    n = 0
    while term or shift_floor(factor, 2 * exponent) >= n:
        n += 1
        term = shift_floor(term * factor, 2 * exponent) // (2 * n + 1)
        total += term
    return Enclosure(total, total + (n + 2) * ((total >> bits) + 2), -bits)
