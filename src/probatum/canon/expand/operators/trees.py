"""Tree ensembles of ``ai.onnx.ml``: packed tables, then the exact sum over the trees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

import numpy as np

from probatum.canon.expand.operators.learned import emit_label, emit_post_transform, take_floats
from probatum.canon.expand.operators.tree_rows import Placed, place_rows
from probatum.canon.expand.site import Expansion, Site
from probatum.canon.expand.values import Array, Known, Value, get_dtype, make_known
from probatum.canon.primitives.trees import DEPTH, LEAF, ROW_WORDS, pack_word

__all__ = ["OPERATORS"]

_MODES: Final = {
    "BRANCH_LEQ": 0,
    "BRANCH_LT": 1,
    "BRANCH_GTE": 2,
    "BRANCH_GT": 3,
    "BRANCH_EQ": 4,
    "BRANCH_NEQ": 5,
    "LEAF": LEAF,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Node:
    """One node of the file: its mode, and where it leads."""

    feature: int
    threshold: float
    mode: int
    true: int
    false: int
    missing: bool

    @property
    def children(self) -> tuple[int, ...]:
        """Where it leads: a leaf nowhere."""
        return () if self.mode == LEAF else (self.true, self.false)


def _read_trees(site: Site) -> dict[int, dict[int, _Node]]:
    """Read the parallel lists of the file: tree → number → node, the first one the root."""

    def get(name: str) -> tuple[Any, ...]:
        return tuple(site.get_attribute(name, ()))

    trees: dict[int, dict[int, _Node]] = {}
    modes = [_MODES.get(mode) for mode in get("nodes_modes")]
    missing = get("nodes_missing_value_tracks_true") or (0,) * len(modes)
    columns = (
        get("nodes_treeids"),
        get("nodes_nodeids"),
        get("nodes_featureids"),
        get("nodes_values"),
        modes,
        get("nodes_truenodeids"),
        get("nodes_falsenodeids"),
        missing,
    )
    for tree, number, feature, threshold, mode, true, false, tracks in zip(*columns, strict=True):
        if mode is None:
            raise site.refuse("a mode that the standard does not have")
        if number in trees.setdefault(tree, {}):
            raise site.refuse("two nodes have one number")
        trees[tree][number] = _Node(
            feature=feature,
            threshold=threshold,
            mode=mode,
            true=true,
            false=false,
            missing=bool(tracks),
        )
    return trees


def _order(site: Site, tree: dict[int, _Node]) -> tuple[list[int], int]:
    """Order a tree's nodes from the root on, breadth first, and find its depth."""
    root = next(iter(tree))
    ordered, level, depth, seen = [root], [root], 0, {root}
    while level := [child for number in level for child in tree[number].children]:
        if any(child not in tree or child in seen for child in level) or len(set(level)) != len(
            level
        ):
            raise site.refuse("a tree whose branches meet, or lead nowhere")
        seen.update(level)
        ordered += level
        depth += 1
        if depth > DEPTH:
            raise site.refuse(f"a tree deeper than {DEPTH}; limit the depth when training")
    return ordered, depth


@dataclass(frozen=True, slots=True, kw_only=True)
class _Packed:
    """All trees: nodes[T, R, 4], values[T, L, C], the most comparisons and stretches of a walk."""

    nodes: Array
    values: Array
    depth: int
    stretches: int


def _pack(site: Site, kind: str, classes: int) -> _Packed:
    trees = _read_trees(site)
    depth = 1
    placed: dict[int, Placed] = {}
    leaves: dict[int, dict[int, int]] = {}
    for tree, nodes in trees.items():
        order, deep = _order(site, nodes)
        depth = max(depth, deep)
        placed[tree] = place_rows(order, {number: nodes[number].children for number in order})
        numbers = [number for number in order if nodes[number].mode == LEAF]
        leaves[tree] = {number: leaf for leaf, number in enumerate(numbers)}
    table = np.zeros((len(trees), max(one.rows for one in placed.values()), ROW_WORDS), np.uint32)
    table[:, :, 0] = LEAF
    for place, tree in enumerate(trees):
        where = placed[tree].where
        for number, row in where.items():
            node = trees[tree][number]
            bits = int(np.float32(node.threshold).view(np.uint32))
            if node.mode == LEAF:
                table[place, row] = (LEAF, 0, leaves[tree][number], 0)
            else:
                word = pack_word(node.feature, node.mode, missing=node.missing)
                table[place, row] = (word, bits, where[node.true], where[node.false])
    return _Packed(
        nodes=table,
        values=_weigh_leaves(site, kind, leaves, classes),
        depth=depth,
        stretches=max(one.stretches for one in placed.values()),
    )


