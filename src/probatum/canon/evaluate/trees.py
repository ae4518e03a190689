"""TreeEnsemble: walks every tree, sums its leaves exactly, rounds once (`CANON-9`).

Rows are those of `canon.primitives.trees`. A walk that breaks off adds nothing. Read `sums` for the
sum.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from probatum.canon.evaluate.sums import sum_rows
from probatum.canon.evaluate.values import Array, Value, compute_finite
from probatum.canon.evaluate.workspace import Workspace
from probatum.canon.graph.binding import BoundNode
from probatum.canon.primitives.trees import LEAF, STRETCH_ROWS, count_stretches

__all__ = ["compute_trees"]

COMPARISONS: Final = (
    np.less_equal,
    np.less,
    np.greater_equal,
    np.greater,
    np.equal,
    np.not_equal,
)
"""By mode; NaN compares false, but for not-equal."""
WALKED: Final = 1 << 18
"""Pairs of a row and a tree that walk at a time."""


def compute_trees(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute TreeEnsemble: x[B, F], nodes[T, R, 4], values[T, L, C] to [B, C]."""
    x, nodes, values = (value.array for value in inputs)
    out = ws.take(node.output.shape, node.output.dtype)
    trees, _, classes = values.shape
    depth, stretches = node.get_int("depth"), count_stretches(node)
    step = max(1, WALKED // max(1, trees * classes))
    for begin in range(0, len(x), step):
        leaves = walk_trees(x[begin : begin + step], nodes, depth, stretches)
        broken = (leaves < 0) | (leaves >= values.shape[1])
        terms = np.zeros((*leaves.shape, classes), values.dtype)
        if values.shape[1]:
            terms = values[np.arange(trees), np.where(broken, 0, leaves)]
            terms[broken] = 0.0
        rows = np.ascontiguousarray(terms.transpose(0, 2, 1)).reshape(
            terms.shape[0] * classes, trees
        )
        results = out[begin : begin + step].reshape(-1)
        if trees:
            sum_rows(rows, node.output.dtype, 1, results, ws)
        else:
            results[...] = 0
    finite = compute_finite(out, node.output.dtype)
    return Value(out, node.output.dtype, finite=finite)


def walk_trees(x: Array, nodes: Array, depth: int, stretches: int) -> Array:
    """Find the leaf of every row of x in every tree.

    Args:
        x: B, F.
        nodes: T, R, 4.
        depth: Splits at most.
        stretches: Of 64 rows, that a walk may come into, the root's included.

    Returns:
        Leaf numbers, B, T; -1 where the walk breaks off.
    """
    batch, features = x.shape
    trees, rows, _ = nodes.shape
    if not rows:
        return np.full((batch, trees), -1, np.int64)
    thresholds = np.ascontiguousarray(nodes[..., 1]).view(np.float32)
    tree = np.arange(trees)[None]
    items = np.arange(batch)[:, None]
    at = np.zeros((batch, trees), np.int64)
    left = np.full((batch, trees), stretches - 1)
    broken = np.zeros((batch, trees), np.bool_)
    for _ in range(depth):
        word = nodes[tree, at, 0]
        mode, feature = word & 7, word >> 4
        split = (mode < LEAF) & ~broken
        broken |= (mode == 7) | ((mode < LEAF) & (feature >= features))
        if not split.any():
            break
        seen = np.zeros(at.shape, np.float32)
        if features:
            seen = x[items, np.minimum(feature, features - 1)]
        goes = (word & 8 != 0) & np.isnan(seen)
        for number, compare in enumerate(COMPARISONS):
            goes |= (mode == number) & compare(seen, thresholds[tree, at])
        following = np.where(goes, nodes[tree, at, 2], nodes[tree, at, 3]).astype(np.int64)
        left -= split & (following // STRETCH_ROWS != at // STRETCH_ROWS)
        broken |= split & ((following >= rows) | (left < 0))
        at = np.where(split & ~broken, following, at)
    leaf = nodes[tree, at, 0] & 7 == LEAF
    return np.where(leaf & ~broken, nodes[tree, at, 2].astype(np.int64), -1)
