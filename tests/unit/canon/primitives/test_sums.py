"""Folds that add up or compare, against fractions and plain loops (`CANON-1`, `CANON-9`)."""

import itertools
import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probatum.canon.primitives.judging import count_blocks, judge_finish
from probatum.errors import Refusal
from tests.unit.canon.primitives import oracle
from tests.unit.canon.primitives.cases import F32, f32, judge_all, make_node, run, width

FLOATS = ["float16", "bfloat16", "float32", "float64"]


def draw_bits(generator, dtype, count, *, hostile=False):
    """Ordinary values, or all of a format's, in bits."""
    if hostile:
        return [generator.getrandbits(width(dtype)) for _ in range(count)]
    return [
        oracle.round_once(dtype, oracle.Fraction(generator.gauss(0, 1)).limit_denominator(999))
        for _ in range(count)
    ]


def read_all(dtype, bits):
    return [oracle.read(dtype, one) for one in bits]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("terms", [0, 1, 7, 1024, 1025, 2500])
@pytest.mark.parametrize("hostile", [False, True])
def test_a_dot_is_the_exact_sum_rounded_once(dtype, terms, hostile):
    generator = random.Random(f"{dtype}{terms}{hostile}")
    left = draw_bits(generator, dtype, 2 * terms, hostile=hostile)
    right = draw_bits(generator, dtype, terms, hostile=hostile)
    node = make_node("Dot", [(dtype, (2, terms)), (dtype, (1, terms))])
    assert count_blocks(node) == max(1, math.ceil(terms / 1024))
    rows = [left[:terms], left[terms:]]
    assert judge_all(node, left, right) == [
        oracle.sum_once(dtype, list(zip(read_all(dtype, row), read_all(dtype, right), strict=True)))
        for row in rows
    ]


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        (("max", "max", "-max", "-max"), ("max", "max", "max", "max"), "+0"),
        (("max", "1"), ("1", "tiny"), "max"),
        (("tiny", "-tiny"), ("0.5", "0.5"), "+0"),
        (("-tiny", "+0"), ("tiny", "1"), "-0"),
        (("inf", "1"), ("+0", "1"), "nan"),
        (("inf", "1"), ("-1", "max"), "-inf"),
        (("inf", "-inf"), ("1", "1"), "nan"),
        (("-nan", "1"), ("1", "1"), "nan"),
        (("-0", "-0"), ("1", "1"), "+0"),
    ],
)
def test_special_values_of_sums(left, right, expected):
    shape = ("float32", (1, len(left)))
    assert run("Dot", (*shape, f32(*left)), (*shape, f32(*right))) == [F32[expected]]


def test_batches_are_broadcast():
    a = ("int64", (2, 1, 1, 3), [1, 2, 3, 4, 5, 6])
    b = ("int64", (3, 2, 3), list(range(18)))
    found = run("Dot", a, b)
    rows_a, rows_b = [a[2][:3], a[2][3:]], [b[2][i : i + 3] for i in range(0, 18, 3)]
    expected = [
        sum(x * y for x, y in zip(row, other, strict=True)) for row in rows_a for other in rows_b
    ]
    assert found == expected


@pytest.mark.parametrize(
    ("one", "two", "expected"),
    [
        ("int8", "int8", [16384 * 3]),
        ("uint8", "int8", [(1 << 32) - 16384 * 3]),
        ("int8", "uint8", [(1 << 32) - 16384 * 3]),
        ("uint8", "uint8", [16384 * 3]),
    ],
)
def test_short_integers_are_summed_in_int32(one, two, expected):
    node = make_node("Dot", [(one, (1, 3)), (two, (1, 3))])
    assert node.output.dtype == "int32"
    assert judge_all(node, [0x80] * 3, [0x80] * 3) == expected


def test_long_integers_wrap():
    assert run("Dot", ("int32", (1, 2), [1 << 31] * 2), ("int32", (1, 2), [1, 2])) == [1 << 31]
    assert run("ReduceSum", ("uint8", (3,), [200, 100, 7])) == [51]


