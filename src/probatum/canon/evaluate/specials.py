"""Products of rows that hold NaN or infinities: what they make follows from signs (`CANON-1`).

A row of finite elements never makes either, so the matrix product is computed without them, and
mended here. Must not know where the rows come from.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from probatum.canon.evaluate.rounding import round_to
from probatum.canon.evaluate.values import Array, Doubles, fill_nan

__all__ = ["mend_products"]

MENDED: Final = 1 << 20
"""Elements of the rows that are mended at a time."""


def mend_products(
    results: Array, left: Doubles, right: Doubles, dtype: str, inside: Array | None = None
) -> None:
    """Set those products of rows with rows that are NaN or infinite.

    Args:
        results: M, N; of `dtype`.
        left: M, K; any values, 0 where nothing is.
        right: N, K; any values.
        dtype: Of the results.
        inside: M, K: where left has something at all; everywhere, if not said.
    """
    bad = np.flatnonzero(~np.isfinite(left).all(axis=1))
    step = max(1, MENDED // max(1, left.shape[1]))
    for begin in range(0, len(bad), step):
        rows = bad[begin : begin + step]
        there = None if inside is None else inside[rows]
        chosen = results[rows]
        _set_special(chosen, _multiply_special(left[rows], right, there), dtype)
        results[rows] = chosen
    bad = np.flatnonzero(~np.isfinite(right).all(axis=1))
    for begin in range(0, len(left) if len(bad) else 0, step):
        end = begin + step
        there = None if inside is None else inside[begin:end]
        chosen = results[begin:end, bad]
        _set_special(chosen, _multiply_special(left[begin:end], right[bad], there), dtype)
        results[begin:end, bad] = chosen


def _set_special(results: Array, totals: Doubles, dtype: str) -> None:
    mended = round_to(dtype, totals)
    fill_nan(mended, dtype)
    np.copyto(results, mended, where=~np.isfinite(totals))


def _multiply_special(left: Doubles, right: Doubles, inside: Array | None) -> Doubles:
    """Find the products that are NaN or infinite, M, N; 0 elsewhere. Only signs matter.

    How often an infinity meets a number of its sign, of the other, or a zero is counted by matrix
    products: exact, and as fast as the finite ones.
    """
    rows, columns = np.isnan(left), np.isnan(right)
    met: Array = np.any(columns, axis=1) if inside is None else inside @ columns.T.astype(float) > 0
    nan: Array = np.any(rows, axis=1, keepdims=True) | met
    one, two = (np.sign(np.where(np.isnan(side), 0.0, side)) for side in (left, right))
    ones, twos = one * np.isinf(left), two * np.isinf(right)
    if not (ones.any() or twos.any()):
        return np.where(nan, np.nan, 0.0)
    none = one == 0 if inside is None else (one == 0) & inside
    signed = ones @ two.T + one @ twos.T
    counted = np.abs(ones) @ np.abs(two).T + np.abs(one) @ np.abs(twos).T
    zeros = np.abs(ones) @ (two == 0).T.astype(float) + none.astype(float) @ np.abs(twos).T
    plus, minus = counted + signed > 0, counted - signed > 0
    total = np.where(plus, np.inf, np.where(minus, -np.inf, 0.0))
    total[nan | (zeros > 0) | (plus & minus)] = np.nan
    return total
