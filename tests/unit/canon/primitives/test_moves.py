"""Moves copy bits from where they should, against numpy's indexing (`CANON-1`, `CANON-8`)."""

import numpy as np
import pytest

from probatum.canon.primitives.judging import judge_element
from tests.unit.canon.primitives.cases import f32, judge_all, make_node, run

BITS = np.arange(2 * 3 * 4, dtype=np.uint32) + 0x7FC00000  # NaNs with payloads: bits are copied
X = BITS.reshape(2, 3, 4)
OPERAND = ("float32", (2, 3, 4), BITS.tolist())


def flat(array):
    return np.ascontiguousarray(array).reshape(-1).tolist()


def test_reshape():
    assert run("Reshape", OPERAND, shape=(6, 4)) == flat(X)
    assert run("Reshape", ("bool", (), [1]), shape=()) == [1]


@pytest.mark.parametrize("perm", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (2, 1, 0)])
def test_transpose(perm):
    assert run("Transpose", OPERAND, perm=perm) == flat(X.transpose(perm))


def test_slice():
    assert run("Slice", OPERAND, starts=(1, 2, 3), steps=(1, -1, -3), shape=(1, 3, 2)) == flat(
        X[1:, ::-1, ::-3]
    )
    assert run("Slice", OPERAND, starts=(0, 0, 0), steps=(1, 1, 1), shape=(0, 3, 4)) == []


def test_a_slice_beyond_its_tensor_is_all_zero_bits():
    found = run("Slice", ("int8", (3,), [5, 6, 7]), starts=(-1,), steps=(1,), shape=(5,))
    assert found == [0, 5, 6, 7, 0]


def test_concat():
    y = X[:, :1] ^ 1
    other = ("float32", (2, 1, 4), flat(y))
    assert run("Concat", OPERAND, other, OPERAND, axis=1) == flat(np.concatenate([X, y, X], 1))
    empty = ("float32", (2, 0, 4), [])
    assert run("Concat", empty, OPERAND, axis=1) == flat(X)


def test_expand():
    row = ("float32", (3, 1), flat(X[0, :, :1]))
    assert run("Expand", row, shape=(2, 3, 4)) == flat(np.broadcast_to(X[0, :, :1], (2, 3, 4)))
    assert run("Expand", ("int64", (), [9]), shape=(2, 2)) == [9] * 4


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
@pytest.mark.parametrize("begins", [(0, 1, 2), (1, 0, 0), (3, 5, 9)])
def test_pad(mode, begins):
    ends = (1, 2, 3)
    shape = tuple(b + size + e for b, size, e in zip(begins, X.shape, ends, strict=True))
    pads = list(zip(begins, ends, strict=True))
    values = {"constant_values": 77} if mode == "constant" else {}
    expected = np.pad(X, pads, mode, **values)
    found = run("Pad", OPERAND, ("float32", (), [77]), begins=begins, mode=mode, shape=shape)
    assert found == flat(expected)


def test_pad_may_cut():
    found = run("Pad", OPERAND, ("float32", (), [7]), begins=(0, -1, 1), mode="constant",
                shape=(2, 2, 3))  # fmt: skip
    assert found == flat(np.pad(X[:, 1:, :2], [(0, 0), (0, 0), (1, 0)], constant_values=7))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_gather(axis, dtype):
    indices = np.array([[0, -1], [1, -2]])
    width = 1 << (32 if dtype == "int32" else 64)
    bits = [int(i) % width for i in indices.reshape(-1)]
    found = run("Gather", OPERAND, (dtype, (2, 2), bits), axis=axis)
    assert found == flat(np.take(X, indices, axis=axis))


def test_an_index_out_of_range_gives_all_zero_bits_and_reads_nothing_more():
    far = [3, (1 << 64) - 4, 1 << 63, 2]
    found = run("Gather", ("float32", (3,), f32("1", "2", "3")), ("int64", (4,), far), axis=0)
    assert found == [0, 0, 0, *f32("3")]
    assert run("Gather", ("int8", (0,), []), ("int32", (1,), [0]), axis=0) == [0]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_gather_elements(axis):
    shape = tuple(5 if at == axis else size for at, size in enumerate(X.shape))
    generator = np.random.default_rng(axis)
    indices = generator.integers(-X.shape[axis], X.shape[axis], shape)
    bits = [int(i) % (1 << 64) for i in indices.reshape(-1)]
    found = run("GatherElements", OPERAND, ("int64", shape, bits), axis=axis)
    wrapped = np.where(indices < 0, indices + X.shape[axis], indices)
    assert found == flat(np.take_along_axis(X, wrapped, axis))
    bits[3] = X.shape[axis]
    assert run("GatherElements", OPERAND, ("int64", shape, bits), axis=axis)[3] == 0


def test_where_is_staged():
    condition = ("bool", (2, 1), [0, 255])
    x, y = ("float32", (1, 3), f32("1", "-nan", "3")), ("float32", (), f32("snan"))
    assert run("Where", condition, x, y) == f32("snan", "snan", "snan", "1", "-nan", "3")
    node = make_node("Where", [("bool", ()), ("int8", ()), ("int8", ())])
    asked = []

    def fetch(read):
        asked.append(read.source)
        return [1]

    assert judge_element(node, 0, fetch) == 1
    assert asked == [0, 1]


def test_iota():
    assert run("Iota", start=3, step=-2, shape=(4,)) == [3, 1, (1 << 64) - 1, (1 << 64) - 3]
    top = (1 << 62) - 1
    wrapped = run("Iota", start=top, step=top, shape=(4,))
    assert wrapped == [(top * (i + 1)) % (1 << 64) for i in range(4)]


def test_nothing_of_nothing():
    node = make_node("Reshape", [("float32", (0, 3))], shape=(0,))
    assert judge_all(node, []) == []