def convolve(x, w, case):
    """A convolution of Python numbers, term by term."""
    shape, kernel, group, strides, begins, ends, dilations, batch, channels, out = case
    spatial = [
        (size + b + e - d * (k - 1) - 1) // s + 1
        for size, b, e, d, k, s in zip(shape, begins, ends, dilations, kernel, strides, strict=True)
    ]
    per_group, results = channels // group, []
    for b in range(batch):
        for at in itertools.product(*map(range, spatial)):
            for m in range(out):
                terms = []
                for k, tap in enumerate(itertools.product(*map(range, kernel))):
                    place = [
                        o * s - p + d * t
                        for o, s, p, d, t in zip(at, strides, begins, dilations, tap, strict=True)
                    ]
                    if any(not 0 <= i < n for i, n in zip(place, shape, strict=True)):
                        continue
                    flat = b
                    for i, n in zip(place, shape, strict=True):
                        flat = flat * n + i
                    for c in range(per_group):
                        offset = m // (out // group) * per_group
                        terms.append(
                            (
                                x[flat * channels + offset + c],
                                w[(m * math.prod(kernel) + k) * per_group + c],
                            )
                        )
                results.append(terms)
    return results


CONVOLUTIONS = [
    ((5,), (3,), 1, (1,), (1,), (1,), (1,), 1, 2, 3),
    ((4, 5), (3, 2), 1, (2, 1), (1, 0), (1, 1), (1, 2), 2, 2, 4),
    ((4, 5), (3, 3), 4, (1, 2), (1, 1), (1, 1), (1, 1), 1, 4, 8),
    ((3, 3), (1, 1), 2, (1, 1), (0, 0), (0, 0), (1, 1), 1, 6, 4),
    ((2, 3, 3), (2, 2, 2), 1, (1, 1, 1), (0, 1, 0), (1, 0, 1), (1, 1, 2), 1, 3, 2),
    ((3,), (2,), 1, (1,), (4,), (3,), (1,), 1, 700, 1),
]


