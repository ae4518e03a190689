from __future__ import annotations

import operator
from fractions import Fraction
from math import trunc

import numpy as np
import pytest

from probatum.canon.arith.formats import FORMATS, compute_order, decode, from_signed, inf, nan, zero
from probatum.canon.arith.rounding import round_dyadic
from probatum.canon.evaluate.values import get_bits
from tests.unit.canon.evaluate.oracle import FLOATS, compute, make_hostile

RULES = {
    "Equal": operator.eq,
    "Less": operator.lt,
    "LessOrEqual": operator.le,
    "Greater": operator.gt,
    "GreaterOrEqual": operator.ge,
}
INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", sorted(RULES))
def test_comparisons_of_floats(name, dtype):
    fmt = FORMATS[dtype]
    one, two = make_hostile(dtype, 600, 1), make_hostile(dtype, 600, 2)
    two[:200] = one[:200]

    def judge(a, b):
        if any(bits & (fmt.sign_bit - 1) > fmt.infinity for bits in (a, b)):
            return False
        return RULES[name](compute_order(fmt, a), compute_order(fmt, b))

    got = compute(name, [(dtype, one), (dtype, two)], "bool", (600,)).tolist()
    assert got == list(map(judge, get_bits(one).tolist(), get_bits(two).tolist()))


def test_logic():
    one, two = np.array([False, False, True, True]), np.array([False, True, False, True])
    for name, rule in (("And", "and_"), ("Or", "or_"), ("Xor", "xor")):
        got = compute(name, [("bool", one), ("bool", two)], "bool", (4,)).tolist()
        assert got == getattr(operator, rule)(one, two).astype(int).tolist()
    assert compute("Not", [("bool", one)], "bool", (4,)).tolist() == [1, 1, 0, 0]


@pytest.mark.parametrize("dtype", FLOATS)
def test_is_nan(dtype):
    x = make_hostile(dtype, 200, 3)
    want = [decode(FORMATS[dtype], bits).kind == "nan" for bits in get_bits(x).tolist()]
    assert compute("IsNan", [(dtype, x)], "bool", (200,)).tolist() == want


def judge_cast(source, target, bits):
    """Cast from a float, from integers alone."""
    number = decode(FORMATS[source], bits)
    if target == "bool":
        return int(number.kind != "zero")
    if target in FORMATS:
        fmt = FORMATS[target]
        if number.kind == "nan":
            return nan(fmt)
        if number.kind == "inf":
            return inf(fmt, negative=number.negative)
        if number.kind == "zero":
            return zero(fmt, negative=number.negative)
        return round_dyadic(fmt, number.signed, number.exponent)
    limits = np.iinfo(target)
    if number.kind == "nan":
        return 0
    if number.kind == "inf":
        value = limits.min if number.negative else limits.max
    else:
        value = trunc(Fraction(number.signed) * Fraction(2) ** number.exponent)
    return from_signed(limits.bits, min(max(value, limits.min), limits.max))


@pytest.mark.parametrize("source", FLOATS)
@pytest.mark.parametrize("target", [*FLOATS, *INTEGERS, "bool"])
def test_casts_from_floats(source, target):
    x = make_hostile(source, 700, 4)
    got = compute("Cast", [(source, x)], target, (700,)).tolist()
    want = [judge_cast(source, target, bits) for bits in get_bits(x).tolist()]
    if source == target:
        want = [nan(FORMATS[source]) if b == nan(FORMATS[source]) else b for b in want]
    assert got == want


def test_casts_of_halfway_doubles():
    """What float32 between would round twice."""
    x = np.array([1 + 2.0**-8 + 2.0**-30, 1 + 2.0**-11 + 2.0**-40, 1 + 2.0**-24 + 2.0**-50])
    for target in ("bfloat16", "float16", "float32"):
        want = [judge_cast("float64", target, bits) for bits in get_bits(x).tolist()]
        assert compute("Cast", [("float64", x)], target, (3,)).tolist() == want


@pytest.mark.parametrize("source", [*INTEGERS, "bool"])
@pytest.mark.parametrize("target", [*FLOATS, *INTEGERS, "bool"])
def test_casts_from_integers(source, target):
    rng = np.random.default_rng(5)
    if source == "bool":
        x = rng.integers(0, 2, 50).astype(bool)
    else:
        limits = np.iinfo(source)
        x = rng.integers(limits.min, limits.max, 300, dtype=source, endpoint=True)
        x[:100] >>= rng.integers(0, limits.bits - 1, 100).astype(source)
        x[100:104] = [limits.min, limits.max, 0, 1]
        if limits.bits == 64:
            x[104:108] = [2**53 + 1, (1 << 62) + (1 << 54) + 1, (1 << 62) + (1 << 38) + 1, 65520]

    def judge(value):
        if target == "bool":
            return int(value != 0)
        if target in FORMATS:
            return round_dyadic(FORMATS[target], int(value))
        return from_signed(np.iinfo(target).bits, int(value))

    got = compute("Cast", [(source, x)], target, x.shape).tolist()
    assert got == [judge(value) for value in x.tolist()]
