from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from probatum.canon.arith.formats import FORMATS
from probatum.canon.arith.sums import finish_products, sum_products
from probatum.canon.evaluate.rounding import round_to
from probatum.canon.evaluate.values import get_bits
from tests.unit.canon.evaluate.oracle import (
    FLOATS,
    compute,
    from_bits,
    make_hostile,
    round_fraction,
    to_fraction,
)


def judge(dtype, left, right):
    """The dot of every row with every row, by integers."""
    fmt = FORMATS[dtype]
    ones, twos = get_bits(left).tolist(), get_bits(right).tolist()
    return np.array(
        [[finish_products(fmt, sum_products(fmt, one, two)) for two in twos] for one in ones],
        get_bits(left).dtype,
    )


def dot(dtype, left, right, **settings):
    return compute(
        "Dot",
        [(dtype, left), (dtype, right)],
        dtype,
        (*left.shape[:-1], len(right)),
        settings=settings,
    )


def make_cancelling(dtype, rows, columns, terms, seed):
    """Rows whose products cancel down to their last bits, or wholly."""
    rng = np.random.default_rng(seed)
    half = round_to(dtype, rng.standard_normal((rows, terms)) * 2.0 ** rng.integers(-9, 9, terms))
    left = np.concatenate((half, half, round_to(dtype, rng.standard_normal((rows, 2)))), axis=1)
    other = round_to(dtype, rng.standard_normal((columns, terms)))
    minus = get_bits(other) ^ FORMATS[dtype].sign_bit
    tail = round_to(dtype, rng.standard_normal((columns, 2)) * 2.0**-20 * (seed % 2))
    right = np.concatenate((other, minus.astype(minus.dtype).view(other.dtype), tail), axis=1)
    return np.ascontiguousarray(left), np.ascontiguousarray(right)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("terms", [1, 3, 64, 700])
def test_random_rows_are_the_integers_sums(dtype, terms):
    rng = np.random.default_rng(terms)
    left = round_to(dtype, rng.standard_normal((16, terms)))
    right = round_to(dtype, rng.standard_normal((24, terms)))
    assert dot(dtype, left, right).tolist() == judge(dtype, left, right).tolist()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("seed", [0, 1])
def test_cancellation(dtype, seed):
    left, right = make_cancelling(dtype, 20, 24, 33, seed)
    assert dot(dtype, left, right).tolist() == judge(dtype, left, right).tolist()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("terms", [1, 2, 5])
def test_hostile_elements(dtype, terms):
    left = make_hostile(dtype, 40 * terms, seed=terms).reshape(40, terms)
    right = make_hostile(dtype, 50 * terms, seed=terms + 1).reshape(50, terms)
    assert dot(dtype, left, right).tolist() == judge(dtype, left, right).tolist()


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_ties_go_to_even(dtype):
    """1 + half an ulp, and a term far below that decides, or none."""
    fmt = FORMATS[dtype]
    one = (-fmt.least_exponent - fmt.precision + 2) << (fmt.precision - 1)
    rows = []
    for odd in (0, 1):
        for last in (0, 1, fmt.sign_bit | 1):
            half = one - (fmt.precision << (fmt.precision - 1))
            rows.append([one + odd, half, last])
    left = from_bits(dtype, rows)
    right = from_bits(dtype, [[one] * 3] * 4)
    got = dot(dtype, left, right)
    assert got.tolist() == judge(dtype, left, right).tolist()
    assert len({tuple(row) for row in got.tolist()}) > 1


def test_against_rationals():
    rng = np.random.default_rng(7)
    left = rng.standard_normal((6, 50)).astype(np.float32)
    right = (rng.standard_normal((9, 50)) * 1e-20).astype(np.float32)
    want = [
        [
            round_fraction(
                "float32",
                sum(
                    (
                        to_fraction("float32", a) * to_fraction("float32", b)
                        for a, b in zip(one, two, strict=True)
                    ),
                    Fraction(0),
                ),
            )
            for two in get_bits(right)
        ]
        for one in get_bits(left)
    ]
    assert dot("float32", left, right).tolist() == want


@pytest.mark.parametrize("scale", [1e-38, 1e-30, 1e30])
def test_small_and_large(scale):
    rng = np.random.default_rng(3)
    left = (rng.standard_normal((16, 40)) * scale).astype(np.float32)
    right = (rng.standard_normal((24, 40)) * (1e-7 if scale < 1 else 1e9)).astype(np.float32)
    assert dot("float32", left, right).tolist() == judge("float32", left, right).tolist()


