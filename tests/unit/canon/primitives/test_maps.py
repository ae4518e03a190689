"""Maps: the special values, and fractions as the oracle for all else (`CANON-1`, `CANON-8`)."""

import math
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probatum.canon.primitives.maps.casts import cast
from tests.unit.canon.primitives import oracle
from tests.unit.canon.primitives.cases import F32, f32, run, width

FLOATS = ["float16", "bfloat16", "float32", "float64"]
INTS = [f"{kind}{size}" for kind in ("int", "uint") for size in (8, 16, 32, 64)]


def apply(operator, dtype, *bits):
    (found,) = run(operator, *((dtype, (), [one]) for one in bits))
    return found


@pytest.mark.parametrize(
    ("operator", "operands", "expected"),
    [
        ("Add", ("+0", "-0"), "+0"),
        ("Add", ("-0", "-0"), "-0"),
        ("Add", ("inf", "-inf"), "nan"),
        ("Add", ("max", "max"), "inf"),
        ("Add", ("-nan", "1"), "nan"),
        ("Sub", ("1", "1"), "+0"),
        ("Sub", ("-0", "+0"), "-0"),
        ("Mul", ("inf", "+0"), "nan"),
        ("Mul", ("-tiny", "0.5"), "-0"),
        ("Div", ("1", "-0"), "-inf"),
        ("Div", ("+0", "-0"), "nan"),
        ("Div", ("inf", "inf"), "nan"),
        ("Max", ("+0", "-0"), "+0"),
        ("Max", ("-0", "-0"), "-0"),
        ("Max", ("snan", "inf"), "nan"),
        ("Min", ("-0", "+0"), "-0"),
        ("Min", ("1", "-nan"), "nan"),
        ("Min", ("-inf", "1"), "-inf"),
        ("Neg", ("+0",), "-0"),
        ("Neg", ("-nan",), "nan"),
        ("Abs", ("-0",), "+0"),
        ("Abs", ("-nan",), "nan"),
        ("Sign", ("-0",), "+0"),
        ("Sign", ("-tiny",), "-1"),
        ("Sign", ("snan",), "nan"),
        ("Relu", ("-0",), "-0"),
        ("Relu", ("-tiny",), "+0"),
        ("Relu", ("-inf",), "+0"),
        ("Relu", ("-nan",), "nan"),
        ("Floor", ("-0",), "-0"),
        ("Floor", ("-tiny",), "-1"),
        ("Ceil", ("-0.5",), "-0"),
        ("Ceil", ("tiny",), "1"),
        ("Round", ("2.5",), "2"),
        ("Round", ("1.5",), "2"),
        ("Round", ("-0.5",), "-0"),
        ("Round", ("inf",), "inf"),
        ("Round", ("snan",), "nan"),
        ("Sqrt", ("-0",), "-0"),
        ("Sqrt", ("-tiny",), "nan"),
        ("Exp", ("-inf",), "+0"),
        ("Exp", ("max",), "inf"),
        ("Log", ("-0",), "-inf"),
        ("Log", ("1",), "+0"),
        ("Log", ("-1",), "nan"),
        ("Erf", ("-inf",), "-1"),
        ("Tanh", ("-0",), "-0"),
        ("Sigmoid", ("+0",), "0.5"),
        ("Sigmoid", ("-inf",), "+0"),
        ("Sin", ("inf",), "nan"),
        ("Cos", ("-0",), "1"),
        ("Pow", ("nan", "+0"), "1"),
        ("Pow", ("-inf", "1"), "-inf"),
    ],
)
def test_special_values(operator, operands, expected):
    assert apply(operator, "float32", *f32(*operands)) == F32[expected]


@pytest.mark.parametrize(
    ("operator", "holds"),
    [
        ("Equal", lambda x, y: x == y),
        ("Less", lambda x, y: x < y),
        ("LessOrEqual", lambda x, y: x <= y),
        ("Greater", lambda x, y: x > y),
        ("GreaterOrEqual", lambda x, y: x >= y),
    ],
)
def test_comparisons_are_those_of_ieee(operator, holds):
    for one in F32.values():
        for two in F32.values():
            expected = holds(oracle.read("float32", one), oracle.read("float32", two))
            assert apply(operator, "float32", one, two) == expected


def test_a_bool_is_true_where_its_bits_are_not_zero():
    assert run("And", ("bool", (3,), [0, 1, 255]), ("bool", (), [2])) == [0, 1, 1]
    assert run("Or", ("bool", (3,), [0, 1, 255]), ("bool", (), [0])) == [0, 1, 1]
    assert run("Xor", ("bool", (3,), [0, 1, 255]), ("bool", (), [2])) == [1, 0, 0]
    assert run("Not", ("bool", (3,), [0, 1, 255])) == [1, 0, 0]
    assert run("Equal", ("bool", (3,), [0, 1, 255]), ("bool", (), [7])) == [0, 1, 1]


def test_bits_are_those_of_twos_complement():
    assert run("BitAnd", ("int8", (3,), [0x0F, 0x80, 0xFF]), ("int8", (), [0x8A])) == [10, 128, 138]
    assert run("BitOr", ("uint16", (2,), [1, 0x8000]), ("uint16", (), [2])) == [3, 0x8002]
    assert run("BitXor", ("int64", (1,), [2**64 - 1]), ("int64", (), [1])) == [2**64 - 2]
    assert run("BitNot", ("int32", (2,), [0, 2**32 - 1])) == [2**32 - 1, 0]


def test_is_nan():
    names = list(F32)
    assert run("IsNan", ("float32", (len(names),), f32(*names))) == ["nan" in n for n in names]


