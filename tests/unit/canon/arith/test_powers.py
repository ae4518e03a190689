"""Powers against MPFR, bit for bit, and C99's table of special values (`CANON-3`)."""

import random

import pytest

from probatum.canon.arith.formats import FLOAT32, FLOAT64, FORMATS, inf, nan, one, zero
from probatum.canon.arith.powers import power
from probatum.canon.arith.rounding import round_dyadic
from tests.unit.canon.arith import mpfr

ALL = pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)


def pairs(fmt, count, seed):
    """Yield any bits, ordinary sizes, small integers and halves, neighbours of 1."""
    chance = random.Random(f"{fmt.name} {seed}")
    plain = list(mpfr.sample(fmt, count, seed))
    for _ in range(count):
        yield tuple(
            chance.choice(
                [
                    chance.choice(plain),
                    round_dyadic(fmt, chance.randrange(-40, 40), chance.randrange(-6, 4)),
                    one(fmt) + chance.randrange(-3, 4),
                ]
            )
            for _ in range(2)
        )


def check(fmt, x, y):
    want, have = mpfr.compute(fmt, pow, x, y), power(fmt, x, y)
    assert have == want, f"{x:#x} to the {y:#x} is {have:#x}, not {want:#x}"


@ALL
def test_every_power_is_the_nearest(fmt):
    for x, y in pairs(fmt, 1500, "power"):
        check(fmt, x, y)


@pytest.mark.nightly
@ALL
def test_very_many_powers(fmt):
    for x, y in pairs(fmt, 100_000, random.SystemRandom().random()):
        check(fmt, x, y)


@ALL
def test_powers_that_lie_on_a_boundary(fmt):
    """Squares, cubes … and their roots, where a result is exact or halfway between two floats."""
    chance = random.Random(fmt.name)
    p = fmt.precision
    half, quarter = round_dyadic(fmt, 1, -1), round_dyadic(fmt, 1, -2)
    for _ in range(200):
        for degree in (2, 3, 4, 5, 7):
            # The longest odd bases whose powers have p + 1 bits: many of them are ties.
            base = chance.randrange(3, max(4, 1 << ((p + 1) // degree + 1))) | 1
            scale = chance.randrange(-3, 4)
            x = round_dyadic(fmt, base, scale)
            check(fmt, x, round_dyadic(fmt, degree))
            check(fmt, x, round_dyadic(fmt, -degree))
            check(fmt, x | fmt.sign_bit, round_dyadic(fmt, degree))
        root = chance.randrange(1, 1 << p // 2)
        check(fmt, round_dyadic(fmt, root * root, 2 * chance.randrange(-4, 4)), half)
        check(fmt, round_dyadic(fmt, root * root, 2 * chance.randrange(-4, 4)), half | fmt.sign_bit)
        root = chance.randrange(1, 1 << p // 4)
        check(fmt, round_dyadic(fmt, root**4, 4 * chance.randrange(-4, 4)), quarter)
        check(fmt, round_dyadic(fmt, root**4), round_dyadic(fmt, chance.choice([3, 5, 7]), -2))


@ALL
def test_subnormal_results(fmt):
    least = fmt.least_exponent
    for exponent in range(least - 3, least + 4):
        for x in (2, 3, 5, 6):
            y = round_dyadic(fmt, exponent * 4 // (x.bit_length() + 1), 0)
            check(fmt, round_dyadic(fmt, x), y)
        check(fmt, round_dyadic(fmt, 1, exponent // 2), round_dyadic(fmt, 2))
        check(fmt, round_dyadic(fmt, 3, exponent // 2), round_dyadic(fmt, 2))


@ALL
def test_special_values_are_those_of_annex_f(fmt):
    plus, minus, quiet = inf(fmt), inf(fmt, negative=True), nan(fmt)
    unit, less, nought = one(fmt), one(fmt, negative=True), zero(fmt, negative=True)
    two, three, half = (round_dyadic(fmt, n, e) for n, e in ((1, 1), (3, 0), (1, -1)))
    sign = fmt.sign_bit
    table = [
        (0, three | sign, plus),
        (nought, three | sign, minus),
        (nought, two | sign, plus),
        (0, minus, plus),
        (nought, minus, plus),
        (nought, three, nought),
        (0, three, 0),
        (nought, two, 0),
        (nought, half, 0),
        (nought, plus, 0),
        (less, plus, unit),
        (less, minus, unit),
        (unit, quiet, unit),
        (unit, plus, unit),
        (quiet, 0, unit),
        (quiet, nought, unit),
        (plus, 0, unit),
        (quiet, unit, quiet),
        (two, quiet, quiet),
        (two | sign, half, quiet),
        (two | sign, half | sign, quiet),
        (half, minus, plus),
        (half | sign, minus, plus),
        (two, minus, 0),
        (two | sign, minus, 0),
        (half, plus, 0),
        (two, plus, plus),
        (two | sign, plus, plus),
        (0, plus, 0),
        (minus, three | sign, nought),
        (minus, two | sign, 0),
        (minus, half | sign, 0),
        (minus, three, minus),
        (minus, two, plus),
        (minus, half, plus),
        (plus, half | sign, 0),
        (plus, half, plus),
        (plus, minus, 0),
        (minus, plus, plus),
        (less, three, less),
        (less, two, unit),
        (less, half, quiet),
    ]
    for x, y, want in table:
        assert power(fmt, x, y) == want, (hex(x), hex(y))
        check(fmt, x, y)


def test_extremes_cost_nothing():
    for fmt in (FLOAT32, FLOAT64):
        top = fmt.infinity - 1
        for x in (1, top, one(fmt) + 1, one(fmt) - 1, round_dyadic(fmt, 1, -8)):
            for y in (1, top, top | fmt.sign_bit, 1 | fmt.sign_bit):
                check(fmt, x, y)
