"""What depends on order alone: windows' maxima, ArgMax, ArgMin, TopK; and windows' means.

Floats are compared as integers that have their order: NaN is greatest. Where which zero it is
matters, -0 is below +0; for indices both are 0, and ties go by number.
"""

from __future__ import annotations

from math import prod
from typing import Any, Final

import numpy as np

from probatum.canon.arith.formats import FORMATS
from probatum.canon.evaluate.patches import get_windows
from probatum.canon.evaluate.sums import sum_rows
from probatum.canon.evaluate.values import (
    CANONICAL_NAN,
    Array,
    Value,
    compute_finite,
    compute_truth,
    get_bits,
    is_float,
)
from probatum.canon.evaluate.workspace import Workspace
from probatum.canon.graph.binding import BoundNode

__all__ = ["compute_arg", "compute_top", "compute_window_max", "compute_window_mean"]

FEW: Final = 16
LONG: Final = 1024
"""A row so long, and of so many times the elements that are asked for, is not sorted as a whole."""


def compute_keys(array: Array, dtype: str, *, zeros_differ: bool) -> Array:
    """Compute integers of the elements' order."""
    if dtype == "bool":
        return compute_truth(array).astype(np.uint8)
    if not is_float(dtype):
        return array
    signed = np.dtype(f"i{array.dtype.itemsize}")
    most = np.iinfo(signed).max
    bits = get_bits(array).view(signed)
    keys = bits & most
    nan = keys > FORMATS[dtype].infinity
    # All ones where it is negative: the complement of the magnitude, and one more is its negative.
    signs = bits >> 8 * signed.itemsize - 1
    keys ^= signs
    if not zeros_differ:
        keys -= signs
    if nan.any():
        keys[nan] = most
    return keys


def compute_window_max(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute WindowMax; padding never counts."""
    (value,) = inputs
    dtype = value.dtype
    out = ws.take(node.output.shape, dtype)
    if not out.size:  # whatever the kernel's size, there is nothing to walk over it for
        return Value(out, dtype, finite=True)
    windows = get_windows(node, node.get_ints("kernel"))
    keys = compute_keys(value.array, dtype, zeros_differ=True)
    seen = windows.view(keys, filler=np.iinfo(keys.dtype).min)
    found = np.full(out.shape, np.iinfo(keys.dtype).min, keys.dtype)
    for place in np.ndindex(*windows.kernel):
        np.maximum(found, seen[(slice(None),) * (1 + len(windows.out)) + place], out=found)
    if is_float(dtype):
        most = np.iinfo(found.dtype).max
        bits = np.where(found < 0, ~found | np.iinfo(found.dtype).min, found)
        bits = np.where(found == most, CANONICAL_NAN[dtype], bits)
        np.copyto(get_bits(out), bits.astype(found.dtype).view(get_bits(out).dtype))
        return Value(out, dtype, finite=value.finite or compute_finite(out, dtype))
    np.copyto(out, found)
    return Value(out, dtype, finite=True)


def compute_window_mean(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute WindowMean: by the places inside, or by all of the kernel's."""
    (value,) = inputs
    out = ws.take(node.output.shape, value.dtype)
    if out.size:
        kernel, axes = node.get_ints("kernel"), len(node.get_ints("kernel"))
        windows = get_windows(node, kernel)
        seen = np.moveaxis(windows.view(value.array, filler=0), -1, 1 + axes)
        inside = windows.view_inside(value.array.shape[1:-1])
        counts = inside.reshape(*windows.out, -1).sum(axis=-1)
        if node.get_int("count_include_pad"):
            counts = np.full_like(counts, prod(kernel))
        for count in np.unique(counts).tolist():
            where = np.nonzero(counts == count)
            chosen: tuple[Any, ...] = (slice(None), *where)
            rows = seen[chosen]
            results = np.empty(rows.shape[: 3 if axes else 2], out.dtype)
            flat = np.ascontiguousarray(rows).reshape(results.size, -1)
            sum_rows(flat, value.dtype, max(1, count), results.reshape(-1), ws)
            out[chosen] = results
    return Value(out, value.dtype, finite=compute_finite(out, value.dtype))


def compute_arg(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute ArgMax or ArgMin: NaN is greatest, ties go to the first, or the last if asked."""
    (value,) = inputs
    out = ws.take(node.output.shape, "int64")
    keys = compute_keys(value.array, value.dtype, zeros_differ=False)
    last = bool(node.get_int("select_last"))
    if last:
        keys = keys[..., ::-1]
    find = np.argmax if node.operator == "ArgMax" else np.argmin
    np.copyto(out, find(keys, axis=-1)[..., None])
    if last:
        np.subtract(keys.shape[-1] - 1, out, out=out)
    return Value(out, "int64", finite=True)


def compute_top(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute TopK's indices: sorted, NaN greatest, ties by lower index."""
    (value,) = inputs
    out = ws.take(node.output.shape, "int64")
    count, length = out.shape[-1], value.array.shape[-1]
    largest = bool(node.get_int("largest"))
    if length >= LONG and 0 < count <= length // FEW:
        rows = zip(value.array.reshape(-1, length), out.reshape(-1, count), strict=True)
        for row, found in rows:
            _select_first(_rank(row, value.dtype, largest=largest), found)
    else:
        keys = _rank(value.array, value.dtype, largest=largest)
        np.copyto(out, np.argsort(keys, axis=-1, kind="stable")[..., :count])
    return Value(out, "int64", finite=True)


def _rank(array: Array, dtype: str, *, largest: bool) -> Array:
    """Compute keys of which the least come first; of the reverse order ties stay as they are."""
    keys = compute_keys(array, dtype, zeros_differ=False)
    return ~keys if largest else keys


def _select_first(keys: Array, out: Array) -> None:
    """Find the few least of a row, in order: only those up to the last of them are sorted."""
    count = len(out)
    # All that are not above the last one taken, by index: the sort keeps that among equals.
    near = np.flatnonzero(keys <= np.partition(keys, count - 1)[count - 1])
    out[:] = near[np.argsort(keys[near], kind="stable")[:count]]
