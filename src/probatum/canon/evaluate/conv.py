"""Conv, channels last: patches as rows of a matrix, then as Dot; depthwise place by place.

Padding contributes nothing, not even by an infinite weight. Read `products` first.
"""

from __future__ import annotations

from math import prod
from typing import Final

import numpy as np

from probatum.canon.evaluate.dot import multiply_integers
from probatum.canon.evaluate.patches import Windows, get_windows
from probatum.canon.evaluate.products import multiply_aligned, multiply_rows
from probatum.canon.evaluate.rounding import UNIT
from probatum.canon.evaluate.specials import mend_products
from probatum.canon.evaluate.tiles import round_products
from probatum.canon.evaluate.values import (
    Array,
    Doubles,
    Value,
    compute_finite,
    fill_nan,
    is_float,
    widen,
)
from probatum.canon.evaluate.wide import multiply_pairs
from probatum.canon.evaluate.workspace import Workspace
from probatum.canon.graph.binding import BoundNode

__all__ = ["compute_conv"]

PATCHED: Final = 1 << 20
"""Elements of patches that are made at a time."""


def compute_conv(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute Conv: x[B, spatial..., C], w[M, kernel..., C/group]."""
    x, weight = inputs
    out = ws.take(node.output.shape, node.output.dtype)
    windows = get_windows(node, weight.array.shape[1:-1])
    group = node.get_int("group")
    if out.size:
        if not is_float(x.dtype):
            _multiply_groups(x.array, weight.array, windows, group, out)
        elif x.dtype == "float64":
            _multiply_wide(x.array, weight.array, windows, group, out)
            fill_nan(out, x.dtype)
        else:
            _multiply_narrow(x, weight, windows, group, out, ws)
    finite = not is_float(node.output.dtype) or compute_finite(out, node.output.dtype)
    return Value(out, node.output.dtype, finite=finite)


def _list_groups(
    x: Array, weight: Array, windows: Windows, group: int, out: Array
) -> list[tuple[Array, Array, Array]]:
    """List views of each group: its windows, its weights M/group, K, its results rows, M/group."""
    seen = windows.view(x, filler=0)
    channels, maps = x.shape[-1] // group, weight.shape[0] // group
    flat = out.reshape(-1, out.shape[-1])
    return [
        (
            seen[..., at * channels : (at + 1) * channels],
            weight[at * maps : (at + 1) * maps].reshape(maps, -1),
            flat[:, at * maps : (at + 1) * maps],
        )
        for at in range(group)
    ]


def _list_runs(seen: Array, spatial: int) -> list[tuple[int, tuple[slice, ...], int]]:
    """Cut windows into runs along batch and first axis, of few enough elements."""
    terms = prod(seen.shape[1 + spatial :])
    inner = prod(seen.shape[2 : 1 + spatial])
    step = max(1, PATCHED // max(1, terms * inner))
    runs: list[tuple[int, tuple[slice, ...], int]] = []
    first = 0
    for batch in range(seen.shape[0]):
        for begin in range(0, seen.shape[1], step):
            end = min(seen.shape[1], begin + step)
            runs.append(
                (first, (slice(batch, batch + 1), slice(begin, end)), (end - begin) * inner)
            )
            first += (end - begin) * inner
    return runs


def _multiply_groups(x: Array, weight: Array, windows: Windows, group: int, out: Array) -> None:
    """Integers."""
    for seen, flat, results in _list_groups(x, weight, windows, group, out):
        for first, run, rows in _list_runs(seen, len(windows.out)):
            product = np.empty((rows, len(flat)), out.dtype)
            multiply_integers(seen[run].reshape(rows, -1), flat, product)
            results[first : first + rows] = product


def _multiply_wide(x: Array, weight: Array, windows: Windows, group: int, out: Array) -> None:
    """float64: padding has zeros for weights too, so that no product of it is NaN."""
    inside = windows.view(np.ones(x.shape, np.bool_), filler=0)
    for at, (seen, flat, results) in enumerate(_list_groups(x, weight, windows, group, out)):
        channels, maps = seen.shape[-1], len(flat)
        there = inside[..., at * channels : (at + 1) * channels]
        for first, run, rows in _list_runs(seen, len(windows.out)):
            patches, padding = seen[run].reshape(rows, -1), ~there[run].reshape(rows, -1)
            # Every map has a copy of the patches: few rows at a time where there are many maps.
            step = max(1, PATCHED // flat.size)
            for begin in range(0, rows, step):
                few = patches[begin : begin + step]
                weights = np.tile(flat, (len(few), 1))
                weights[np.repeat(padding[begin : begin + step], maps, axis=0)] = 0.0
                products = multiply_pairs(np.repeat(few, maps, axis=0), weights)
                into = results[first + begin : first + begin + len(few)]
                into[...] = products.reshape(len(few), maps)


def _multiply_narrow(
    x: Value, weight: Value, windows: Windows, group: int, out: Array, ws: Workspace
) -> None:
    doubles = widen(x.array, x.dtype, ws.take_doubles(x.array.shape))
    weights = _keep_weights(weight, ws)
    finite = x.finite or bool(np.isfinite(doubles).all())
    finite_weights = weight.finite or bool(np.isfinite(weights).all())
    clean = doubles if finite else np.where(np.isfinite(doubles), doubles, 0.0)
    clean_weights = weights if finite_weights else np.where(np.isfinite(weights), weights, 0.0)
    if group > 1 and weights.shape[-1] == 1:
        _multiply_depthwise(clean, clean_weights, windows, x.dtype, out, ws)
    else:
        lengths = _compute_lengths(clean, windows, group)
        groups = _list_groups(clean, clean_weights, windows, group, out)
        for at, (seen, flat, results) in enumerate(groups):
            _multiply_patches(seen, flat, lengths[..., at], x.dtype, results, ws)
    if not (finite and finite_weights):
        _mend(doubles, weights, windows, group, x.dtype, out)
    ws.give_back(doubles)


def _keep_weights(weight: Value, ws: Workspace) -> Doubles:
    if weight.key < 0:
        return widen(weight.array, weight.dtype)
    size = 8 * weight.array.size
    return ws.keep(("conv", weight.key), size, lambda: widen(weight.array, weight.dtype))


def _compute_lengths(x: Doubles, windows: Windows, group: int) -> Doubles:
    """Compute the norms of patches: B, out..., group; sums over places of sums over channels."""
    parts = x.reshape(*x.shape[:-1], group, x.shape[-1] // group)
    squares = np.einsum("...c,...c->...", parts, parts)
    axes = len(windows.out)
    seen = windows.view(squares, filler=0.0)
    lengths: Doubles = np.sqrt(seen.sum(axis=tuple(range(1 + axes, 1 + 2 * axes))))
    return lengths


def _multiply_patches(
    seen: Doubles, flat: Doubles, lengths: Doubles, dtype: str, results: Array, ws: Workspace
) -> None:
    norms = np.sqrt(np.einsum("ij,ij->i", flat, flat))[None]
    for first, run, rows in _list_runs(seen, lengths.ndim - 1):
        cut = seen[run]
        if cut.flags.c_contiguous:  # one place a window: the tensor itself
            patches = cut.reshape(rows, -1)
        else:
            patches = ws.take_doubles((rows, flat.shape[1]))
            np.copyto(patches.reshape(cut.shape), cut)
        sides = (lengths[run].reshape(1, -1), norms)
        into = results[first : first + rows]
        product = into if into.flags.c_contiguous else np.empty(into.shape, into.dtype)
        multiply_rows(patches[None], flat[None], sides, dtype, product[None], ws)
        if not cut.flags.c_contiguous:
            ws.give_back(patches)
        if product is not into:
            into[...] = product


def _multiply_depthwise(
    x: Doubles, weight: Doubles, windows: Windows, dtype: str, out: Array, ws: Workspace
) -> None:
    """One channel a map: sum the places of the kernel in turn.

    |v - exact| <= (places - 1) u max|x_c| ||w_c||_1, a bound a channel.
    """
    maps, spatial = weight.shape[0], len(windows.out)
    seen = windows.view(x, filler=0.0)
    if maps != x.shape[-1]:
        seen = windows.view(np.repeat(x, maps // x.shape[-1], axis=-1), filler=0.0)
    kernel = weight.reshape(maps, -1)
    value, part = ws.take_doubles(out.shape), ws.take_doubles(out.shape)
    value.fill(0.0)
    for number, place in enumerate(np.ndindex(*windows.kernel)):
        at = (slice(None),) * (1 + spatial) + place
        np.multiply(seen[at], kernel[:, number], out=part)
        value += part
    most = np.abs(x).reshape(-1, x.shape[-1]).max(axis=0, initial=0.0)
    sums = np.repeat(most, maps // x.shape[-1]) * np.abs(kernel).sum(axis=1)
    sums *= (kernel.shape[1] + 4) * UNIT * (1 + 2.0**-16)
    rows = value.reshape(1, -1, maps)
    undecided = round_products(
        rows, np.ones(rows.shape[:2]), sums[None], dtype, out.reshape(rows.shape), ws
    )
    ws.give_back(value)
    ws.give_back(part)
    if len(undecided):
        where = np.unravel_index(undecided, out.shape)
        patches = np.moveaxis(seen, -1, 1 + spatial)[where].reshape(len(undecided), -1)
        out.reshape(-1)[undecided] = multiply_aligned(patches, kernel[where[-1]], dtype)


def _mend(
    x: Doubles, weight: Doubles, windows: Windows, group: int, dtype: str, out: Array
) -> None:
    """Set what a NaN or an infinity of either side reaches, padding left out."""
    inside = windows.view(np.ones(x.shape, np.bool_), filler=0)
    groups = _list_groups(x, weight, windows, group, out)
    for at, (seen, flat, results) in enumerate(groups):
        channels = seen.shape[-1]
        there = inside[..., at * channels : (at + 1) * channels]
        for first, run, rows in _list_runs(seen, len(windows.out)):
            patches, places = seen[run].reshape(rows, -1), there[run].reshape(rows, -1)
            mend_products(results[first : first + rows], patches, flat, dtype, places)