@pytest.mark.parametrize("batch", [1, 3])
def test_rows_and_columns_of_every_size(batch):
    """One bound for a chunk is far too large for most: each element's own decides."""
    rng = np.random.default_rng(11)
    left = rng.standard_normal((batch, 12, 60)) * 2.0 ** rng.integers(-30, 30, (batch, 12, 1))
    right = rng.standard_normal((batch, 14, 60)) * 2.0 ** rng.integers(-30, 30, (batch, 14, 1))
    left[:, 3] = right[:, 5] = 0
    sides = [side.astype(np.float32) for side in (left, right)]
    got = compute("Dot", [("float32", side) for side in sides], "float32", (batch, 12, 14))
    want = [judge("float32", one, two) for one, two in zip(*sides, strict=True)]
    assert got.tolist() == np.stack(want).tolist()


def test_flood_and_no_flood_agree():
    """All cancels: the whole matrix goes by slices, its elements alone by the ladder."""
    left, right = make_cancelling("float32", 40, 60, 200, 1)
    flood = dot("float32", left, right)
    assert (flood == 0).mean() < 0.5, "two terms do not cancel"
    few = [dot("float32", left[at : at + 1], right) for at in range(0, 40, 8)]
    assert flood[::8].tolist() == [one[0].tolist() for one in few]
    assert flood[:3, :5].tolist() == judge("float32", left[:3], right[:5]).tolist()


def test_wholly_zero_products_are_plus_zero():
    rng = np.random.default_rng(0)
    half = rng.standard_normal((64, 80)).astype(np.float32)
    other = rng.standard_normal((64, 80)).astype(np.float32)
    left = np.concatenate((half, half), axis=1)
    right = np.concatenate((other, -other), axis=1)
    assert not dot("float32", left, right).any()


@pytest.mark.parametrize("settings", [{"threads": 2}, {"k_chunk": 64}, {"k_chunk": 7}])
def test_no_setting_changes_a_bit(settings):
    rng = np.random.default_rng(5)
    left = rng.standard_normal((70, 600)).astype(np.float32)
    right = rng.standard_normal((90, 600)).astype(np.float32)
    assert dot("float32", left, right, **settings).tolist() == dot("float32", left, right).tolist()


def test_batches_broadcast():
    rng = np.random.default_rng(6)
    left = rng.standard_normal((3, 1, 5, 20)).astype(np.float32)
    right = rng.standard_normal((2, 7, 20)).astype(np.float32)
    got = compute("Dot", [("float32", left), ("float32", right)], "float32", (3, 2, 5, 7))
    for i in range(3):
        for j in range(2):
            assert got[i, j].tolist() == judge("float32", left[i, 0], right[j]).tolist()


@pytest.mark.parametrize(
    ("dtype", "out"),
    [("int8", "int32"), ("uint8", "int32"), ("int32", "int32"), ("int64", "int64")],
)
def test_integers_wrap(dtype, out):
    rng = np.random.default_rng(8)
    limits = np.iinfo(dtype)
    left = rng.integers(limits.min, limits.max, (5, 33), dtype=dtype, endpoint=True)
    right = rng.integers(limits.min, limits.max, (6, 33), dtype=dtype, endpoint=True)
    got = compute("Dot", [(dtype, left), (dtype, right)], out, (5, 6))
    width = np.dtype(out).itemsize * 8
    want = left.astype(object) @ right.T.astype(object)
    assert got.tolist() == [[int(one) % (1 << width) for one in row] for row in want]


def test_no_terms_sum_to_plus_zero():
    left, right = np.zeros((2, 0), np.float32), np.zeros((3, 0), np.float32)
    assert dot("float32", left, right).tolist() == [[0] * 3] * 2


def test_bounds_hold_where_norms_are_uneven():
    """One bound a row, or one an element: the same bits."""
    rng = np.random.default_rng(9)
    left = rng.standard_normal((30, 64)).astype(np.float32)
    right = (rng.standard_normal((40, 64)) * 10.0 ** rng.integers(-9, 9, (40, 1))).astype("f4")
    assert dot("float32", left, right).tolist() == judge("float32", left, right).tolist()
