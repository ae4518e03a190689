from __future__ import annotations

import numpy as np
import pytest

from probatum.canon.evaluate.values import get_bits
from tests.unit.canon.evaluate.oracle import compute, make_hostile

X = make_hostile("float32", 60, 1).reshape(3, 4, 5)


def move(name, operands, size, dtype="float32", **attributes):
    typed = [(str(a.dtype), a) if not isinstance(a, tuple) else a for a in operands]
    return compute(name, typed, dtype, size, **attributes).tolist()


def test_nan_keeps_its_bits():
    bits = get_bits(X)
    assert move("Reshape", [X], (12, 5), shape=(12, 5)) == bits.reshape(12, 5).tolist()
    got = move("Transpose", [X], (5, 3, 4), perm=(2, 0, 1))
    assert got == bits.transpose(2, 0, 1).tolist()
    assert move("Expand", [X[:1]], (3, 4, 5), shape=(3, 4, 5)) == [bits[0].tolist()] * 3
    assert (
        move("Concat", [X, X[:, :1]], (3, 5, 5), axis=(1,))
        == np.concatenate((bits, bits[:, :1]), axis=1).tolist()
    )


@pytest.mark.parametrize(
    ("starts", "steps", "shape", "cut"),
    [
        ((0, 1, 2), (1, 1, 1), (3, 2, 3), np.s_[:, 1:3, 2:]),
        ((2, 3, 4), (-1, -2, -1), (3, 2, 5), np.s_[::-1, ::-2, ::-1]),
        ((0, 0, 0), (2, 3, 4), (2, 2, 2), np.s_[::2, ::3, ::4]),
        ((0, 0, 0), (1, 1, 1), (0, 4, 5), np.s_[:0]),
    ],
)
def test_slice(starts, steps, shape, cut):
    got = move("Slice", [X], shape, starts=starts, steps=steps, shape=shape)
    assert got == get_bits(X)[cut].tolist()


def test_slice_outside_is_zero_bits():
    got = move("Slice", [X], (5, 1, 5), starts=(-1, 9, 0), steps=(1, 1, 1), shape=(5, 1, 5))
    assert not np.any(got)
    got = move("Slice", [X], (5, 4, 3), starts=(4, 0, -2), steps=(-1, 1, 3), shape=(5, 4, 3))
    want = np.zeros((5, 4, 3), np.uint32)
    want[2:, :, 1:] = get_bits(X)[::-1, :, 1::3]
    assert got == want.tolist()


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect"])
def test_pad(mode):
    filler = np.array(7, np.float32)
    got = move("Pad", [X, filler], (6, 6, 8), begins=(1, 2, 1), shape=(6, 6, 8), mode=mode)
    widths = ((1, 2), (2, 0), (1, 2))
    more = {"constant_values": get_bits(filler)} if mode == "constant" else {}
    assert got == np.pad(get_bits(X), widths, mode=mode, **more).tolist()


def test_pad_may_crop():
    filler = np.array(7, np.float32)
    got = move("Pad", [X, filler], (2, 5, 5), begins=(-1, 1, 0), shape=(2, 5, 5), mode="constant")
    want = np.pad(get_bits(X)[1:], ((0, 0), (1, 0), (0, 0)), constant_values=get_bits(filler))
    assert got == want.tolist()


def test_gather():
    indices = np.array([[0, -1], [3, -4], [4, -5]], np.int64)
    got = np.array(move("Gather", [X, indices], (3, 3, 2, 5), axis=(1,)))
    bits = get_bits(X)
    assert got[:, 0, 1].tolist() == bits[:, 3].tolist()
    assert got[:, 1, 0].tolist() == bits[:, 3].tolist()
    assert got[:, 1, 1].tolist() == bits[:, 0].tolist()
    assert not got[:, 2].any(), "out of range is zero bits"


def test_gather_elements():
    indices = np.array([[[0, 4, -1, 9, -6]]], np.int32)
    got = move("GatherElements", [X, indices], (1, 1, 5), axis=(2,))
    bits = get_bits(X)[0, 0].tolist()
    assert got == [[[bits[0], bits[4], bits[4], 0, 0]]]


def test_where():
    condition = np.array([[True], [False], [True], [False]])
    other = np.array(3, np.float32)
    got = compute(
        "Where", [("bool", condition), ("float32", X), ("float32", other)], "float32", (3, 4, 5)
    )
    assert got.tolist() == np.where(condition, get_bits(X), get_bits(other)).tolist()


def test_iota():
    assert compute("Iota", [], "int64", (4,), start=(3,), step=(-2,), shape=(4,)).tolist() == [
        3,
        1,
        2**64 - 1,
        2**64 - 3,
    ]
