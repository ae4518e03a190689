"""Products of float32 by the compiled kernel: multiplied and rounded while they are in the cache.

Both sides are laid out in panels, weights once, as float32. Read `products` for what it leaves.
"""

from __future__ import annotations

from math import prod
from typing import Final

import numpy as np

from probatum.canon.evaluate.compiled import Compiled
from probatum.canon.evaluate.products import INFLATE, settle_products
from probatum.canon.evaluate.rounding import UNIT, Indices
from probatum.canon.evaluate.values import Array, Doubles, Value
from probatum.canon.evaluate.workspace import Scratch, Workspace

__all__ = ["multiply_fused"]

CHUNK_TERMS: Final = 128
"""Terms that one register sums: fewer mean a smaller bound, more mean fewer passes."""
PLACES: Final = 1 << 22
"""Elements that one call decides: so many places of undecided ones there is room for."""


def multiply_fused(left: Value, right: Value, out: Array, ws: Workspace) -> float | None:
    """Compute a[..., M, K] by b[..., N, K], rounded once.

    Args:
        left: Not empty.
        right: Of the same batch, or of none.
        out: ..., M, N.
        ws: Where to work.

    Returns:
        What no result's magnitude exceeds by much; None where there is no kernel for these, or a
        side is not finite: out has no meaning then.
    """
    compiled, batch = ws.compiled, right.array.shape[:-2]
    if compiled is None or not compiled.multiplies or left.dtype != "float32":
        return None
    if batch not in {(), left.array.shape[:-2]}:
        return None
    count, terms = prod(batch), left.array.shape[-1]
    rows, columns = (side.array.reshape(count, -1, terms) for side in (left, right))
    ones, one_norms, one_finite = _lay_left(compiled, left, rows, ws)
    twos, two_norms, two_finite = _lay_right(compiled, right, columns, ws)
    finite = one_finite and two_finite
    if finite:
        norms, results = (one_norms, two_norms), out.reshape(*rows.shape[:2], -1)
        undecided = _multiply(compiled, (ones, twos), norms, terms, results, ws)
        settle_products((rows, columns), norms, undecided, results, ws)
    if right.key < 0:
        ws.give_back(twos)
    return float(one_norms.max()) * float(two_norms.max()) if finite else None


def _multiply(
    compiled: Compiled,
    sides: tuple[Doubles, Array],
    norms: tuple[Doubles, Doubles],
    terms: int,
    out: Array,
    ws: Workspace,
) -> Indices:
    """Multiply panels, all threads some columns: flat places of the undecided."""
    chunks = -(-terms // min(ws.k_chunk, CHUNK_TERMS))
    size = -(-terms // chunks)
    # At most `size` additions in a register, and one for each chunk; 3 more u as of all products.
    bounds = norms[0] * ((size + chunks + 3) * UNIT * INFLATE), norms[1]
    panels, wide = compiled.count_panels(out.shape[-1]), compiled.wide
    height = out.shape[0] * out.shape[1]
    step = max(1, min(-(-panels // ws.threads), PLACES // (height * wide)))

    def work(scratch: Scratch, begin: int, end: int) -> Indices | None:
        places = scratch.take("places", height * (end - begin) * wide, "int64")
        room = places, scratch.take("room", compiled.count_room(size))
        found = compiled.multiply(sides, bounds, (terms, size), (begin, end), out, room)
        return places[:found].copy() if found else None

    found = ws.spread(panels, step, work)
    return np.concatenate(found) if found else np.empty(0, np.intp)


def _lay_left(
    compiled: Compiled, value: Value, rows: Array, ws: Workspace
) -> tuple[Doubles, Doubles, bool]:
    """Lay out a left side: panels, rows' norms, whether all is finite."""

    def make() -> tuple[Doubles, Doubles, bool]:
        norms = np.empty(rows.shape[:2])
        panels = compiled.pack_left(rows, norms, lambda size: ws.take_doubles((size,)))
        np.sqrt(norms, out=norms)
        return panels, norms, bool(np.isfinite(norms).all())

    if value.key >= 0:
        return ws.keep(("left panels", value.key, len(rows)), 8 * rows.size, make)
    return ws.remember(value, ("panels", len(rows)), make)


def _lay_right(
    compiled: Compiled, value: Value, rows: Array, ws: Workspace
) -> tuple[Array, Doubles, bool]:
    """Lay out a right side, as `_lay_left`."""

    def make() -> tuple[Array, Doubles, bool]:
        norms = np.empty(rows.shape[:2])
        panels = compiled.pack_right(rows, norms, lambda size: ws.take((size,), "float32"))
        np.sqrt(norms, out=norms)
        return panels, norms, bool(np.isfinite(norms).all())

    if value.key >= 0:
        return ws.keep(("right panels", value.key, len(rows)), 4 * rows.size, make)
    return make()
