"""Functions of one element against MPFR, bit for bit (`CANON-3`)."""

import random
from itertools import pairwise

import pytest

from probatum.canon.arith import functions
from probatum.canon.arith.formats import (
    FORMATS,
    compute_order,
    inf,
    is_nan,
    nan,
    one,
    zero,
)
from probatum.canon.arith.rounding import round_dyadic
from tests.unit.canon.arith import mpfr

ALL = pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
EACH = pytest.mark.parametrize("name", mpfr.FUNCTIONS)


def check(fmt, name, elements):
    for bits in elements:
        want = mpfr.compute(fmt, mpfr.FUNCTIONS[name], bits)
        have = getattr(functions, name)(fmt, bits)
        assert have == want, f"{name}({bits:#x}) is {have:#x}, not {want:#x}"


@ALL
@EACH
def test_every_result_is_the_nearest(fmt, name):
    check(fmt, name, mpfr.sample(fmt, 400, name))


@pytest.mark.nightly
@pytest.mark.parametrize("fmt", [FORMATS["float16"], FORMATS["bfloat16"]], ids=lambda fmt: fmt.name)
@EACH
def test_all_elements_of_16_bits(fmt, name):
    check(fmt, name, range(1 << 16))


@pytest.mark.nightly
@pytest.mark.parametrize("fmt", [FORMATS["float32"], FORMATS["float64"]], ids=lambda fmt: fmt.name)
@EACH
def test_very_many_elements(fmt, name):
    check(fmt, name, mpfr.sample(fmt, 100_000, f"{name} {random.SystemRandom().random()}"))


@ALL
def test_special_values(fmt):
    plus, minus, half = inf(fmt), inf(fmt, negative=True), round_dyadic(fmt, 1, -1)
    unit, less, nought = one(fmt), one(fmt, negative=True), zero(fmt, negative=True)
    want = {
        "exp": {0: unit, nought: unit, plus: plus, minus: 0},
        "log": {0: minus, nought: minus, plus: plus, minus: nan(fmt), unit: 0, less: nan(fmt)},
        "erf": {0: 0, nought: nought, plus: unit, minus: less},
        "tanh": {0: 0, nought: nought, plus: unit, minus: less},
        "sigmoid": {0: half, nought: half, plus: unit, minus: 0},
        "sin": {0: 0, nought: nought, plus: nan(fmt), minus: nan(fmt)},
        "cos": {0: unit, nought: unit, plus: nan(fmt), minus: nan(fmt)},
    }
    assert set(want) == set(mpfr.FUNCTIONS)
    for name, table in want.items():
        function = getattr(functions, name)
        for bits, result in table.items():
            assert function(fmt, bits) == result, (name, hex(bits))
        for loud in (fmt.infinity + 1, fmt.sign_bit | nan(fmt)):
            assert function(fmt, loud) == nan(fmt)


@ALL
@pytest.mark.parametrize("name", ["exp", "log", "erf", "tanh", "sigmoid"])
def test_what_rises_never_falls(fmt, name):
    chance = random.Random(name)
    function = getattr(functions, name)
    for _ in range(12):
        start = chance.choice([1, one(fmt) - 8, chance.randrange(fmt.infinity - 16)])
        run = [compute_order(fmt, function(fmt, start + step)) for step in range(16)]
        assert all(left <= right for left, right in pairwise(run))
        if name != "log":
            run = [function(fmt, fmt.sign_bit | (start + step)) for step in range(16)]
            orders = [compute_order(fmt, bits) for bits in run]
            assert all(left >= right for left, right in pairwise(orders))


@ALL
@pytest.mark.parametrize("name", ["erf", "tanh", "sin"])
def test_odd_functions_are_odd(fmt, name):
    function = getattr(functions, name)
    for bits in mpfr.sample(fmt, 120, "odd"):
        if not is_nan(fmt, bits) and not is_nan(fmt, function(fmt, bits)):
            assert function(fmt, bits ^ fmt.sign_bit) == function(fmt, bits) ^ fmt.sign_bit


def test_the_hardest_known_angle_of_a_double():
    # 6381956970095103·2**797 is the double nearest to a multiple of pi/2 (Muller et al.).
    fmt = FORMATS["float64"]
    bits = round_dyadic(fmt, 6381956970095103, 797)
    check(fmt, "cos", [bits])
    check(fmt, "sin", [bits, fmt.infinity - 1])
    assert functions.cos(fmt, bits) & ~fmt.sign_bit < round_dyadic(fmt, 1, -60)