ARITHMETIC = {
    "Add": lambda x, y: x + y,
    "Sub": lambda x, y: x - y,
    "Mul": lambda x, y: x * y,
}


@given(
    data=st.data(), dtype=st.sampled_from(FLOATS), operator=st.sampled_from([*ARITHMETIC, "Div"])
)
def test_arithmetic_is_exact_and_rounded_once(data, dtype, operator):
    bits = st.integers(0, (1 << width(dtype)) - 1)
    one, two = data.draw(bits), data.draw(bits)
    x, y = oracle.read(dtype, one), oracle.read(dtype, two)
    if not (math.isfinite(x) and math.isfinite(y)) or (operator == "Div" and y == 0):
        return
    negative = (math.copysign(1, x) < 0) != (math.copysign(1, y) < 0)
    if operator == "Div":
        exact = Fraction(x) / Fraction(y)
    else:
        exact = ARITHMETIC[operator](Fraction(x), Fraction(y))
    if operator in ("Add", "Sub"):
        negative = exact == 0 == x and math.copysign(1, x) < 0
        negative = negative and (math.copysign(1, y) < 0) == (operator == "Add")
    expected = oracle.round_once(dtype, exact, negative_zero=negative)
    assert apply(operator, dtype, one, two) == expected


def to_int(dtype, bits):
    size = width(dtype)
    return bits - (1 << size) if dtype.startswith("int") and bits >> (size - 1) else bits


def cut(x, y):
    return 0 if y == 0 else int(Fraction(x, y))


INTEGERS = {
    "Add": lambda x, y: x + y,
    "Sub": lambda x, y: x - y,
    "Mul": lambda x, y: x * y,
    "Div": cut,
    "Mod": lambda x, y: 0 if y == 0 else x - y * math.floor(Fraction(x, y)),
    "Max": max,
    "Min": min,
}


@given(data=st.data(), dtype=st.sampled_from(INTS), operator=st.sampled_from(list(INTEGERS)))
def test_integers_wrap(data, dtype, operator):
    end = 1 << width(dtype)
    ends = st.sampled_from([0, 1, end - 1, end >> 1, (end >> 1) - 1])
    one, two = (data.draw(ends | st.integers(0, end - 1)) for _ in range(2))
    exact = INTEGERS[operator](to_int(dtype, one), to_int(dtype, two))
    assert apply(operator, dtype, one, two) == exact % end


def test_integers_at_their_ends():
    assert apply("Neg", "int8", 0x80) == 0x80
    assert apply("Abs", "int8", 0x80) == 0x80
    assert apply("Div", "int8", 0x80, 0xFF) == 0x80
    assert apply("Sign", "int8", 0x80) == 0xFF
    assert apply("Sign", "uint8", 0x80) == 1
    assert apply("Relu", "int8", 0x80) == 0
    assert apply("Abs", "uint16", 0xFFFF) == 0xFFFF


@given(data=st.data(), dtype=st.sampled_from(FLOATS))
def test_roundings_to_integers(data, dtype):
    bits = data.draw(st.integers(0, (1 << width(dtype)) - 1))
    x = oracle.read(dtype, bits)
    if not math.isfinite(x):
        return
    for operator, function in (("Floor", math.floor), ("Ceil", math.ceil), ("Round", round)):
        whole = Fraction(function(Fraction(x)))
        negative = math.copysign(1, x) < 0
        expected = oracle.round_once(dtype, whole, negative_zero=negative)
        assert apply(operator, dtype, bits) == expected


@given(data=st.data(), source=st.sampled_from([*FLOATS, *INTS, "bool"]), target=st.sampled_from(
    [*FLOATS, *INTS, "bool"]
))  # fmt: skip
def test_casts(data, source, target):
    bits = data.draw(st.integers(0, (1 << width(source)) - 1))
    found = cast(source, target, bits)
    end = 1 << width(target)
    if source not in FLOATS:
        value = int(bits != 0) if source == "bool" else to_int(source, bits)
        if target in FLOATS:
            assert found == oracle.round_once(target, Fraction(value))
        else:
            assert found == (value != 0 if target == "bool" else value % end)
        return
    x = oracle.read(source, bits)
    if target == "bool":
        assert found == (x != 0)
    elif target in FLOATS:
        if math.isfinite(x):
            negative = math.copysign(1, x) < 0
            assert found == oracle.round_once(target, Fraction(x), negative_zero=negative)
        else:
            assert found == oracle.write(target, x)
    else:
        least, greatest = (-(end >> 1), (end >> 1) - 1) if target[0] == "i" else (0, end - 1)
        whole = 0 if math.isnan(x) else max(min(x, greatest), least)
        assert found == int(min(max(int(whole), least), greatest)) % end


def test_casts_at_the_ends():
    assert cast("float32", "int8", F32["inf"]) == 0x7F
    assert cast("float32", "int8", F32["-max"]) == 0x80
    assert cast("float32", "uint8", F32["-1"]) == 0
    assert cast("float32", "int64", F32["nan"]) == 0
    assert cast("float32", "bool", F32["nan"]) == 1
    assert cast("float32", "bool", F32["-0"]) == 0
    assert cast("float32", "float32", F32["-nan"]) == F32["nan"]
    assert cast("float32", "float16", F32["max"]) == 0x7C00
    assert cast("int64", "int8", 0x1FF) == 0xFF
    assert cast("uint64", "float32", (1 << 64) - 1) == 0x5F800000


def test_shapes_are_broadcast_from_the_right():
    left = ("int32", (2, 1), [10, 20])
    right = ("int32", (3,), [1, 2, 3])
    assert run("Add", left, right) == [11, 12, 13, 21, 22, 23]
