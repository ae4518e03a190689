"""Values of many sums rounded at once, each within its bound: level 1 of products (`CANON-2`).

Read `ladder` for what becomes of the undecided.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from probatum.canon.evaluate.compiled import Compiled
from probatum.canon.evaluate.rounding import Indices, compare_rounded, round_to
from probatum.canon.evaluate.values import Array, Doubles
from probatum.canon.evaluate.workspace import CHUNK, COMPILED_CHUNK, Scratch, Workspace

__all__ = ["round_products"]

LOOSE: Final = 1 / 16
"""Above this share a chunk's elements each get a bound of their own at once."""


def round_products(
    value: Doubles, bounds: Doubles, norms: Doubles, dtype: str, out: Array, ws: Workspace
) -> Indices:
    """Round values that are right to within bounds[b, i] * norms[b, j].

    numpy tries a chunk of rows with the greatest of its bounds, one scalar, which costs half of
    what a bound for each element does; what that leaves is tried again with its own.

    Args:
        value: B, M, N; contiguous.
        bounds: B, M.
        norms: B, N.
        dtype: What to round to.
        out: B, M, N; contiguous.
        ws: Where to work.

    Returns:
        Flat indices of the undecided.
    """
    rows, flat = value.reshape(-1, value.shape[-1]), bounds.reshape(-1)
    results = out.reshape(rows.shape)
    if dtype == "float32" and ws.compiled is not None:
        return _round_compiled(ws.compiled, rows, (flat, norms), results, ws)
    return _round_by_numpy(rows, (flat, norms), dtype, results, ws)


def _round_compiled(
    compiled: Compiled, rows: Doubles, bounds: tuple[Doubles, Doubles], out: Array, ws: Workspace
) -> Indices:
    """Round rows by the compiled kernel, each element with its own bound."""
    columns = rows.shape[1]
    own, norms = np.ascontiguousarray(bounds[0]), np.ascontiguousarray(bounds[1])
    height = len(own) // max(1, len(norms))

    def work(scratch: Scratch, begin: int, end: int) -> Indices | None:
        places = scratch.take("places", (end - begin) * columns, "int64")
        here = rows[begin:end], own[begin:end], norms
        found = compiled.round(*here, (begin, height), out[begin:end], places)
        return places[:found] + begin * columns if found else None

    found = ws.spread(len(rows), max(1, COMPILED_CHUNK // max(1, columns)), work)
    return np.concatenate(found) if found else np.empty(0, np.intp)


def _round_by_numpy(
    rows: Doubles, bounds: tuple[Doubles, Doubles], dtype: str, results: Array, ws: Workspace
) -> Indices:
    """Round rows, a chunk with the greatest of its bounds, what that leaves with its own."""
    (flat, norms), columns = bounds, rows.shape[1]
    height = len(rows) // max(1, len(norms))
    most = (flat.reshape(len(norms), -1) * norms.max(axis=-1, initial=0.0)[:, None]).reshape(-1)
    step = max(1, 2 * CHUNK // max(1, columns))

    def work(scratch: Scratch, begin: int, end: int) -> tuple[Indices, bool] | None:
        here = (rows[begin:end], results[begin:end], dtype, scratch)
        found, own = _round_chunk(most[begin:end].max(), *here), False
        if found is not None and len(found) > LOOSE * here[0].size:
            bound = norms[np.arange(begin, end) // height]
            bound *= flat[begin:end, None]
            found, own = _round_chunk(bound, *here), True
        return None if found is None else (found + begin * columns, own)

    chunks = ws.spread(len(rows), step, work)
    undecided = [found for found, own in chunks if own]
    if loose := [found for found, own in chunks if not own]:
        at = np.concatenate(loose)
        row, column = np.divmod(at, columns)
        bound = flat[row] * norms[row // height, column]
        close = rows.reshape(-1)[at]
        high = round_to(dtype, close + bound)
        left = compare_rounded(round_to(dtype, close - bound), high)
        results.reshape(-1)[at] = high
        if left is not None:
            undecided.append(at[left])
    return np.concatenate(undecided) if undecided else np.empty(0, np.intp)


def _round_chunk(
    bound: Doubles | np.float64, value: Doubles, high: Array, dtype: str, scratch: Scratch
) -> Indices | None:
    """Round value + bound to `high`: flat indices of where value - bound rounds otherwise."""
    moved = scratch.take("moved", value.size).reshape(value.shape)
    low = scratch.take("low", value.size, dtype).reshape(value.shape)
    round_to(dtype, np.add(value, bound, out=moved), high)
    round_to(dtype, np.subtract(value, bound, out=moved), low)
    return compare_rounded(low, high, scratch)
