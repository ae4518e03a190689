"""ReduceMax and ReduceMin over the last axis: NaN wins, +0 is above -0."""

from __future__ import annotations

from typing import Final

import numpy as np

from probatum.canon.evaluate.rounding import round_to
from probatum.canon.evaluate.values import (
    Array,
    Value,
    compute_finite,
    fill_nan,
    get_bits,
    is_float,
    widen,
)
from probatum.canon.evaluate.workspace import Workspace
from probatum.canon.graph.binding import BoundNode

__all__ = ["compute_extreme", "reduce_extreme"]

SHORT: Final = 128
LEAST: Final = 8
"""Rows of up to so many elements are halved, down to so many at least."""


def compute_extreme(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute ReduceMax or ReduceMin; the last axis is not empty."""
    (value,) = inputs
    out = ws.take(node.output.shape, value.dtype)
    greatest = node.operator == "ReduceMax"
    reduce_extreme(value.array, value.dtype, out, greatest=greatest)
    finite = value.finite or compute_finite(out, value.dtype)
    return Value(out, value.dtype, finite=finite)


def reduce_extreme(array: Array, dtype: str, out: Array, *, greatest: bool) -> None:
    """Find the greatest or least of the last axis.

    Args:
        array: ..., N, with N at least 1.
        dtype: Its type.
        out: ..., 1.
        greatest: Which.
    """
    reduce = np.maximum.reduce if greatest else np.minimum.reduce
    if not is_float(dtype):
        reduce(array, axis=-1, keepdims=True, out=out)
        return
    if dtype == "bfloat16":
        round_to(dtype, reduce(widen(array, dtype), axis=-1, keepdims=True), out)
    else:
        _reduce_rows(np.maximum if greatest else np.minimum, array, out)
    zero = (get_bits(out) << 1 == 0)[..., 0]
    if zero.any():
        # Both zeros compare equal: which of them is there decides.
        rows = get_bits(array[zero])
        wanted = get_bits(np.zeros(1, array.dtype) if greatest else -np.zeros(1, array.dtype))[0]
        if dtype == "bfloat16":
            wanted = array.dtype.type(0 if greatest else 0x8000)
        other = array.dtype.itemsize * 8 - 1
        sign = get_bits(array[:0]).dtype.type(1 << other)
        bits = np.where((rows == wanted).any(axis=-1), wanted, wanted ^ sign)
        get_bits(out)[zero] = bits.astype(rows.dtype)[..., None]
    fill_nan(out, dtype)


def _reduce_rows(extreme: np.ufunc, array: Array, out: Array) -> None:
    """Find the extreme of each row: short ones by halves, all rows' at once.

    numpy spends as long on beginning a row as on dozens of its elements.
    """
    width = array.shape[-1]
    rows = array.reshape(-1, width)
    if width > SHORT or width < 2 * LEAST:
        extreme.reduce(array, axis=-1, keepdims=True, out=out)
        return
    while width >= 2 * LEAST and width % 2 == 0:
        width //= 2
        rows = extreme(rows[:, :width], rows[:, width:])
    extreme.reduce(np.array(rows.T, order="C"), axis=0, out=out.reshape(-1))
