"""Enclosures hold what they promise, at every precision of Ziv's loop (`CANON-3`)."""

import random

import gmpy2
import pytest

from probatum.canon.arith import constants, series
from probatum.canon.arith.formats import FLOAT32, one
from probatum.canon.arith.ziv import PRECISIONS, Enclosure, round_enclosed
from tests.unit.canon.arith import mpfr


def exact(mantissa, exponent):
    value = gmpy2.mpfr(mantissa)
    move = gmpy2.mul_2exp if exponent >= 0 else gmpy2.div_2exp
    return move(value, abs(exponent))


def check(enclosure, value, precision, tightness=0):
    """Check that a value lies inside, and that the enclosure is as narrow as is promised."""
    low, high = exact(enclosure.low, enclosure.exponent), exact(enclosure.high, enclosure.exponent)
    assert low <= value <= high
    assert high - low <= exact(1, tightness - precision)


@pytest.fixture(autouse=True)
def precise():
    with gmpy2.context(precision=9000, **mpfr.RANGE):
        yield


@pytest.mark.parametrize("bits", [1, 255, 256, 257, 300, 1000, 4097, 5300])
def test_constants(bits):
    with gmpy2.context(precision=9000, **mpfr.RANGE):
        for value, want in (
            (constants.get_pi(bits), gmpy2.const_pi()),
            (constants.get_ln2(bits), gmpy2.const_log2()),
            (constants.get_two_over_sqrt_pi(bits), 2 / gmpy2.sqrt(gmpy2.const_pi())),
        ):
            assert 0 <= exact(want, bits) - value < 2


@pytest.mark.parametrize("precision", PRECISIONS)
def test_exp_and_log(precision):
    chance = random.Random(precision)
    for _ in range(12):
        lead = chance.randrange(-60, 11)
        argument = chance.choice([1, -1]) * chance.getrandbits(max(precision + lead, 1))
        k_bits = 14  # of the slack, 3·(1 + 2·1478) units
        enclosure = series.enclose_exp(argument, precision, 1)
        value = gmpy2.exp(exact(argument, -precision))
        check(
            enclosure._replace(exponent=-precision),
            value / exact(1, enclosure.exponent + precision),
            precision,
            k_bits,
        )
        mantissa = chance.choice([chance.getrandbits(53) | 1 << 52, (1 << 52) + 1, (1 << 53) - 1])
        exponent = chance.choice([-52, -53, chance.randrange(-1074, 900)])
        value = gmpy2.log(exact(mantissa, exponent))
        enclosure = series.enclose_log(mantissa, exponent, precision)
        low, high = (
            exact(enclosure.low, enclosure.exponent),
            exact(enclosure.high, enclosure.exponent),
        )
        assert low <= value <= high
        assert high - low <= abs(value) * exact(1, -precision)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_angles(precision):
    chance = random.Random(precision)
    for exponent in (-100, -60, -52, -40, 0, 100, 970):
        mantissa = chance.getrandbits(53) | 1
        angle = series.reduce_angle(mantissa, exponent, precision)
        value = exact(mantissa, exponent)
        turn = angle.quadrant
        sine, cosine = gmpy2.sin(value), gmpy2.cos(value)
        want = [(sine, cosine), (-cosine, sine), (-sine, -cosine), (cosine, -sine)][turn]
        check(series.enclose_sine(angle), want[0], precision, 12)
        check(series.enclose_cosine(angle), want[1], precision, 12)


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_series_of_erf(precision):
    for mantissa, exponent in (
        (1, -1074),
        (3, -20),
        (1, 0),
        (7, -1),
        (255, -5),
        ((1 << 53) - 1, -50),
    ):
        value = exact(mantissa, exponent)
        want = (
            gmpy2.erf(value) * gmpy2.exp(value * value) * gmpy2.sqrt(gmpy2.const_pi()) / 2 / value
        )
        enclosure = series.enclose_erf_sum(mantissa, exponent, precision)
        check(enclosure, want, precision, 14 + int(want).bit_length())


def test_the_loop_stops_as_soon_as_both_ends_agree():
    asked = []

    def enclose(precision):
        asked.append(precision)
        unit = 1 << precision
        # Just above the middle between 1 and the next float32.
        middle = unit + (unit >> 24) + (unit >> 300)
        return Enclosure(middle - 2, middle + 2, -precision)

    assert round_enclosed(FLOAT32, enclose) == one(FLOAT32) + 1
    assert asked == [96, 192, 384]


@pytest.mark.parametrize(("bits", "want"), [(0, 0), (1, 2)])
def test_what_4096_bits_do_not_decide_goes_to_even(bits, want):
    asked = []

    def enclose(precision):
        asked.append(precision)
        unit = 1 << precision
        middle = unit + bits * (unit >> 23) + (unit >> 24)
        return Enclosure(middle - 1, middle + 1, -precision)

    assert round_enclosed(FLOAT32, enclose) == one(FLOAT32) + want
    assert asked == list(PRECISIONS)
