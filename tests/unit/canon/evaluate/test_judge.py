"""Every primitive: what is evaluated is what is judged, bit for bit, hostile elements included."""

from __future__ import annotations

import numpy as np
import pytest

from probatum.canon.evaluate.kernels import KERNELS
from probatum.canon.evaluate.rounding import round_to
from probatum.canon.evaluate.values import get_bits
from probatum.canon.graph.binding import bind_graph
from probatum.canon.graph.types import TensorType
from probatum.canon.primitives.judging import judge_element
from probatum.canon.primitives.registry import PRIMITIVES
from tests.unit.canon.evaluate.oracle import FLOATS, compute, from_bits, make_graph, make_hostile

INTEGERS = ("int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64")
SAMPLES = 220
UNARY_FLOAT = "Exp Log Erf Tanh Sigmoid Sin Cos Sqrt Floor Ceil Round"


def check(operator, operands, dtype, size, *, samples=SAMPLES, settings=None, **attributes):
    """Evaluate one node and judge its elements, all or as many as asked for."""
    bits = compute(operator, operands, dtype, size, settings=settings, **attributes).ravel()
    types = [(kind, array.shape) for kind, array in operands]
    graph = make_graph(operator, types, dtype, size, **attributes)
    (node,) = bind_graph(graph, {}).nodes
    given = tuple(TensorType(one.dtype, one.shape) for one in node.inputs)
    inferred = PRIMITIVES[operator, node.version].infer(given, node.attributes, dtype)
    assert (inferred.dtype, inferred.shape) == (dtype, tuple(size))
    reads = [get_bits(array).ravel().tolist() for _, array in operands]

    def fetch(read):
        return reads[read.source][read.first : read.first + read.length]

    chosen = range(bits.size)
    if bits.size > samples:
        chosen = np.random.default_rng(1).choice(bits.size, samples, replace=False).tolist()
    wrong = []
    for element in chosen:
        got = int(bits[element])
        if judge_element(node, element, fetch, claimed=got) != got:
            wrong.append((element, hex(got)))
    assert not wrong, wrong[:5]


def make_any(dtype, count, seed):
    if dtype in FLOATS:
        return make_hostile(dtype, count, seed)
    rng = np.random.default_rng(seed)
    if dtype == "bool":
        # A bool is true iff it is not 0: a byte of 2 too.
        return rng.integers(0, 3, count).astype(np.uint8).view(np.bool_)
    limits = np.iinfo(dtype)
    values = rng.integers(limits.min, limits.max, count, dtype=dtype, endpoint=True)
    values[::3] = rng.integers(max(-4, limits.min), 5, len(values[::3]))
    return values


def test_every_primitive_has_a_kernel():
    assert set(KERNELS) == set(PRIMITIVES)


@pytest.mark.parametrize("dtype", [*FLOATS, *INTEGERS])
def test_binary(dtype):
    one, two = (make_any(dtype, SAMPLES, seed) for seed in (1, 2))
    two[:40] = one[:40]
    names = ["Add", "Sub", "Mul", "Div", "Min", "Max", *(["Pow"] if dtype in FLOATS else ["Mod"])]
    for name in names:
        check(name, [(dtype, one), (dtype, two)], dtype, one.shape)
    for name in ("Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"):
        check(name, [(dtype, one), (dtype, two)], "bool", one.shape)


def test_broadcast():
    one = make_hostile("float32", 60, 1).reshape(1, 12, 5)
    two = make_hostile("float32", 12, 2).reshape(12, 1)
    other = make_hostile("float32", 4, 2).reshape(4, 1, 1)
    check("Add", [("float32", one), ("float32", two)], "float32", (1, 12, 5))
    check("Mul", [("float32", one), ("float32", other)], "float32", (4, 12, 5), samples=240)


