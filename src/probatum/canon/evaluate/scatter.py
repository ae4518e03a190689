"""ScatterElements and ScatterND: of updates to one place the last wins (`CANON-9`)."""

from __future__ import annotations

from math import prod

import numpy as np

from probatum.canon.evaluate.moves import wrap_indices
from probatum.canon.evaluate.values import Array, Value
from probatum.canon.evaluate.workspace import Workspace
from probatum.canon.graph.binding import BoundNode

__all__ = ["compute_scatter_elements", "compute_scatter_nd"]


def compute_scatter_elements(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute ScatterElements along the last axis; out of range is ignored."""
    data, indices, updates = inputs
    out = ws.take(node.output.shape, data.dtype)
    np.copyto(out, data.array)
    size = data.array.shape[-1]
    places, outside = wrap_indices(indices.array, size)
    if places.size:
        places = places.reshape(-1, indices.array.shape[-1])
        places = places + np.arange(len(places))[:, None] * size
        _write(out.reshape(-1, 1), places.ravel(), outside.ravel(), updates.array.reshape(-1, 1))
    return Value(out, data.dtype, finite=data.finite and updates.finite)


def compute_scatter_nd(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute ScatterND: indices[..., Q] name slices; out of range is ignored."""
    data, indices, updates = inputs
    out = ws.take(node.output.shape, data.dtype)
    np.copyto(out, data.array)
    depth = indices.array.shape[-1]
    tuples = indices.array.reshape(-1, depth)
    places = np.zeros(len(tuples), np.int64)
    outside = np.zeros(len(tuples), np.bool_)
    for axis in range(depth):
        size = data.array.shape[axis]
        found, beyond = wrap_indices(tuples[:, axis], size)
        places, outside = places * size + found, outside | beyond
    slices = prod(data.array.shape[:depth])
    length = prod(data.array.shape[depth:])
    if out.size:
        rows = updates.array.reshape(len(tuples), length)
        _write(out.reshape(slices, length), places, outside, rows)
    return Value(out, data.dtype, finite=data.finite and updates.finite)


def _write(out: Array, places: Array, outside: Array, updates: Array) -> None:
    """Write rows; each place once, from its last update, so that no order is asked of numpy."""
    kept = np.flatnonzero(~outside)[::-1]
    unique, first = np.unique(places[kept], return_index=True)
    out[unique] = updates[kept[first]]
