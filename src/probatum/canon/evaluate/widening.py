"""Rows widened to float64, with their norms: what sums of products are made of, and bounded by.

Read `tiles` next.
"""

from __future__ import annotations

import numpy as np

from probatum.canon.evaluate.compiled import Compiled
from probatum.canon.evaluate.values import Array, Doubles, widen
from probatum.canon.evaluate.workspace import CHUNK, COMPILED_CHUNK, Scratch, Workspace

__all__ = ["widen_rows"]


def widen_rows(
    array: Array, dtype: str, ws: Workspace, *, flipped: bool = False
) -> tuple[Doubles, Doubles]:
    """Widen a matrix to float64, with the Euclidean norms of its rows.

    Args:
        array: ..., N, K; of at most 8 exponent bits.
        dtype: Its type.
        ws: Where to work, and whose memory the float64 matrix is.
        flipped: Make the columns contiguous, not the rows.

    Returns:
        The matrix, and its norms, ...: the true ones times at most 1 ± 2**-20, where finite.
    """
    *outer, height, terms = array.shape
    norms = np.empty(array.shape[:-1])
    rows, squares = array.reshape(-1, terms), norms.reshape(-1)
    doubles = ws.take_doubles((*outer, terms, height) if flipped else array.shape)
    wide = doubles.reshape(-1, terms, height) if flipped else doubles.reshape(-1, terms)
    if dtype == "float32" and ws.compiled is not None:
        _widen_compiled(ws.compiled, rows, wide, squares, ws, flipped=flipped)
    else:
        _widen_by_numpy(rows, dtype, wide, squares, ws, flipped=flipped)
    np.sqrt(squares, out=squares)
    return doubles.swapaxes(-1, -2) if flipped else doubles, norms


def _widen_compiled(
    compiled: Compiled,
    rows: Array,
    wide: Doubles,
    squares: Doubles,
    ws: Workspace,
    *,
    flipped: bool,
) -> None:
    """Widen n rows by the compiled kernel; see `_widen_by_numpy`."""
    step = max(1, COMPILED_CHUNK // max(1, rows.shape[1]))

    def work(_: Scratch, begin: int, end: int) -> None:
        part, sums = rows[begin:end], squares[begin:end]
        if not flipped:
            compiled.widen(part, wide[begin:end], sums)
        elif len(wide) == 1:
            compiled.widen_flipped(part, wide[:, :, begin:end], sums)
        else:
            compiled.widen_flipped(part, wide[begin // height : end // height], sums)

    height = wide.shape[-1]
    if flipped and len(wide) > 1:
        step = max(1, step // height) * height
    ws.spread(len(rows), step, work)


def _widen_by_numpy(
    rows: Array, dtype: str, wide: Doubles, squares: Doubles, ws: Workspace, *, flipped: bool
) -> None:
    """Widen n rows, with the sums of their squares.

    Args:
        rows: n, K.
        dtype: Their type.
        wide: n, K; flipped matrices, K, N, of N rows each.
        squares: n.
        ws: Where to work.
        flipped: Whether wide is matrices whose columns the rows become.
    """
    height, terms = wide.shape[-1], rows.shape[1]
    # Flipped, a chunk is part of one matrix, or whole ones.
    step = max(1, 2 * CHUNK // max(1, terms))

    def work(scratch: Scratch, begin: int, end: int) -> None:
        if flipped:
            here = scratch.take("moved", (end - begin) * terms).reshape(-1, terms)
        else:
            here = wide[begin:end]
        widen(rows[begin:end], dtype, here)
        np.vecdot(here, here, out=squares[begin:end])
        if flipped and len(wide) == 1:
            wide[0, :, begin:end] = here.T
        elif flipped:
            first = begin // height
            wide[first : end // height] = here.reshape(-1, height, terms).swapaxes(-1, -2)

    if flipped and len(wide) > 1:
        step = max(1, step // height) * height
    ws.spread(len(rows), step, work)
