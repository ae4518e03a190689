"""The one rounding (`CANON-1`) against fractions, and against the hardware's own."""

import random
import struct
from fractions import Fraction

import numpy as np
import pytest

from probatum.canon.arith.formats import FLOAT16, FLOAT32, FLOAT64, FORMATS, decode
from probatum.canon.arith.rounding import round_dyadic, round_ratio, round_sqrt


def value_of(fmt, bits):
    number = decode(fmt, bits)
    assert number.kind in ("zero", "finite")
    return number.signed * Fraction(2) ** number.exponent


def check_nearest(fmt, exact, bits):
    """Check against both neighbours, by fractions alone."""
    top = (Fraction(2) - Fraction(1, 2 ** (fmt.precision - 1))) * Fraction(2) ** (
        fmt.greatest_exponent
    )
    limit = top + Fraction(2) ** (fmt.greatest_exponent - fmt.precision)
    assert (bits >= fmt.sign_bit) == (exact < 0)
    magnitude, exact = bits & (fmt.sign_bit - 1), abs(exact)
    if exact >= limit:
        assert magnitude == fmt.infinity
        return
    assert magnitude < fmt.infinity
    here = value_of(fmt, magnitude)
    above = value_of(fmt, magnitude + 1) if magnitude + 1 < fmt.infinity else None
    below = value_of(fmt, magnitude - 1) if magnitude else None
    for other in (above, below):
        if other is not None:
            assert abs(here - exact) <= abs(other - exact)
            if abs(here - exact) == abs(other - exact):
                assert magnitude % 2 == 0


def hostile_fractions(fmt, count):
    chance = random.Random(fmt.name)
    for _ in range(count):
        bits = chance.choice(
            [
                chance.randrange(fmt.infinity - 1),
                chance.randrange(40),
                fmt.infinity - 1 - chance.randrange(3),
                (1 << (fmt.precision - 1)) - chance.randrange(-3, 3),
            ]
        )
        here, above = value_of(fmt, bits), value_of(fmt, min(bits + 1, fmt.infinity - 1))
        nudge = Fraction(chance.choice([-1, 0, 0, 1]), 3 ** chance.randrange(1, 400))
        sign = chance.choice([1, -1])
        yield sign * ((here + above) / 2 + nudge * max(here, value_of(fmt, 1)))
    yield Fraction(2) ** (fmt.greatest_exponent + 1)
    yield Fraction(2) ** (fmt.greatest_exponent + 1) - Fraction(2) ** (
        fmt.greatest_exponent - fmt.precision
    )
    yield Fraction(2) ** (fmt.least_exponent - 1)
    yield -(Fraction(2) ** (fmt.least_exponent - 1))
    yield Fraction(3, 4) * Fraction(2) ** fmt.least_exponent
    yield Fraction(1, 10**400)
    yield Fraction(-(10**400), 7)


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
def test_ratios_round_to_nearest_even(fmt):
    chance = random.Random(1)
    for exact in hostile_fractions(fmt, 1500):
        shift = chance.randrange(-300, 300)
        scaled = exact / Fraction(2) ** shift
        check_nearest(fmt, exact, round_ratio(fmt, scaled.numerator, scaled.denominator, shift))


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
def test_dyadics_round_to_nearest_even(fmt):
    for exact in hostile_fractions(fmt, 1500):
        if exact.denominator & (exact.denominator - 1) == 0:
            exponent = 1 - exact.denominator.bit_length()
            check_nearest(fmt, exact, round_dyadic(fmt, exact.numerator, exponent))


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
def test_every_value_rounds_to_itself(fmt):
    step = 1 if fmt.width == 16 else (fmt.infinity // 3001)
    for bits in range(1, fmt.infinity, step):
        number = decode(fmt, bits)
        for shift in (0, 1, 77):
            assert round_dyadic(fmt, number.signed << shift, number.exponent - shift) == bits
            assert (
                round_dyadic(fmt, -number.signed << shift, number.exponent - shift)
                == bits | fmt.sign_bit
            )


def test_extreme_exponents_cost_nothing():
    far = 10**30
    assert round_dyadic(FLOAT32, 1, far) == FLOAT32.infinity
    assert round_dyadic(FLOAT32, -1, -far) == FLOAT32.sign_bit
    assert round_dyadic(FLOAT32, 1, -far) == 0
    assert round_dyadic(FLOAT32, 0, far) == 0
    assert round_ratio(FLOAT32, -1, 3, -far) == FLOAT32.sign_bit
    assert round_ratio(FLOAT32, 0, 3, far) == 0


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
def test_square_roots_round_to_nearest(fmt):
    chance = random.Random(2)
    for _ in range(800):
        bits = chance.choice([chance.randrange(1, fmt.infinity), chance.randrange(1, 50)])
        number = decode(fmt, bits)
        root = round_sqrt(fmt, number.mantissa, number.exponent)
        # Between its midpoints, squared; a midpoint is never the root of a format's value.
        low = (value_of(fmt, root) + value_of(fmt, root - 1)) / 2
        high = (value_of(fmt, root) + value_of(fmt, root + 1)) / 2
        assert low**2 < number.mantissa * Fraction(2) ** number.exponent < high**2
    assert round_sqrt(fmt, 0, 5) == 0
    # An odd exponent, an exact root, and a tie: (2p+1 bits squared) halves exactly.
    tie = (1 << fmt.precision) + 1
    assert round_sqrt(fmt, tie * tie, 0) == round_dyadic(fmt, tie, 0)
    assert round_sqrt(fmt, (tie * tie + 1) << 7, -7) == round_dyadic(fmt, 2 * tie + 1, -1)


def test_the_hardware_agrees():
    chance = random.Random(3)
    for _ in range(2000):
        double = struct.unpack("<d", struct.pack("<Q", chance.getrandbits(64)))[0]
        if not np.isfinite(double) or double == 0:
            continue
        top, bottom = double.as_integer_ratio()
        with np.errstate(all="ignore"):
            assert round_ratio(FLOAT32, top, bottom) == np.float32(double).view(np.uint32)
            assert round_ratio(FLOAT16, top, bottom) == np.float16(double).view(np.uint16)
    for text in ("0.1", "1e-310", "4.9e-324", "2.4703282292062327e-324", "1.7976931348623158e308"):
        exact = Fraction(text)
        want = struct.unpack("<Q", struct.pack("<d", float(text)))[0]
        assert round_ratio(FLOAT64, exact.numerator, exact.denominator) == want
