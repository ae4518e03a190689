"""Applies a function of one element to a tensor: fast where its bound decides, exact elsewhere.

Level 1, numpy's or the compiled kernel's, computes v with |v - f(x)| <= c |f(x)|; where v (1 - c)
and v (1 + c) round alike, that is the result. What is left, a few in a million, goes to
`canon.arith`, each distinct input once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

import numpy as np

from probatum.canon.arith import functions
from probatum.canon.arith.formats import FORMATS, Format
from probatum.canon.arith.powers import power
from probatum.canon.evaluate.compiled import Compiled
from probatum.canon.evaluate.rounding import UNIT, Indices, round_to
from probatum.canon.evaluate.univariate import circle, error_function, exponential, logarithm
from probatum.canon.evaluate.values import Array, Doubles, Value, fill_nan, get_bits, widen
from probatum.canon.evaluate.workspace import CHUNK, COMPILED_CHUNK, Scratch, Workspace

__all__ = ["FUNCTIONS", "Univariate", "apply_power", "apply_univariate"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Univariate:
    """A function's two ways.

    Attributes:
        name: Of the function.
        compute: In float64, overwriting its argument.
        error: Bounds compute's relative error, |c|.
        exact: From bits to bits.
        rough: Computes faster, where that pays: what it leaves undecided goes to `compute`.
        rough_error: Bounds its relative error.
        gaps: Whether compute claims nothing of some arguments and returns NaN there.
    """

    name: str
    compute: Callable[[Doubles, Scratch], Doubles]
    error: float
    exact: Callable[[Format, int], int]
    gaps: bool = False
    rough: Callable[[Doubles, Scratch], Doubles] | None = None
    rough_error: float = 0.0


def _log(x: Doubles, scratch: Scratch) -> Doubles:
    bad = ~((x > 0) & np.isfinite(x))
    value = logarithm.compute_log(x, scratch)
    value[bad] = np.nan
    return value


FUNCTIONS: Final = {
    one.name: one
    for one in (
        Univariate(
            name="Exp",
            compute=exponential.compute_exp,
            error=exponential.EXP_ERROR,
            exact=functions.exp,
        ),
        Univariate(
            name="Sigmoid",
            compute=exponential.compute_sigmoid,
            error=exponential.SIGMOID_ERROR,
            exact=functions.sigmoid,
        ),
        Univariate(
            name="Tanh",
            compute=exponential.compute_tanh,
            error=exponential.TANH_ERROR,
            exact=functions.tanh,
        ),
        Univariate(
            name="Erf",
            compute=error_function.compute_erf,
            error=error_function.ERF_ERROR,
            exact=functions.erf,
            rough=error_function.compute_erf_roughly,
            rough_error=error_function.ROUGH_ERROR,
        ),
        Univariate(
            name="Log",
            compute=_log,
            error=logarithm.LOG_ERROR,
            exact=functions.log,
            gaps=True,
        ),
        Univariate(
            name="Sin",
            compute=circle.compute_sine,
            error=circle.CIRCLE_ERROR,
            exact=functions.sin,
            gaps=True,
        ),
        Univariate(
            name="Cos",
            compute=circle.compute_cosine,
            error=circle.CIRCLE_ERROR,
            exact=functions.cos,
            gaps=True,
        ),
    )
}


def apply_univariate(function: Univariate, value: Value, out: Array, ws: Workspace) -> None:
    """Compute a function of every element, rounded once.

    Args:
        function: Which.
        value: Of a float type.
        out: Of its shape.
        ws: Where to work.
    """
    dtype = value.dtype
    flat, results = value.array.reshape(-1), out.reshape(-1)
    if dtype == "float64":
        undecided: Indices = np.arange(flat.size)
    elif dtype == "float32" and ws.compiled is not None and ws.compiled.has(function.name):
        undecided = _compute_compiled(ws.compiled, function.name, flat, results, ws)
    else:
        undecided = _compute_by_numpy(function, flat, dtype, results, ws)
        if not function.gaps and not value.finite:
            # NaN: whatever level 1 made of it, and of its neighbours nothing.
            _fill_nan_like(flat, dtype, results)
            undecided = undecided[~_is_nan(flat[undecided], dtype)]
    if len(undecided):
        fmt, bits = FORMATS[dtype], get_bits(flat)
        hard, inverse = np.unique(bits[undecided], return_inverse=True)
        settled = [
            ws.keep_exact((function.name, dtype, one), partial(function.exact, fmt, one))
            for one in hard.tolist()
        ]
        get_bits(results)[undecided] = np.array(settled, bits.dtype)[inverse]


def _compute_compiled(
    compiled: Compiled, name: str, x: Array, out: Array, ws: Workspace
) -> Indices:
    """Compute all elements, flat, by the compiled kernel: indices of what it leaves undecided."""

    def work(scratch: Scratch, begin: int, end: int) -> Indices | None:
        places = scratch.take("places", end - begin, "int64")
        count = compiled.apply(name, x[begin:end], out[begin:end], places)
        return places[:count] + begin if count else None

    found = ws.spread(x.size, COMPILED_CHUNK, work)
    return np.concatenate(found) if found else np.empty(0, np.intp)


def _compute_by_numpy(
    function: Univariate, x: Array, dtype: str, out: Array, ws: Workspace
) -> Indices:
    """Compute all elements, flat, roughly at first: indices of what is left undecided."""
    if function.rough is None:
        return _compute(function.compute, function.error, x, dtype, out, ws, gaps=function.gaps)
    compute, error = function.rough, function.rough_error
    undecided = _compute(compute, error, x, dtype, out, ws, gaps=function.gaps)
    if not len(undecided):
        return undecided
    few, hard = np.empty(len(undecided), out.dtype), x[undecided]
    left = _compute(function.compute, function.error, hard, dtype, few, ws, gaps=function.gaps)
    out[undecided] = few
    return undecided[left]


def _compute(
    compute: Callable[[Doubles, Scratch], Doubles],
    error: float,
    x: Array,
    dtype: str,
    out: Array,
    ws: Workspace,
    *,
    gaps: bool,
) -> Indices:
    """Compute all elements, flat, by one of the ways: indices of what it leaves undecided."""

    def work(scratch: Scratch, begin: int, end: int) -> Indices | None:
        value = compute(widen(x[begin:end], dtype, scratch.take("x", end - begin)), scratch)
        found = _test(value, error, dtype, out[begin:end], scratch, gaps=gaps)
        return None if found is None else found + begin

    found = ws.spread(x.size, CHUNK, work)
    return np.concatenate(found) if found else np.empty(0, np.intp)


def _test(
    value: Doubles,
    error: float,
    dtype: str,
    out: Array,
    scratch: Scratch,
    *,
    gaps: bool = False,
) -> Indices | None:
    """Round v (1 ± c): indices of what is undecided, or NaN where there are gaps."""
    moved, low = scratch.take("moved", value.size), scratch.take("low", value.size, dtype)
    # |v - f| <= c|f| <= c (1 + 2c)|v|; 1 ± c and its product with v are rounded themselves.
    slack = error * (1 + 2.0**-20) + 4 * UNIT
    np.multiply(value, 1 + slack, out=moved)
    round_to(dtype, moved, out)
    np.multiply(value, 1 - slack, out=moved)
    round_to(dtype, moved, low)
    differ = scratch.take("differ", value.size, "bool")
    np.not_equal(get_bits(out), get_bits(low), out=differ)
    if gaps:
        differ |= np.isnan(value)
    found: Indices = differ.nonzero()[0]
    return found if len(found) else None


def _is_nan(x: Array, dtype: str) -> Array:
    nan: Array = (x & 0x7FFF) > 0x7F80 if dtype == "bfloat16" else np.isnan(x)
    return nan


def _fill_nan_like(x: Array, dtype: str, out: Array) -> None:
    nan = _is_nan(x, dtype)
    if nan.any():
        out[nan] = x[nan]
        fill_nan(out, dtype)


def apply_power(x: Array, y: Array, dtype: str, out: Array, ws: Workspace) -> None:
    """Compute x**y for every pair of elements, rounded once.

    Args:
        x: As many as y, flat.
        y: The exponents.
        dtype: Of all three.
        out: As many.
        ws: Where to work.
    """
    undecided = np.arange(x.size)
    if dtype != "float64":

        def work(scratch: Scratch, begin: int, end: int) -> Indices | None:
            base = widen(x[begin:end], dtype, scratch.take("x", end - begin))
            exponent = widen(y[begin:end], dtype, scratch.take("y", end - begin))
            sure = (base > 0) & np.isfinite(base) & np.isfinite(exponent)
            value = logarithm.compute_power(base, exponent, scratch)
            found = _test(value, logarithm.POWER_ERROR, dtype, out[begin:end], scratch)
            if found is not None:
                sure[found] = False
            return None if sure.all() else np.flatnonzero(~sure) + begin

        found = ws.spread(x.size, CHUNK, work)
        undecided = np.concatenate(found) if found else undecided[:0]
    if len(undecided):
        fmt = FORMATS[dtype]
        pairs = np.stack((get_bits(x)[undecided], get_bits(y)[undecided]), axis=1)
        hard, inverse = np.unique(pairs, axis=0, return_inverse=True)
        settled = [
            ws.keep_exact(("Pow", dtype, one, two), partial(power, fmt, one, two))
            for one, two in hard.tolist()
        ]
        get_bits(out)[undecided] = np.array(settled, pairs.dtype)[inverse.reshape(-1)]