@pytest.mark.parametrize("dtype", FLOATS)
def test_unary(dtype):
    x = make_hostile(dtype, SAMPLES, 3)
    for name in [*UNARY_FLOAT.split(), "Neg", "Abs", "Sign", "Relu"]:
        check(name, [(dtype, x)], dtype, x.shape)
    check("IsNan", [(dtype, x)], "bool", x.shape)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_unary_of_integers(dtype):
    x = make_any(dtype, SAMPLES, 4)
    for name in ("Abs", "Sign", *(("Neg", "Relu") if dtype[0] == "i" else ())):
        check(name, [(dtype, x)], dtype, x.shape)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_bits(dtype):
    one, two = make_any(dtype, SAMPLES, 5), make_any(dtype, SAMPLES, 6)
    for name in ("BitAnd", "BitOr", "BitXor"):
        check(name, [(dtype, one), (dtype, two)], dtype, one.shape)
    check("BitNot", [(dtype, one)], dtype, one.shape)


def test_noise():
    nonce, choice, tokens = (make_any("int64", many, 9) for many in (4, 1, 60))
    positions = make_any("int64", 4, 8).reshape(4, 1)
    operands = [("int64", one) for one in (nonce, choice, positions, tokens)]
    check("Gumbel", operands, "float32", (4, 60))


def test_logic():
    one, two = make_any("bool", SAMPLES, 5), make_any("bool", SAMPLES, 6)
    for name in ("And", "Or", "Xor", "Equal"):
        check(name, [("bool", one), ("bool", two)], "bool", one.shape)
    check("Not", [("bool", one)], "bool", one.shape)


@pytest.mark.parametrize("source", [*FLOATS, *INTEGERS, "bool"])
def test_casts(source):
    x = make_any(source, SAMPLES, 7)
    for target in (*FLOATS, *INTEGERS, "bool"):
        check("Cast", [(source, x)], target, x.shape)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int8", "float64", "bool"])
def test_moves(dtype):
    x = make_any(dtype, 3 * 8 * 10, 8)
    cube = x.reshape(3, 8, 10)
    one = (dtype, cube)
    check("Reshape", [one], dtype, (24, 10), shape=(24, 10))
    check("Transpose", [one], dtype, (10, 3, 8), perm=(2, 0, 1))
    check("Expand", [(dtype, cube[:, :1])], dtype, (3, 8, 10), shape=(3, 8, 10))
    check("Concat", [one, one, (dtype, cube[:, :2])], dtype, (3, 18, 10), axis=(1,))
    size = (4, 8, 10)
    check("Slice", [one], dtype, size, starts=(2, -2, 9), steps=(-1, 1, -1), shape=size)
    check("Slice", [one], dtype, size, starts=(0, 1, 3), steps=(1, 2, 3), shape=size)
    filler = (dtype, x[:1].reshape(()))
    size = (5, 9, 13)
    for mode in ("constant", "edge", "reflect"):
        check("Pad", [one, filler], dtype, size, begins=(1, -1, 2), mode=mode, shape=size)
    indices = np.array([[0, 7, -1], [-8, -9, 8]], np.int32)
    check("Gather", [one, ("int32", indices)], dtype, (3, 2, 3, 10), axis=(1,))
    places = np.random.default_rng(9).integers(-12, 12, (3, 8, 10))
    check("GatherElements", [one, ("int64", places)], dtype, (3, 8, 10), axis=(2,))
    condition = make_any("bool", 80, 10).reshape(8, 10)
    check("Where", [("bool", condition), one, (dtype, cube[:, :1, :1])], dtype, (3, 8, 10))


def test_scalars():
    """Shapes without sizes go through moves, maps and casts alike."""
    one = ("float32", make_hostile("float32", 1, 1).reshape(()))
    check("Slice", [one], "float32", (), starts=(), steps=(), shape=())
    check("Transpose", [one], "float32", (), perm=())
    check("Reshape", [one], "float32", (1, 1), shape=(1, 1))
    check("Expand", [one], "float32", (2, 3), shape=(2, 3))
    for mode in ("constant", "edge", "reflect"):
        check("Pad", [one, one], "float32", (), begins=(), mode=mode, shape=())
    rows = ("float32", make_hostile("float32", 6, 2).reshape(3, 2))
    for index in (1, -1, 3, -4):
        at = ("int64", np.array(index))
        check("Gather", [rows, at], "float32", (2,), axis=(0,))
    check("Where", [("bool", np.array([True]).reshape(())), one, one], "float32", ())
    for name in ("Exp", "Sqrt", "Neg", "Relu", "Sign"):
        check(name, [one], "float32", ())
    for name in ("Add", "Max", "Pow"):
        check(name, [one, one], "float32", ())
    for target in ("bfloat16", "int8", "bool"):
        check("Cast", [one], target, ())