def _weigh_leaves(site: Site, kind: str, leaves: dict[int, dict[int, int]], classes: int) -> Array:
    values = np.zeros((len(leaves), max(map(len, leaves.values())), classes), dtype=np.float32)
    places = {tree: place for place, tree in enumerate(leaves)}
    columns = (f"{kind}_treeids", f"{kind}_nodeids", f"{kind}_ids", f"{kind}_weights")
    for tree, number, target, weight in zip(
        *(site.get_attribute(name, ()) for name in columns), strict=True
    ):
        spot = (places[tree], leaves[tree][number], target)
        if values[spot]:
            raise site.refuse("a leaf has two values for one class")
        values[spot] = weight
    return values


def _emit_sum(site: Site, kind: str, classes: int) -> Value:
    value = site.get(0)
    if get_dtype(value) == "float64":
        raise site.refuse("float64 features; thresholds are float32")
    if any(name.endswith("_as_tensor") for name in site.node.attributes):
        raise site.refuse("float64 trees")
    packed = _pack(site, kind, classes)
    total = site.build.emit(
        "TreeEnsemble",
        take_floats(site, 0),
        Known("uint32", packed.nodes),
        Known("float32", packed.values),
        depth=packed.depth,
        stretches=packed.stretches,
    )
    base = site.get_attribute("base_values", ())
    return site.build.emit("Add", total, make_known("float32", base)) if base else total


def expand_classifier(site: Site) -> tuple[Value, ...]:
    """TreeEnsembleClassifier: label and scores; of two classes, the first may be left out."""
    labels = site.get_attribute("classlabels_int64s", ())
    ids = set(site.get_attribute("class_ids", ()))
    if len(labels) < 2:
        raise site.refuse("at least two integer labels are needed")
    if len(labels) > 2 or len(ids) > 1:
        raw = _emit_sum(site, "class", len(labels))
        return emit_label(site, raw), emit_post_transform(site, raw)
    return _expand_one_score(site)


def _expand_one_score(site: Site) -> tuple[Value, ...]:
    """Two classes, one score: it is a share where no weight is negative, else a margin."""
    emit = site.build.emit
    score = _emit_sum(site, "class", 1 + max(site.get_attribute("class_ids", (0,))))
    shape = site.get_shape(score)
    if shape[1] != 1:
        raise site.refuse("a lone class other than the first")
    share = all(weight >= 0 for weight in site.get_attribute("class_weights", ()))
    other = emit("Sub", make_known("float32", 1.0), score) if share else emit("Neg", score)
    scores = emit("Concat", other, score, axis=1)
    chosen = emit("Greater", score, make_known("float32", 0.5 if share else 0.0))
    first, second = (
        make_known("int64", label) for label in site.get_attribute("classlabels_int64s")
    )
    label = emit("Reshape", emit("Where", chosen, second, first), shape=shape[:1])
    return label, emit_post_transform(site, scores)


def expand_regressor(site: Site) -> tuple[Value, ...]:
    """TreeEnsembleRegressor: sums, or averages over the trees."""
    aggregate = site.get_attribute("aggregate_function", "SUM")
    if aggregate not in ("SUM", "AVERAGE"):
        raise site.refuse(f"aggregate_function {aggregate}")
    total = _emit_sum(site, "target", site.get_attribute("n_targets", 1))
    if aggregate == "AVERAGE":
        trees = len(set(site.get_attribute("nodes_treeids", ())))
        total = site.build.emit("Div", total, make_known("float32", trees))
    return (emit_post_transform(site, total),)


OPERATORS: Final[Mapping[str, tuple[Expansion, frozenset[int]]]] = MappingProxyType(
    {
        "TreeEnsembleClassifier": (expand_classifier, frozenset({1, 3})),
        "TreeEnsembleRegressor": (expand_regressor, frozenset({1, 3})),
    }
)
"""Expansion of each operator of ``ai.onnx.ml``, and the versions of its definition."""
