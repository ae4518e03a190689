from __future__ import annotations

import numpy as np
import pytest

from probatum.canon.arith.formats import FORMATS
from probatum.canon.arith.sums import finish_mean, finish_sum, sum_elements
from probatum.canon.evaluate.rounding import round_to
from probatum.canon.evaluate.values import CANONICAL_NAN, get_bits
from tests.unit.canon.evaluate.oracle import FLOATS, compute, from_bits, make_hostile

OPERATORS = ("ReduceSum", "ReduceMean")


def judge(operator, dtype, rows):
    fmt = FORMATS[dtype]
    partials = [sum_elements(fmt, row) for row in get_bits(rows).tolist()]
    if operator == "ReduceSum":
        return [[finish_sum(fmt, partial)] for partial in partials]
    return [[finish_mean(fmt, partial, rows.shape[1])] for partial in partials]


def reduce(operator, dtype, rows, **settings):
    return compute(operator, [(dtype, rows)], dtype, (len(rows), 1), settings=settings).tolist()


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("terms", [1, 2, 3, 20, 768])
def test_random_rows(operator, dtype, terms):
    rng = np.random.default_rng(terms)
    rows = round_to(dtype, rng.standard_normal((300, terms)))
    assert reduce(operator, dtype, rows) == judge(operator, dtype, rows)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("terms", [1, 2, 5])
def test_hostile_rows(operator, dtype, terms):
    rows = make_hostile(dtype, 600 * terms, seed=terms).reshape(600, terms)
    assert reduce(operator, dtype, rows) == judge(operator, dtype, rows)


@pytest.mark.parametrize("operator", OPERATORS)
@pytest.mark.parametrize("dtype", FLOATS)
def test_ties_and_cancellation(operator, dtype):
    """Few bits a term: sums end half way often; and rows that cancel to the last bit."""
    rng = np.random.default_rng(1)
    few = round_to(dtype, rng.integers(-8, 9, (300, 6)) * 2.0 ** rng.integers(-12, 12, (300, 6)))
    half = round_to(dtype, rng.standard_normal((300, 6)))
    minus = (get_bits(half) ^ np.array(FORMATS[dtype].sign_bit, get_bits(half).dtype)).view(
        half.dtype
    )
    rest = round_to(dtype, rng.standard_normal((300, 1)) * rng.integers(0, 2, (300, 1)))
    rows = np.concatenate((half, rest, minus), axis=1)
    for one in (few, rows):
        one = np.ascontiguousarray(one)  # noqa: PLW2901
        assert reduce(operator, dtype, one) == judge(operator, dtype, one)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_greatest_and_least(dtype):
    top = FORMATS[dtype].infinity - 1
    rows = from_bits(dtype, [[top, top, top], [top, top | FORMATS[dtype].sign_bit, 1], [1, 0, 0]])
    for operator in OPERATORS:
        assert reduce(operator, dtype, rows) == judge(operator, dtype, rows)


@pytest.mark.parametrize("dtype", FLOATS)
def test_nothing_to_sum(dtype):
    rows = np.zeros((2, 0), round_to(dtype, np.zeros(1)).dtype)
    assert reduce("ReduceSum", dtype, rows) == [[0], [0]]
    assert reduce("ReduceMean", dtype, rows) == [[CANONICAL_NAN[dtype]]] * 2


def test_integers_wrap():
    rows = np.array([[2**31 - 1, 5], [-(2**31), -1]], np.int32)
    assert reduce("ReduceSum", "int32", rows) == [[(2**31 + 4)], [2**31 - 1]]


def test_threads_change_nothing():
    rows = np.random.default_rng(2).standard_normal((2000, 50)).astype(np.float32)
    for operator in OPERATORS:
        assert reduce(operator, "float32", rows, threads=2) == reduce(operator, "float32", rows)


@pytest.mark.parametrize("operator", ["ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("dtype", FLOATS)
def test_extremes(operator, dtype):
    rows = make_hostile(dtype, 800, seed=4).reshape(400, 2)
    fmt = FORMATS[dtype]

    def order(bits):
        """A total order in which -0 is below +0."""
        return bits if bits < fmt.sign_bit else fmt.sign_bit - 1 - bits

    def choose(row):
        if any(bits & (fmt.sign_bit - 1) > fmt.infinity for bits in row):
            return CANONICAL_NAN[dtype]
        return (max if operator == "ReduceMax" else min)(row, key=order)

    assert reduce(operator, dtype, rows) == [[choose(row)] for row in get_bits(rows).tolist()]