def test_iota():
    check("Iota", [], "int64", (250,), start=(-7,), step=(3,), shape=(250,))


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("terms", [1, 3, 40])
def test_dot_and_sums(dtype, terms):
    left, right = (make_hostile(dtype, 16 * terms, s).reshape(16, terms) for s in (1, 2))
    check("Dot", [(dtype, left), (dtype, right)], dtype, (16, 16))
    rng = np.random.default_rng(terms)
    usual = [round_to(dtype, rng.standard_normal((16, terms))) for _ in range(2)]
    check("Dot", [(dtype, usual[0]), (dtype, usual[1])], dtype, (16, 16))
    rows = np.concatenate(
        (make_hostile(dtype, 120 * terms, 3), round_to(dtype, rng.standard_normal(120 * terms)))
    ).reshape(240, terms)
    for name in ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"):
        check(name, [(dtype, rows)], dtype, (240, 1), samples=240)
    for last in (0, 1):
        for name in ("ArgMax", "ArgMin"):
            check(name, [(dtype, rows)], "int64", (240, 1), samples=240, select_last=(last,))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_dot_and_sums_of_integers(dtype):
    left, right = (make_any(dtype, 15 * 20, s).reshape(15, 20) for s in (1, 2))
    out = "int32" if dtype.endswith(("8", "16")) else dtype
    check("Dot", [(dtype, left), (dtype, right)], out, (15, 15))
    rows = make_any(dtype, 1000, 3).reshape(250, 4)
    for name in ("ReduceSum", "ReduceMax", "ReduceMin"):
        check(name, [(dtype, rows)], dtype, (250, 1))
    check("ArgMin", [(dtype, rows)], "int64", (250, 1), select_last=(0,))
    check("TopK", [(dtype, rows)], "int64", (250, 2), k=(2,), largest=(1,))


def test_dot_of_mixed_bytes():
    left, right = (
        make_any("uint8", 300, 1).reshape(15, 20),
        make_any("int8", 300, 2).reshape(15, 20),
    )
    check("Dot", [("uint8", left), ("int8", right)], "int32", (15, 15))


@pytest.mark.parametrize("dtype", FLOATS)
def test_top(dtype):
    rows = make_hostile(dtype, 50 * 12, 5).reshape(50, 12)
    rows[:, 6:] = rows[:, :6]
    for largest in (0, 1):
        check("TopK", [(dtype, rows)], "int64", (50, 5), k=(5,), largest=(largest,))


@pytest.mark.parametrize("dtype", [*FLOATS, "int8", "uint64"])
def test_few_of_long_rows(dtype):
    """Long rows are not sorted whole: ties at the last place and whole rows of equals."""
    rows = make_any(dtype, 5 * 1200, 6).reshape(5, 1200)
    rows[1] = rows[1, 0]
    rows[2, ::3] = rows[2, 0]
    rows[3, 600:] = rows[3, :600]
    for largest in (0, 1):
        for k in (1, 7, 75):
            check("TopK", [(dtype, rows)], "int64", (5, k), k=(k,), largest=(largest,), samples=30)


