"""ReduceSum and ReduceMean over the last axis.

Sums and means are exact, rounded once: float64 sums with the order-free bound (N + 3) u ||x||_1,
||x||_1 <= sqrt(N) ||x||_2, and the ladder for the few rows that it leaves open.
"""

from __future__ import annotations

import numpy as np

from probatum.canon.arith.formats import FORMATS
from probatum.canon.arith.sums import finish_mean, finish_sum, sum_elements
from probatum.canon.evaluate.ladder import climb
from probatum.canon.evaluate.rounding import UNIT, Indices, compare_rounded, round_to
from probatum.canon.evaluate.values import (
    CANONICAL_NAN,
    Array,
    Doubles,
    Value,
    compute_finite,
    fill_nan,
    get_bits,
    is_float,
    widen,
)
from probatum.canon.evaluate.wide import sum_wide
from probatum.canon.evaluate.workspace import CHUNK, Scratch, Workspace
from probatum.canon.graph.binding import BoundNode

__all__ = ["compute_sum", "sum_rows"]

INFLATE = 1 + 2.0**-16
DIVISOR = 1 << 24
"""From here on a midpoint times a count may be inexact: the ladder is left out."""


def compute_sum(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute ReduceSum or ReduceMean."""
    (value,) = inputs
    out = ws.take(node.output.shape, value.dtype)
    terms = value.array.shape[-1]
    rows = value.array.reshape(out.size, terms)
    if not is_float(value.dtype):
        with np.errstate(all="ignore"):
            np.sum(rows, axis=1, dtype=out.dtype, out=out.reshape(-1))
        return Value(out, value.dtype, finite=True)
    mean = node.operator == "ReduceMean"
    if terms == 0:
        out.fill(0)
        if mean and out.size:
            get_bits(out)[...] = CANONICAL_NAN[value.dtype]
        return Value(out, value.dtype, finite=not mean)
    sum_rows(rows, value.dtype, terms if mean else 1, out.reshape(-1), ws)
    return Value(out, value.dtype, finite=compute_finite(out, value.dtype))


def sum_rows(rows: Array, dtype: str, divisor: int, out: Array, ws: Workspace) -> None:
    """Sum each row, divide by an integer, round once.

    Args:
        rows: n, K; any values.
        dtype: Of rows and results.
        divisor: Any positive integer below 2**53.
        out: n.
        ws: Where to work.
    """
    if dtype == "float64":
        np.copyto(out, sum_wide(rows, divisor))
        return
    count, terms = rows.shape
    if not count:
        return
    factor = (terms + 4) * UNIT * INFLATE * float(np.sqrt(terms))
    ones = np.ones(terms)
    total, bound = np.empty(count), np.empty(count)

    def work(scratch: Scratch, begin: int, end: int) -> None:
        doubles = scratch.take("rows", (end - begin) * terms).reshape(-1, terms)
        widen(rows[begin:end], dtype, doubles)
        np.matmul(doubles, ones, out=total[begin:end])
        np.vecdot(doubles, doubles, out=bound[begin:end])

    ws.spread(count, max(1, 2 * CHUNK // terms), work)
    np.sqrt(bound, out=bound)
    bound *= factor
    if not np.isfinite(bound).all():
        # NaN and infinities: their sum says it all; no finite sum can overflow.
        bad = np.flatnonzero(~np.isfinite(bound))
        total[bad], bound[bad] = _sum_special(rows, bad, dtype), 0.0
    if divisor != 1:
        total /= divisor
        bound /= divisor
    high = round_to(dtype, total + bound, out)
    undecided = compare_rounded(round_to(dtype, total - bound), high)
    fill_nan(high, dtype)
    if undecided is None:
        return
    undecided = undecided[np.isfinite(total[undecided])]
    if not len(undecided):
        return

    def settle(chosen: Indices) -> Array:
        fmt = FORMATS[dtype]
        partials = (sum_elements(fmt, get_bits(rows[undecided[at]]).tolist()) for at in chosen)
        bits = [
            finish_sum(fmt, partial) if divisor == 1 else finish_mean(fmt, partial, divisor)
            for partial in partials
        ]
        return np.array(bits, get_bits(out[:1]).dtype).view(out.dtype)

    if divisor >= DIVISOR:
        out[undecided] = settle(np.arange(len(undecided)))
        return
    out[undecided] = climb(
        dtype,
        np.abs(widen(rows[undecided], dtype)).sum(axis=1),
        terms,
        lambda chosen: widen(rows[undecided[chosen]], dtype),
        settle,
        divisor=divisor,
    )


def _sum_special(rows: Array, chosen: Indices, dtype: str) -> Doubles:
    """Sum what is not finite of the chosen rows."""
    step = max(1, CHUNK // rows.shape[1])
    totals = []
    for begin in range(0, len(chosen), step):
        doubles = widen(rows[chosen[begin : begin + step]], dtype)
        doubles[np.isfinite(doubles)] = 0.0
        totals.append(np.add.reduce(doubles, axis=1))
    special: Doubles = np.concatenate(totals)
    return special
