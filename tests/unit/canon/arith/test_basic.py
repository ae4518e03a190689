"""Addition to square root against the hardware, bit for bit, and bfloat16 against MPFR."""

import operator
import random

import gmpy2
import numpy as np
import pytest

from probatum.canon.arith import basic
from probatum.canon.arith.formats import BFLOAT16, FORMATS, is_nan, nan, one
from tests.unit.canon.arith import mpfr

ALL = pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
OPERATORS = {
    "add": (np.add, operator.add),
    "subtract": (np.subtract, operator.sub),
    "multiply": (np.multiply, operator.mul),
    "divide": (np.divide, gmpy2.div),
}


def pairs(fmt, seed):
    chance = random.Random(seed)
    elements = list(mpfr.sample(fmt, 400, seed))
    specials = [0, 1, one(fmt), fmt.infinity, nan(fmt), fmt.infinity - 1]
    specials += [bits | fmt.sign_bit for bits in specials]
    yield from ((x, y) for x in specials for y in specials)
    for _ in range(1500):
        x, y = chance.choice(elements), chance.choice(elements)
        yield x, y
        nearby = (x ^ fmt.sign_bit) + chance.randrange(-2, 3)
        yield x, nearby % (1 << fmt.width)


@ALL
@pytest.mark.parametrize("name", OPERATORS)
def test_two_elements(fmt, name):
    """MPFR rounds 0 by its own mode, so zeros are left to the hardware."""
    hardware, exact = OPERATORS[name]
    ours = getattr(basic, name)
    chosen = list(pairs(fmt, name))
    if fmt is BFLOAT16:
        for x, y in chosen:
            want = mpfr.compute(fmt, exact, x, y)
            if want not in (0, fmt.sign_bit):
                assert ours(fmt, x, y) == want, (hex(x), hex(y))
        return
    unsigned = f"uint{fmt.width}"
    left, right = (np.array(side, unsigned).view(fmt.name) for side in zip(*chosen, strict=True))
    with np.errstate(all="ignore"):
        results = hardware(left, right).view(unsigned)
    for (x, y), want in zip(chosen, results.tolist(), strict=True):
        have = ours(fmt, x, y)
        assert have == (nan(fmt) if is_nan(fmt, want) else want), (hex(x), hex(y))


def test_zeros_of_bfloat16():
    minus, unit = BFLOAT16.sign_bit, one(BFLOAT16)
    assert basic.add(BFLOAT16, unit, unit | minus) == 0
    assert basic.add(BFLOAT16, minus, minus) == minus
    assert basic.add(BFLOAT16, minus, 0) == 0
    assert basic.subtract(BFLOAT16, minus, 0) == minus
    assert basic.subtract(BFLOAT16, 0, 0) == 0
    assert basic.multiply(BFLOAT16, 1, 1 | minus) == minus
    assert basic.divide(BFLOAT16, minus, unit) == minus


@ALL
def test_square_roots(fmt):
    for bits in mpfr.sample(fmt, 2000, "sqrt"):
        assert basic.sqrt(fmt, bits) == mpfr.compute(fmt, gmpy2.sqrt, bits), hex(bits)


@ALL
@pytest.mark.parametrize("target", FORMATS.values(), ids=FORMATS)
def test_conversions(fmt, target):
    for bits in mpfr.sample(fmt, 1000, "convert"):
        have = basic.convert(fmt, target, bits)
        assert have == mpfr.round_to(target, mpfr.read(fmt, bits))


def test_a_double_goes_to_bfloat16_in_one_step():
    # By way of float32 it would round twice, to 1.
    double = one(FORMATS["float64"]) + (1 << 44) + (1 << 22)
    assert basic.convert(FORMATS["float64"], BFLOAT16, double) == one(BFLOAT16) + 1
