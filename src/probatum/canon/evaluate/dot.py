"""Dot: rows by rows, exact sums of products rounded once (`CANON-2`).

Float32 and narrower go by float64 BLAS and the ladder, float64 by `wide`, integers by `integers`.
Read `products` next.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from probatum.canon.evaluate.fused import multiply_fused
from probatum.canon.evaluate.products import multiply_rows
from probatum.canon.evaluate.specials import mend_products
from probatum.canon.evaluate.values import (
    Array,
    Doubles,
    Value,
    compute_finite,
    fill_nan,
    is_float,
    widen,
)
from probatum.canon.evaluate.wide import multiply_wide
from probatum.canon.evaluate.widening import widen_rows
from probatum.canon.evaluate.workspace import Workspace
from probatum.canon.graph.binding import BoundNode

__all__ = ["compute_dot"]

SMALL: Final = 128
"""Rows of a small right side."""

FINITE = {"float16": 15, "bfloat16": 127, "float32": 127}
"""Below 2 to the power of these, what is rounded to a type stays finite."""


def compute_dot(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute Dot: a[..., M, K] by b[..., N, K]."""
    left, right = inputs
    out = ws.take(node.output.shape, node.output.dtype)
    if not out.size:
        return Value(out, node.output.dtype, finite=True)
    if not is_float(left.dtype):
        multiply_integers(left.array, right.array, out)
        return Value(out, node.output.dtype, finite=True)
    if left.array.shape[-1] == 0:
        out.fill(0)
    elif left.dtype == "float64":
        multiply_wide(left.array, right.array, out)
        fill_nan(out, left.dtype)
    elif _multiply_narrow(left, right, out, ws):
        return Value(out, left.dtype, finite=True)
    return Value(out, left.dtype, finite=compute_finite(out, left.dtype))


def multiply_integers(left: Array, right: Array, out: Array) -> None:
    """Multiply integer matrices modulo 2**width of the output.

    8 and 16 bits go by float64 BLAS, exact below 2**53; else in the output's own width, which
    wraps.
    """
    if left.dtype.itemsize <= 2 and left.shape[-1] <= 1 << 20:
        product = np.matmul(left.astype(np.float64), right.swapaxes(-1, -2).astype(np.float64))
        np.copyto(out, product.astype(np.int64), casting="unsafe")
        return
    with np.errstate(all="ignore"):
        flipped = right.swapaxes(-1, -2).astype(out.dtype)
        np.matmul(left.astype(out.dtype), flipped, out=out)


def _multiply_narrow(left: Value, right: Value, out: Array, ws: Workspace) -> bool:
    """Multiply; tell whether the results are known to be finite."""
    if (most := multiply_fused(left, right, out, ws)) is not None:
        return most < 2.0 ** FINITE[left.dtype]
    ones, one_norms, one_finite = _prepare(left, ws, shared=True)
    twos, two_norms, two_finite = _prepare(right, ws)
    if right.array.ndim == 2:  # one matrix product, however many batches
        batch: tuple[int, ...] = ()
        rows = (-1, ones.shape[-1])
        stacks = [ones.reshape(1, *rows), twos[None]]
        norms = (one_norms.reshape(1, -1), two_norms[None])
    else:
        batch = out.shape[:-2]
        stacks = [_stack(doubles, batch, 2) for doubles in (ones, twos)]
        norms = (_stack(one_norms, batch, 1), _stack(two_norms, batch, 1))
    results = out.reshape(-1, stacks[0].shape[1], stacks[1].shape[1])
    narrow = _stack(right.array, batch, 2) if _is_flipped(right) and two_finite else None
    multiply_rows(stacks[0], stacks[1], norms, left.dtype, results, ws, narrow)
    if right.key < 0:
        ws.give_back(twos)
    if not (one_finite and two_finite):
        _mend(left, right, out)
        return False
    return float(one_norms.max()) * float(two_norms.max()) < 2.0 ** FINITE[left.dtype]


def _is_flipped(right: Value) -> bool:
    """Tell whether a right side is widened to contiguous columns: BLAS reads those faster.

    That costs more: it is for weights, widened once, and for many small matrices.
    """
    return right.array.shape[-2] <= SMALL or (right.key >= 0 and right.array.ndim == 2)


def _stack(array: Array, batch: tuple[int, ...], inner: int) -> Array:
    """Broadcast to a batch, which becomes one axis; a view where it can be one."""
    tail = array.shape[array.ndim - inner :]
    return np.broadcast_to(array, (*batch, *tail)).reshape(-1, *tail)


def _prepare(value: Value, ws: Workspace, *, shared: bool = False) -> tuple[Doubles, Doubles, bool]:
    """Widen a side, with its rows' norms; what is not finite becomes 0 and is mended after.

    Args:
        value: The side.
        ws: Where to work.
        shared: Whether the next product is likely to ask again: queries, keys and values.
    """

    def make() -> tuple[Doubles, Doubles, bool]:
        flipped = not shared and _is_flipped(value)
        doubles, norms = widen_rows(value.array, value.dtype, ws, flipped=flipped)
        finite = bool(np.isfinite(norms).all())
        if not finite:
            doubles[~np.isfinite(doubles)] = 0.0
            norms = np.sqrt(np.einsum("...k,...k->...", doubles, doubles))
        return doubles, norms, finite

    if value.key >= 0:
        return ws.keep(("widened", shared, value.key), 8 * value.array.size, make)
    return ws.remember(value, "rows", make) if shared else make()


def _mend(left: Value, right: Value, out: Array) -> None:
    """Set what a NaN or an infinity of either side reaches."""
    batch = out.shape[:-2]
    ones, twos = (
        np.broadcast_to(doubles, (*batch, *doubles.shape[-2:]))
        for doubles in (widen(value.array, value.dtype) for value in (left, right))
    )
    for at in np.ndindex(*batch):
        mend_products(out[at], ones[at], twos[at], left.dtype)