CONVS = [
    # x, w, strides, begins, ends, dilations, group
    ((2, 9, 6), (8, 3, 6), (1,), (1,), (1,), (1,), 1),
    ((1, 9, 8, 4), (6, 3, 2, 2), (2, 1), (1, 0), (1, 1), (1, 2), 2),
    ((1, 7, 7, 5), (5, 3, 3, 1), (1, 1), (1, 1), (1, 1), (1, 1), 5),
    ((1, 6, 6, 3), (6, 3, 3, 1), (1, 1), (2, 1), (0, 1), (1, 1), 3),
    ((3, 5, 5, 4), (7, 1, 1, 4), (1, 1), (0, 0), (0, 0), (1, 1), 1),
    ((1, 11, 2), (4, 2, 2), (3,), (4,), (0,), (2,), 1),
]


@pytest.mark.parametrize("dtype", [*FLOATS, "int8", "int32"])
@pytest.mark.parametrize("hostile", [True, False])
@pytest.mark.parametrize("case", range(len(CONVS)))
def test_conv(dtype, hostile, case):
    x_shape, w_shape, strides, begins, ends, dilations, group = CONVS[case]
    counts = [int(np.prod(shape)) for shape in (x_shape, w_shape)]
    rng = np.random.default_rng(case)
    if hostile or dtype not in FLOATS:
        x, w = make_any(dtype, counts[0], 1), make_any(dtype, counts[1], 2)
        if dtype in FLOATS:  # few enough specials that something finite is left
            x[rng.random(counts[0]) < 0.8] = round_to(dtype, np.ones(1))[0]
            w[rng.random(counts[1]) < 0.8] = round_to(dtype, np.ones(1) * 0.75)[0]
    else:
        x, w = (round_to(dtype, rng.standard_normal(count)) for count in counts)
    size = [x_shape[0]]
    for n, k, s, b, e, d in zip(
        x_shape[1:-1], w_shape[1:-1], strides, begins, ends, dilations, strict=True
    ):
        size.append((n + b + e - d * (k - 1) - 1) // s + 1)
    check(
        "Conv",
        [(dtype, x.reshape(x_shape)), (dtype, w.reshape(w_shape))],
        "int32" if dtype == "int8" else dtype,
        (*size, w_shape[0]),
        strides=strides,
        pads_begin=begins,
        pads_end=ends,
        dilations=dilations,
        group=(group,),
    )


@pytest.mark.parametrize("dtype", [*FLOATS, "int8", "uint8"])
def test_windows(dtype):
    x = make_any(dtype, 2 * 9 * 8 * 3, 6).reshape(2, 9, 8, 3)
    where = {
        "kernel": (3, 2),
        "strides": (2, 1),
        "pads_begin": (1, 0),
        "pads_end": (2, 1),
        "dilations": (1, 1),
    }
    check("WindowMax", [(dtype, x)], dtype, (2, 5, 8, 3), **where)
    if dtype in FLOATS:
        smooth = round_to(dtype, np.random.default_rng(1).integers(-64, 64, x.shape) / 16)
        for values in (x, smooth):
            for padded in (0, 1):
                check(
                    "WindowMean",
                    [(dtype, values)],
                    dtype,
                    (2, 5, 8, 3),
                    count_include_pad=(padded,),
                    **where,
                )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64"])
def test_scatters(dtype):
    data = make_any(dtype, 240, 1)
    rng = np.random.default_rng(2)
    indices = rng.integers(-14, 14, (20, 9))
    updates = make_any(dtype, 180, 3).reshape(20, 9)
    operands = [(dtype, data.reshape(20, 12)), ("int64", indices), (dtype, updates)]
    check("ScatterElements", operands, dtype, (20, 12))
    tuples = rng.integers(-7, 7, (8, 2)).astype(np.int32)
    parts = make_any(dtype, 8 * 4, 4).reshape(8, 4)
    cube = (dtype, data.reshape(10, 6, 4))
    check("ScatterND", [cube, ("int32", tuples), (dtype, parts)], dtype, (10, 6, 4))
    whole = rng.integers(-4, 4, (3, 5, 3))
    check(
        "ScatterND",
        [cube, ("int64", whole), (dtype, make_any(dtype, 15, 5).reshape(3, 5))],
        dtype,
        (10, 6, 4),
    )


@pytest.mark.parametrize("stretches", [1, 2, 9])
@pytest.mark.parametrize("depth", [0, 1, 4, 7])
def test_trees(depth, stretches):
    """Random tables: most walks break off somewhere, and those that do not are summed."""
    rng = np.random.default_rng(depth)
    trees, leaves, classes, features, batch = 9, 8, 3, 5, 80
    rows = 15 if stretches == 1 else 150
    nodes = np.zeros((trees, rows, 4), np.uint32)
    modes = rng.choice(8, (trees, rows), p=[0.2, 0.1, 0.1, 0.1, 0.02, 0.06, 0.4, 0.02])
    feature = rng.integers(0, features + (rng.random((trees, rows)) < 0.05))
    nodes[..., 0] = feature << 4 | rng.integers(0, 2, (trees, rows)) << 3 | modes
    nodes[..., 1] = get_bits(make_hostile("float32", trees * rows, 1)).reshape(trees, rows)
    nodes[..., 2:] = rng.integers(0, rows + 1, (trees, rows, 2))
    nodes[..., 2][modes == 6] = rng.integers(0, leaves + 1, (modes == 6).sum())
    nodes[:, 0, 0] = nodes[:, 0, 0] & ~np.uint32(7)
    values = rng.standard_normal((trees, leaves, classes)).astype(np.float32)
    values[0, 0] = [np.inf, np.nan, -0.0]
    x = make_hostile("float32", batch * features, 2).reshape(batch, features)
    operands = [("float32", x), ("uint32", nodes), ("float32", values)]
    check("TreeEnsemble", operands, "float32", (batch, classes), samples=240,
          depth=(depth,), stretches=(stretches,))  # fmt: skip


def test_nan_stays_nan_in_bfloat16_whatever_its_payload():
    single = from_bits("float32", [0x7FFFFFFF, 0xFFFFFFFF, 0x7FFF8000, 0x7F800001, 0xFF800001])
    double = from_bits("float64", [(1 << 63) - 1, (1 << 64) - 1, 0x7FF0000000000001])
    for dtype, x in (("float32", single), ("float64", double)):
        for target in ("bfloat16", "float16"):
            check("Cast", [(dtype, x)], target, x.shape)


@pytest.mark.parametrize("dtype", [*FLOATS, "int8", "int64"])
def test_scalars_of_every_dtype(dtype):
    """numpy makes numbers of arrays without dimensions: every primitive takes these too."""
    zero, one = (round_to(dtype, np.full((), n)) if dtype in FLOATS else np.full((), n, dtype)
                 for n in (0.0, 1.0))  # fmt: skip
    x, size = (dtype, one), ()
    for pair in ([(dtype, zero)] * 2, [(dtype, zero), x], [x, x]):
        for name in "Add Sub Mul Div Max Min".split() + (["Pow"] if dtype in FLOATS else ["Mod"]):
            check(name, pair, dtype, size)
        check("LessOrEqual", pair, "bool", size)
        for name in "Neg Abs Sign Relu".split() + (UNARY_FLOAT.split() if dtype in FLOATS else []):
            check(name, pair[:1], dtype, size)
        for target in (*FLOATS, *INTEGERS, "bool"):
            check("Cast", pair[:1], target, size)
        check("Where", [("bool", np.full((), 2, np.uint8).view(np.bool_)), *pair], dtype, size)
    check("Slice", [x], dtype, size, starts=(), steps=(), shape=())
    check("Transpose", [x], dtype, size, perm=())
    for mode in ("constant", "edge", "reflect"):
        check("Pad", [x, x], dtype, size, begins=(), mode=mode, shape=())
    for index in (0, -2, 7):
        check("Gather", [(dtype, one.reshape(1)), ("int64", np.array(index))], dtype, (), axis=(0,))


def test_nothing_to_do():
    """Axes of size 0: no indices, no trees, no windows; and never a walk over a huge kernel."""
    x, none = np.ones((2, 3), np.float32), np.zeros((2, 0), np.float32)
    nowhere = ("int64", np.zeros((2, 0), np.int64))
    check("ScatterElements", [("float32", x), nowhere, ("float32", none)], "float32", (2, 3))
    table, leaves = np.zeros((0, 4, 4), np.uint32), np.zeros((0, 2, 2), np.float32)
    operands = [("float32", x), ("uint32", table), ("float32", leaves)]
    check("TreeEnsemble", operands, "float32", (2, 2), depth=(1,), stretches=(1,))
    where = {"strides": (1,), "pads_begin": (3,), "pads_end": (2,), "dilations": (1,)}
    for dtype in ("float32", "float64"):
        empty, weight = np.ones((2, 0, 1), dtype), np.ones((1, 3, 1), dtype)
        check("Conv", [(dtype, empty), (dtype, weight)], dtype, (2, 3, 1), **where, group=(1,))
    nought = {name: (0, 0) if name[0] == "p" else (1, 1) for name in where}
    huge = np.ones((0, 1 << 20, 1 << 20, 1), np.float32)
    kernel = (1 << 20, 1 << 20)
    check("WindowMax", [("float32", huge)], "float32", (0, 1, 1, 1), kernel=kernel, **nought)


@pytest.mark.parametrize("dtype", ["float32", "float64", "int8"])
def test_windows_far_apart_need_no_memory_between_them(dtype):
    far = (1 << 20, 1 << 20)
    x, weight = (make_any(dtype, 8, seed).reshape(2, 2, 2, 1) for seed in (1, 2))
    out = "int32" if dtype == "int8" else dtype
    where = {"strides": far, "pads_begin": far, "pads_end": far, "dilations": (1, 1)}
    check("Conv", [(dtype, x), (dtype, weight)], out, (2, 3, 3, 2), **where, group=(1,))
    where = {"strides": (1, 1), "pads_begin": far, "pads_end": (1, 1), "dilations": far}
    check("Conv", [(dtype, x), (dtype, weight)], out, (2, 3, 3, 2), **where, group=(1,))


def test_many_maps_of_float64():
    """Every map has a copy of the patches, but not all at once: rows of one tensor, 1,024 maps."""
    rng = np.random.default_rng(1)
    x, weight = rng.standard_normal((1, 400, 1)), rng.standard_normal((1024, 3, 1))
    where = {"strides": (1,), "pads_begin": (1,), "pads_end": (1,), "dilations": (1,)}
    operands = [("float64", x), ("float64", weight)]
    check("Conv", operands, "float64", (1, 400, 1024), **where, group=(1,), samples=60)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float64"])
def test_what_infinities_meet(dtype):
    """Signs, zeros, each other, NaN, and in a convolution the padding, which is none of these."""
    rng = np.random.default_rng(5)
    few = [np.inf, -np.inf, np.nan, 0.0, -0.0, 1.0, -2.0, 2.0**-120]

    def draw(*shape):
        odds = rng.choice([0.02, 0.15])
        chances = [odds, odds, odds / 4, *[(1 - 2.25 * odds) / 5] * 5]
        return round_to(dtype, rng.choice(few, shape, p=chances))

    for _ in range(6):
        left, right = draw(2, 1, 9, 5), draw(3, 8, 5)
        check("Dot", [(dtype, left), (dtype, right)], dtype, (2, 3, 9, 8))
        x, weight = draw(1, 5, 6, 4), draw(6, 3, 2, 2)
        where = {"strides": (1, 2), "pads_begin": (2, 1), "pads_end": (1, 1), "dilations": (1, 1)}
        check("Conv", [(dtype, x), (dtype, weight)], dtype, (1, 6, 4, 6), **where, group=(2,))


def test_a_true_byte_of_a_scalar_stays_what_it_is():
    two = ("bool", np.full((), 2, np.uint8).view(np.bool_))
    for mode in ("constant", "edge", "reflect"):
        check("Pad", [two, two], "bool", (), begins=(), mode=mode, shape=())
    check("Slice", [two], "bool", (), starts=(), steps=(), shape=())
    check("Reshape", [two], "bool", (1,), shape=(1,))
    check("Transpose", [two], "bool", (), perm=())
