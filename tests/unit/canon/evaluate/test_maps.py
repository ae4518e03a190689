from __future__ import annotations

import operator
from fractions import Fraction

import numpy as np
import pytest

from probatum.canon.arith.formats import FORMATS, decode, from_signed, inf, nan, to_signed, zero
from probatum.canon.arith.rounding import round_dyadic, round_ratio, round_sqrt
from probatum.canon.evaluate.values import get_bits
from tests.unit.canon.evaluate.oracle import FLOATS, compute, make_hostile, round_fraction

EXACT = {"Add": operator.add, "Sub": operator.sub, "Mul": operator.mul, "Div": operator.truediv}


def judge(name, dtype, one, two):
    """IEEE's four operations, from rationals."""
    fmt = FORMATS[dtype]
    a, b = decode(fmt, one), decode(fmt, two)
    kinds = (a.kind, b.kind)
    sign = a.negative != b.negative
    if "nan" in kinds:
        return nan(fmt)
    if name in {"Add", "Sub"}:
        minus = b.negative if name == "Add" else not b.negative
        if a.kind == "inf":
            return nan(fmt) if b.kind == "inf" and minus != a.negative else one
        if b.kind == "inf":
            return inf(fmt, negative=minus)
        if kinds == ("zero", "zero"):
            return zero(fmt, negative=a.negative and minus)
    if name == "Mul" and "inf" in kinds:
        return nan(fmt) if "zero" in kinds else inf(fmt, negative=sign)
    if name == "Div":
        if kinds in {("inf", "inf"), ("zero", "zero")}:
            return nan(fmt)
        if a.kind == "inf" or b.kind == "zero":
            return inf(fmt, negative=sign)
        if b.kind == "inf":
            return zero(fmt, negative=sign)
    if name in {"Mul", "Div"} and "zero" in kinds:
        return zero(fmt, negative=sign)
    values = [Fraction(n.signed) * Fraction(2) ** n.exponent for n in (a, b)]
    exact = EXACT[name](*values)
    return round_ratio(fmt, exact.numerator, exact.denominator)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", sorted(EXACT))
def test_four_operations(name, dtype):
    one, two = make_hostile(dtype, 1500, 1), make_hostile(dtype, 1500, 2)
    two[:300] = one[300:600]
    two[600:900] = -two[600:900] if dtype != "bfloat16" else two[600:900] ^ 0x8000
    got = compute(name, [(dtype, one), (dtype, two)], dtype, (1500,)).tolist()
    pairs = zip(get_bits(one).tolist(), get_bits(two).tolist(), strict=True)
    assert got == [judge(name, dtype, a, b) for a, b in pairs]


def test_judge_is_right_itself():
    """The oracle's rounding against one that searches the format."""
    rng = np.random.default_rng(3)
    for _ in range(200):
        value = Fraction(int(rng.integers(-(1 << 40), 1 << 40)), int(rng.integers(1, 1 << 30)))
        want = round_fraction("float16", value)
        assert round_ratio(FORMATS["float16"], value.numerator, value.denominator) == want


def test_broadcasting_and_finite_results_stay_clean():
    x = np.arange(6, dtype=np.float32).reshape(2, 3)
    y = np.array([[2], [4]], np.float32)
    got = compute("Mul", [("float32", x), ("float32", y)], "float32", (2, 3))
    assert got.view(np.float32).tolist() == (x * y).tolist()


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ["Max", "Min"])
def test_extremes_of_two(name, dtype):
    one, two = make_hostile(dtype, 900, 5), make_hostile(dtype, 900, 6)
    fmt = FORMATS[dtype]

    def choose(a, b):
        if any(bits & (fmt.sign_bit - 1) > fmt.infinity for bits in (a, b)):
            return nan(fmt)
        return (max if name == "Max" else min)(
            a, b, key=lambda bits: bits if bits < fmt.sign_bit else fmt.sign_bit - 1 - bits
        )

    got = compute(name, [(dtype, one), (dtype, two)], dtype, (900,)).tolist()
    assert got == list(map(choose, get_bits(one).tolist(), get_bits(two).tolist()))


@pytest.mark.parametrize("dtype", FLOATS)
def test_unary(dtype):
    x = make_hostile(dtype, 800, 7)
    fmt = FORMATS[dtype]
    bits = get_bits(x).tolist()

    def apply(name, rule):
        got = compute(name, [(dtype, x)], dtype, x.shape).tolist()
        want = [nan(fmt) if decode(fmt, one).kind == "nan" else rule(one) for one in bits]
        assert got == want, name

    def whole(function):
        def rule(one):
            number = decode(fmt, one)
            if number.kind in {"inf", "zero"}:
                return one
            found = function(Fraction(number.signed) * Fraction(2) ** number.exponent)
            return round_dyadic(fmt, found) or zero(fmt, negative=number.negative)

        return rule

    def root(one):
        number = decode(fmt, one)
        if number.kind == "zero":
            return one
        if number.negative:
            return nan(fmt)
        return one if number.kind == "inf" else round_sqrt(fmt, number.mantissa, number.exponent)

    apply("Neg", lambda one: one ^ fmt.sign_bit)
    apply("Abs", lambda one: one & (fmt.sign_bit - 1))
    apply("Relu", lambda one: 0 if one > fmt.sign_bit else one)
    apply("Sqrt", root)
    apply("Floor", whole(lambda value: value.__floor__()))
    apply("Ceil", whole(lambda value: value.__ceil__()))
    apply("Round", whole(round))


INTEGERS = ("int8", "uint8", "int32", "uint32", "int64", "uint64")


@pytest.mark.parametrize("dtype", INTEGERS)
def test_integers(dtype):
    rng = np.random.default_rng(8)
    limits = np.iinfo(dtype)
    ends = [limits.min, limits.max, 0, 1, limits.max if limits.min == 0 else -1]
    one, two = (
        np.concatenate(
            (
                rng.integers(limits.min, limits.max, 300, dtype=dtype, endpoint=True),
                rng.integers(max(-9, limits.min), 9, 300).astype(dtype),
                rng.choice(np.array(ends, dtype), 200),
            )
        )[rng.permutation(800)]
        for _ in range(2)
    )
    width = one.dtype.itemsize * 8

    def divide(a, b):
        return 0 if b == 0 else (abs(a) // abs(b)) * (1 if (a < 0) == (b < 0) else -1)

    rules = {
        "Add": operator.add,
        "Sub": operator.sub,
        "Mul": operator.mul,
        "Div": divide,
        "Mod": lambda a, b: 0 if b == 0 else a % b,
        "Max": max,
        "Min": min,
    }
    for name, rule in rules.items():
        got = compute(name, [(dtype, one), (dtype, two)], dtype, (800,)).tolist()
        pairs = zip(one.tolist(), two.tolist(), strict=True)
        assert got == [from_signed(width, rule(a, b)) for a, b in pairs], name
    for name, rule in {"Neg": operator.neg, "Abs": abs, "Relu": lambda a: max(a, 0)}.items():
        if limits.min == 0 and name == "Neg":
            continue
        got = compute(name, [(dtype, one)], dtype, (800,)).tolist()
        assert got == [from_signed(width, rule(a)) for a in one.tolist()], name
    assert to_signed(8, 255) == -1
