"""Moves: bits copied, never computed with (`CANON-1`).

Reshape shares its input's memory; all else makes new. Must not know what elements mean.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from probatum.canon.evaluate.values import Array, Value, compute_truth, get_numpy_dtype, is_float
from probatum.canon.evaluate.workspace import Workspace
from probatum.canon.graph.binding import BoundNode

__all__ = [
    "compute_concat",
    "compute_expand",
    "compute_gather",
    "compute_gather_elements",
    "compute_iota",
    "compute_pad",
    "compute_reshape",
    "compute_slice",
    "compute_transpose",
    "compute_where",
    "wrap_indices",
]


def _take(node: BoundNode, ws: Workspace) -> Array:
    return ws.take(node.output.shape, node.output.dtype)


def _like(node: BoundNode, out: Array, *values: Value) -> Value:
    return Value(out, node.output.dtype, finite=all(value.finite for value in values))


def compute_reshape(node: BoundNode, inputs: tuple[Value, ...], _: Workspace) -> Value:
    """Compute Reshape: the same memory."""
    return _like(node, inputs[0].array.reshape(node.output.shape), inputs[0])


def compute_transpose(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute Transpose."""
    out = _take(node, ws)
    np.copyto(out, inputs[0].array.transpose(node.get_ints("perm")))
    return _like(node, out, inputs[0])


def compute_slice(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute Slice: out[i] = x[starts + i * steps]; outside x it is zero bits."""
    array, out = inputs[0].array, _take(node, ws)
    into: list[Any] = []
    out_of: list[Any] = []
    for start, step, size, have in zip(
        node.get_ints("starts"), node.get_ints("steps"), out.shape, array.shape, strict=True
    ):
        # i with 0 <= start + i * step < have: a run.
        ends = (-start, have - 1 - start) if step > 0 else (have - 1 - start, -start)
        first = max(0, -(-ends[0] // step))
        last = min(size - 1, ends[1] // step)
        count = max(0, last - first + 1)
        begin, end = start + first * step, start + (first + count) * step
        into.append(slice(first, first + count))
        out_of.append(slice(begin, end if end >= 0 else None, step) if count else slice(0))
    if any(run != slice(0, size) for run, size in zip(into, out.shape, strict=True)):
        out.fill(0)
    np.copyto(out[(*into, ...)], array[(*out_of, ...)])
    return _like(node, out, inputs[0])


def compute_concat(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute Concat."""
    out = _take(node, ws)
    np.concatenate([value.array for value in inputs], axis=node.get_int("axis"), out=out)
    return _like(node, out, *inputs)


def compute_expand(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute Expand."""
    out = _take(node, ws)
    np.copyto(out, inputs[0].array)
    return _like(node, out, inputs[0])


def compute_pad(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute Pad: constant, edge or reflect."""
    value, filler = inputs
    out, mode = _take(node, ws), node.get_word("mode")
    sizes = value.array.shape
    positions = [
        np.arange(size) - begin
        for begin, size in zip(node.get_ints("begins"), node.output.shape, strict=True)
    ]
    if mode == "edge":
        positions = [np.clip(at, 0, size - 1) for at, size in zip(positions, sizes, strict=True)]
    elif mode == "reflect":
        positions = [_reflect(at, size) for at, size in zip(positions, sizes, strict=True)]
    else:
        out[...] = filler.array.reshape(())
        inside = [
            np.flatnonzero((at >= 0) & (at < n)) for at, n in zip(positions, sizes, strict=True)
        ]
        if all(len(at) for at in inside):
            into: tuple[Any, ...] = tuple(slice(at[0], at[-1] + 1) for at in inside)
            out_of: tuple[Any, ...] = tuple(
                slice(at[where[0]], at[where[-1]] + 1)
                for at, where in zip(positions, inside, strict=True)
            )
            out[(*into, ...)] = value.array[(*out_of, ...)]
        return _like(node, out, value, filler)
    if out.size:
        np.copyto(out, value.array[np.ix_(*positions)] if positions else value.array)
    return _like(node, out, value, filler)


def _reflect(at: Array, size: int) -> Array:
    if size == 1:
        return np.zeros_like(at)
    period = 2 * (size - 1)
    folded = at % period
    places: Array = np.minimum(folded, period - folded)
    return places


def wrap_indices(indices: Array, size: int) -> tuple[Array, Array]:
    """Count negative indices from the end: places, 0 where out of range, and where that is."""
    places = indices.astype(np.int64)
    outside = (places < -size) | (places >= size)
    places = np.where(outside, 0, np.where(places < 0, places + size, places))
    return places, outside


def compute_gather(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute Gather: whole slices along an axis; out of range gives zero bits."""
    value, indices = inputs
    out, axis = _take(node, ws), node.get_int("axis")
    places, outside = wrap_indices(indices.array, value.array.shape[axis])
    if value.array.shape[axis] == 0:
        out.fill(0)
    elif out.size:
        np.take(value.array, places, axis=axis, out=out, mode="clip")
        if outside.any():
            out[(slice(None),) * axis + (outside,)] = 0
    return _like(node, out, value)


def compute_gather_elements(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute GatherElements: one index an element; out of range gives zero bits."""
    value, indices = inputs
    out, axis = _take(node, ws), node.get_int("axis")
    places, outside = wrap_indices(indices.array, value.array.shape[axis])
    if out.size:
        cut = tuple(
            slice(None) if number == axis else slice(size)
            for number, size in enumerate(indices.array.shape)
        )
        if value.array.shape[axis]:
            np.copyto(out, np.take_along_axis(value.array[cut], places, axis=axis))
        out[outside] = 0
    return _like(node, out, value)


def compute_where(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute Where."""
    condition, one, two = inputs
    out = _take(node, ws)
    np.copyto(out, two.array)
    np.copyto(out, one.array, where=compute_truth(condition.array))
    return _like(node, out, one, two)


def compute_iota(node: BoundNode, _: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute Iota: start + i * step."""
    out = _take(node, ws)
    steps = np.arange(out.size, dtype=np.int64)
    with np.errstate(all="ignore"):
        steps *= np.int64(node.get_int("step"))
        steps += np.int64(node.get_int("start"))
    np.copyto(out, steps.astype(get_numpy_dtype(node.output.dtype)))
    return Value(out, node.output.dtype, finite=not is_float(node.output.dtype))