@pytest.mark.parametrize("case", CONVOLUTIONS)
@pytest.mark.parametrize("hostile", [False, True])
def test_a_convolution_is_its_terms(case, hostile):
    shape, kernel, group, strides, begins, ends, dilations, batch, channels, out = case
    generator = random.Random(f"{case}{hostile}")
    dtype = "float32"
    x_shape = (batch, *shape, channels)
    w_shape = (out, *kernel, channels // group)
    x = draw_bits(generator, dtype, math.prod(x_shape), hostile=hostile)
    w = draw_bits(generator, dtype, math.prod(w_shape), hostile=hostile)
    node = make_node(
        "Conv",
        [(dtype, x_shape), (dtype, w_shape)],
        group=group,
        strides=strides,
        pads_begin=begins,
        pads_end=ends,
        dilations=dilations,
    )
    expected = [
        oracle.sum_once(dtype, terms)
        for terms in convolve(read_all(dtype, x), read_all(dtype, w), case)
    ]
    assert judge_all(node, x, w) == expected


def test_padding_hides_even_infinite_weights():
    x, w = ("float32", (1, 1, 1), f32("2")), ("float32", (1, 3, 1), f32("inf", "1.5", "nan"))
    found = run("Conv", x, w, group=1, strides=(1,), pads_begin=(1,), pads_end=(1,), dilations=(1,))
    assert found == f32("3")


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("count", [0, 1, 3, 1024, 2049])
@pytest.mark.parametrize("hostile", [False, True])
def test_sums_and_means(dtype, count, hostile):
    generator = random.Random(f"{dtype}{count}{hostile}")
    bits = draw_bits(generator, dtype, count, hostile=hostile)
    values = read_all(dtype, bits)
    assert run("ReduceSum", (dtype, (count,), bits)) == [oracle.sum_once(dtype, values)]
    mean = oracle.sum_once(dtype, values, count) if count else oracle.NAN[dtype]
    assert run("ReduceMean", (dtype, (count,), bits)) == [mean]


def test_means_do_not_overflow():
    assert run("ReduceMean", ("float32", (2, 2), f32("max", "max", "inf", "1"))) == f32(
        "max", "inf"
    )


@pytest.mark.parametrize("dtype", [*FLOATS, "int8", "uint8", "int64"])
def test_extremes_of_many_blocks(dtype):
    generator = random.Random(dtype)
    bits = draw_bits(generator, dtype, 2 * 2100, hostile=True)
    if dtype in FLOATS:
        bits = [one for one in bits if not math.isnan(oracle.read(dtype, one))][: 2 * 1500]
        values = read_all(dtype, bits)
    else:
        sign = dtype.startswith("int")
        size = width(dtype)
        values = [one - (1 << size) if sign and one >> (size - 1) else one for one in bits]
    half = len(bits) // 2
    bits, values = bits[: 2 * half], values[: 2 * half]
    for operator, pick in (("ReduceMax", max), ("ReduceMin", min)):
        found = run(operator, (dtype, (2, half), bits))
        rows = [values[:half], values[half:]]
        expected = [bits[row * half + rows[row].index(pick(rows[row]))] for row in range(2)]
        assert found == expected


def test_extremes_of_special_values():
    both = ("float32", (4, 2), f32("+0", "-0", "-0", "-0", "-nan", "inf", "1", "snan"))
    assert run("ReduceMax", both) == f32("+0", "-0", "nan", "nan")
    assert run("ReduceMin", both) == f32("-0", "-0", "nan", "nan")
    assert run("ReduceMax", ("float32", (1,), f32("snan"))) == f32("nan")


@pytest.mark.parametrize("case", CONVOLUTIONS[:3])
@pytest.mark.parametrize("counted", [0, 1])
def test_windows(case, counted):
    shape, kernel, _, strides, begins, ends, dilations, batch, channels, _ = case
    generator = random.Random(str(case))
    x_shape = (batch, *shape, channels)
    bits = draw_bits(generator, "float32", math.prod(x_shape))
    geometry = {
        "kernel": kernel,
        "strides": strides,
        "pads_begin": begins,
        "pads_end": ends,
        "dilations": dilations,
    }
    values = read_all("float32", bits)
    ones = [1.0] * (channels * math.prod(kernel))
    per_channel = (*case[:2], channels, *case[3:9], channels)
    terms = convolve(values, ones, per_channel)
    operand = ("float32", x_shape, bits)
    inside = [[value for value, _ in window] for window in terms]
    assert all(inside)
    assert run("WindowMax", operand, **geometry) == [
        oracle.write("float32", max(window)) for window in inside
    ]
    assert run("WindowMean", operand, **geometry, count_include_pad=counted) == [
        oracle.sum_once("float32", window, math.prod(kernel) if counted else len(window))
        for window in inside
    ]


def test_a_window_of_many_blocks_may_have_blocks_of_padding_alone():
    geometry = {"strides": (600,), "pads_begin": (2047,), "pads_end": (2047,), "dilations": (1,)}
    node = make_node("WindowMax", [("int8", (1, 1, 1))], kernel=(2048,), **geometry)
    assert count_blocks(node) == 2
    assert judge_all(node, [0x85]) == [0x85] * 4


@given(data=st.data(), dtype=st.sampled_from(FLOATS))
def test_hostile_sums(data, dtype):
    bits = data.draw(st.lists(st.integers(0, (1 << width(dtype)) - 1), max_size=8))
    expected = oracle.sum_once(dtype, read_all(dtype, bits))
    assert run("ReduceSum", (dtype, (len(bits),), bits)) == [expected]


def test_partials_of_others_are_refused():
    node = make_node("ReduceMax", [("float32", (3,))])
    for partial in (b"", b"\x00" * 3, b"\x7f\xc0\x00\x01"):
        with pytest.raises(Refusal, match=r"canon\.bad-partial"):
            judge_finish(node, 0, partial, lambda _: ())
    node = make_node("ReduceSum", [("int32", (3,))])
    with pytest.raises(Refusal, match=r"canon\.bad-partial"):
        judge_finish(node, 0, b"\x01", lambda _: ())
