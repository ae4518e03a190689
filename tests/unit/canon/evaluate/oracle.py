"""Exact references in rationals, hostile elements, and graphs of one node."""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from probatum.canon.arith.formats import FORMATS, decode
from probatum.canon.evaluate.evaluating import Evaluator
from probatum.canon.evaluate.values import get_bits, get_numpy_dtype
from probatum.canon.graph.records import (
    Attribute,
    CanonicalGraph,
    InputRecord,
    NodeRecord,
    OutputRecord,
    Ref,
    WeightRecord,
)
from probatum.canon.primitives.registry import get_newest

FLOATS = ("float16", "bfloat16", "float32", "float64")


def make_graph(operator, operands, dtype, size, **attributes):
    """A graph of one node; operands are (dtype, shape), given as weights but for the first."""
    records = [
        NodeRecord(
            operator=operator,
            version=get_newest(operator).version,
            attributes=tuple(
                Attribute(name=name, value=value) for name, value in sorted(attributes.items())
            ),
            reads=tuple(Ref(space=min(n, 1), number=max(0, n - 1)) for n in range(len(operands))),
            dtype=dtype,
            shape=tuple(size),
        )
    ]
    if operands and operands[0][0] == "bfloat16":
        # No request holds bfloat16: all are weights.
        records[0] = NodeRecord(
            operator=operator,
            version=get_newest(operator).version,
            attributes=records[0].attributes,
            reads=tuple(Ref(space=1, number=n) for n in range(len(operands))),
            dtype=dtype,
            shape=tuple(size),
        )
        inputs, weights = (), operands
    else:
        inputs, weights = operands[:1], operands[1:]
    return CanonicalGraph(
        dims=(),
        inputs=tuple(InputRecord(name="x", dtype=kind, shape=tuple(s)) for kind, s in inputs),
        weights=tuple(
            WeightRecord(dtype=kind, shape=tuple(s), root=bytes(32)) for kind, s in weights
        ),
        nodes=tuple(records),
        outputs=(OutputRecord(name="y", ref=Ref(space=2, number=0)),),
    )


def compute(operator, operands, dtype, size, *, settings=None, **attributes):
    """Evaluate one node. operands: (dtype, array) each. Returns the output's bits."""
    graph = make_graph(
        operator, [(kind, array.shape) for kind, array in operands], dtype, size, **attributes
    )
    arrays = [array for _, array in operands]
    split = len(graph.inputs)
    seen = []
    evaluator = Evaluator(graph, arrays[split:], **(settings or {}))
    (out,) = evaluator.evaluate(
        arrays[:split], sink=lambda number, array: seen.append((number, array.copy()))
    )
    evaluator.close()
    assert out.shape == tuple(size)
    assert out.dtype == get_numpy_dtype(dtype)
    assert seen[0][0] == 0
    assert get_bits(seen[0][1]).tolist() == get_bits(out).tolist()
    return get_bits(out)


def from_bits(dtype, bits):
    kind = get_numpy_dtype(dtype)
    return np.array(bits, f"u{kind.itemsize}").view(kind)


def make_hostile(dtype, count, seed=0):
    """Elements of every class: any bits, near 1, tiny, huge, zeros, infinities, NaN."""
    rng = np.random.default_rng(seed)
    fmt = FORMATS[dtype]
    width = fmt.width
    any_bits = rng.integers(0, 1 << width, count, dtype=np.uint64)
    one = (-fmt.least_exponent - fmt.precision + 2) << (fmt.precision - 1)
    near = one + rng.integers(-(4 << fmt.precision - 1), 4 << fmt.precision - 1, count)
    near = near.astype(np.uint64) | (rng.integers(0, 2, count, dtype=np.uint64) << (width - 1))
    special = np.array(
        [
            0,
            fmt.sign_bit,
            1,
            fmt.sign_bit | 1,
            fmt.infinity,
            fmt.infinity | fmt.sign_bit,
            fmt.infinity - 1,
            fmt.infinity + 1,
            fmt.sign_bit | fmt.infinity | 3,
            1 << (fmt.precision - 1),
            (1 << (fmt.precision - 1)) - 1,
            one,
            one + 1,
            one - 1,
            one | fmt.sign_bit,
        ],
        np.uint64,
    )
    chosen = rng.integers(0, 3, count)
    bits = np.where(chosen == 0, any_bits, near)
    bits = np.where(rng.random(count) < 0.1, rng.choice(special, count), bits)
    bits[: len(special)] = special[:count]
    return from_bits(dtype, bits)


def to_fraction(dtype, bits):
    """The value of finite bits."""
    number = decode(FORMATS[dtype], int(bits))
    assert number.kind in {"zero", "finite"}
    return Fraction(number.signed) * Fraction(2) ** number.exponent


def round_fraction(dtype, value):
    """Round a rational by searching the format's values: independent of `canon.arith`."""
    fmt = FORMATS[dtype]
    if value == 0:
        return 0
    sign = fmt.sign_bit if value < 0 else 0
    value = abs(value)
    low, high = 0, fmt.infinity
    while high - low > 1:
        middle = (low + high) // 2
        if to_fraction(dtype, middle) <= value:
            low = middle
        else:
            high = middle
    below = to_fraction(dtype, low)
    if high == fmt.infinity:
        above = Fraction(2) ** (fmt.greatest_exponent + 1)
    else:
        above = to_fraction(dtype, high)
    middle = (below + above) / 2
    if value > middle or (value == middle and low & 1):
        return sign | high
    return sign | low


def show(wrong):
    return [hex(one) for one in wrong[:5]]
