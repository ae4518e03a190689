"""The noise of a word against MPFR (`GUMBEL-1`)."""

import random
from itertools import pairwise

import gmpy2
import pytest

from probatum.canon.arith import gumbel
from probatum.canon.arith.formats import FLOAT32, decode
from probatum.canon.arith.gumbel import NOISE_BITS, compute_gumbel
from probatum.canon.arith.rounding import round_dyadic

LAST = 2**32 - 1
NEAR_ONE = 1580030168
"""Of the words around 2**32/e, where the inner logarithm is 1 and the outer one 0."""


def compute_exactly(word, precision=200):
    """The noise in units of 2**-18, before rounding."""
    with gmpy2.context(precision=precision):
        uniform = gmpy2.div_2exp(gmpy2.mpfr(2 * word + 1), 33)
        return gmpy2.mul_2exp(-gmpy2.log(-gmpy2.log(uniform)), NOISE_BITS)


def test_any_word_and_both_ends():
    chance = random.Random("gumbel")
    words = [chance.getrandbits(32) for _ in range(1500)]
    words += [chance.getrandbits(chance.randrange(1, 32)) for _ in range(200)]
    words += [LAST - word for word in words[-200:]]
    for word in (0, 1, LAST - 1, LAST, *range(NEAR_ONE - 60, NEAR_ONE + 60), *words):
        assert compute_gumbel(word) == int(gmpy2.rint(compute_exactly(word)))


def test_every_noise_is_a_float32():
    least, most = compute_gumbel(0), compute_gumbel(LAST)
    assert (least, most) == (-820509, 5996244)
    for units in (least, most):
        number = decode(FLOAT32, round_dyadic(FLOAT32, units, -NOISE_BITS))
        assert gmpy2.mpq(number.signed) * gmpy2.mpq(2) ** number.exponent == gmpy2.mpq(
            units, 2**NOISE_BITS
        )


def test_it_grows_with_the_word():
    words = sorted(random.Random(1).getrandbits(32) for _ in range(500))
    assert all(compute_gumbel(one) <= compute_gumbel(two) for one, two in pairwise(words))
    assert compute_gumbel(NEAR_ONE - 4000) < 0 < compute_gumbel(NEAR_ONE + 4000)


def test_the_loop_ends(monkeypatch):
    """Were a value too near to half an integer for every precision, the even one would be it."""
    word = next(one for one in range(NEAR_ONE, NEAR_ONE + 9999) if compute_gumbel(one) % 2)
    enclose = gumbel.enclose_log
    asked = []

    def enclose_widely(mantissa, exponent, precision):
        asked.append(precision)
        enclosure = enclose(mantissa, exponent, precision)
        slack = 1 << -enclosure.exponent - NOISE_BITS - 1
        return enclosure._replace(low=enclosure.low - slack, high=enclosure.high + slack)

    monkeypatch.setattr(gumbel, "enclose_log", enclose_widely)
    assert compute_gumbel(word) % 2 == 0
    assert asked[-1] == 4096


@pytest.mark.parametrize("precision", [64, 128])
def test_the_oracle_knows_its_own_error(precision):
    for word in (0, NEAR_ONE, LAST):
        assert abs(compute_exactly(word, precision) - compute_exactly(word)) < 2.0 ** (
            40 - precision
        )
