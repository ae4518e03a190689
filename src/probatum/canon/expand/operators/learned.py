"""Operators of ``ai.onnx.ml``: scalers, linear models, label maps (trees have their own page)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from probatum.canon.expand.operators.norms import emit_softmax
from probatum.canon.expand.operators.sums import emit_dot, emit_reduction
from probatum.canon.expand.site import Expansion, Site
from probatum.canon.expand.values import Known, Value, get_dtype, make_known
from probatum.canon.graph.sizes import multiply_sizes

__all__ = ["OPERATORS", "emit_label", "emit_post_transform", "take_floats"]


def take_floats(site: Site, place: int) -> Value:
    """Take an input as float32, as these operators compute."""
    value = site.get(place)
    if get_dtype(value) == "float32":
        return value
    return site.build.emit("Cast", value, dtype="float32")


def emit_post_transform(site: Site, scores: Value) -> Value:
    """Apply ``post_transform`` to scores of shape [batch, classes]."""
    transform = site.get_attribute("post_transform", "NONE")
    if transform == "NONE":
        return scores
    if transform == "LOGISTIC":
        return site.build.emit("Sigmoid", scores)
    if transform == "SOFTMAX":
        return emit_softmax(site, scores, 1)
    raise site.refuse(f"post_transform {transform}")


def emit_label(site: Site, scores: Value) -> Value:
    """Emit the label of the greatest score of each row."""
    if site.get_attribute("classlabels_strings") or site.get_attribute("classlabels_strings", ()):
        raise site.refuse("labels of text; publish integer labels and a label file")
    labels = tuple(site.get_attribute("classlabels_ints", ())) or tuple(
        site.get_attribute("classlabels_int64s", ())
    )
    best = site.build.emit("ArgMax", scores, select_last=0)
    rows = site.build.emit("Reshape", best, shape=site.get_shape(scores)[:1])
    if labels == tuple(range(len(labels))):
        return rows
    return site.build.emit("Gather", make_known("int64", labels), rows, axis=0)


def expand_scaler(site: Site) -> tuple[Value, ...]:
    """Scaler: (x - offset) times scale."""
    value = take_floats(site, 0)
    offset, scale = (
        make_known("float32", site.get_attribute(name, ())) for name in ("offset", "scale")
    )
    if offset.array.size:
        value = site.build.emit("Sub", value, offset)
    return (site.build.emit("Mul", value, scale) if scale.array.size else value,)


def _emit_linear(site: Site, value: Value, rows: int) -> Value:
    coefficients = np.asarray(site.get_attribute("coefficients"), dtype=np.float32)
    weight = Known("float32", coefficients.reshape(rows, -1))
    scores = emit_dot(site, value, weight)
    intercepts = site.get_attribute("intercepts", ())
    if not intercepts:
        return scores
    return site.build.emit("Add", scores, make_known("float32", intercepts))


def expand_linear_classifier(site: Site) -> tuple[Value, ...]:
    """LinearClassifier with one row of coefficients a class: label and scores."""
    labels = site.get_attribute("classlabels_ints", ())
    rows = len(site.get_attribute("intercepts", ())) or len(labels)
    if rows != len(labels) or rows < 2:
        raise site.refuse("one row of coefficients and one integer label a class are admitted")
    raw = _emit_linear(site, take_floats(site, 0), rows)
    return emit_label(site, raw), emit_post_transform(site, raw)


def expand_linear_regressor(site: Site) -> tuple[Value, ...]:
    """LinearRegressor: one row of coefficients a target."""
    scores = _emit_linear(site, take_floats(site, 0), site.get_attribute("targets", 1))
    return (emit_post_transform(site, scores),)


def expand_normalizer(site: Site) -> tuple[Value, ...]:
    """Normalizer: rows divided by their greatest, sum or length."""
    value = take_floats(site, 0)
    emit = site.build.emit
    norm = site.get_attribute("norm", "MAX")
    axis = len(site.get_shape(value)) - 1
    if norm == "L1":
        size = emit_reduction(site, "ReduceSum", emit("Abs", value), (axis,), keep=True)
    elif norm == "L2":
        squares = emit("Mul", value, value)
        size = emit("Sqrt", emit_reduction(site, "ReduceSum", squares, (axis,), keep=True))
    elif norm == "MAX":
        size = emit_reduction(site, "ReduceMax", value, (axis,), keep=True)
    else:
        raise site.refuse(f"norm {norm}")
    return (emit("Div", value, size),)


def expand_array_feature_extractor(site: Site) -> tuple[Value, ...]:
    """ArrayFeatureExtractor: Gather along the last axis."""
    value, chosen = site.get(0), site.as_tensor(site.get(1))
    shape = site.get_shape(value)
    if len(shape) == 1:
        value, shape = site.build.emit("Reshape", value, shape=(1, *shape)), (1, *shape)
    flat = site.build.emit("Reshape", chosen, shape=(multiply_sizes(site.get_shape(chosen)),))
    return (site.build.emit("Gather", value, flat, axis=len(shape) - 1),)


def expand_label_encoder(site: Site) -> tuple[Value, ...]:
    """LabelEncoder of integers that are counted from 0: a Gather."""
    keys = tuple(site.get_attribute("keys_int64s", ()))
    for name, dtype in (("values_int64s", "int64"), ("values_floats", "float32")):
        values = site.get_attribute(name, ())
        if values and keys == tuple(range(len(values))):
            table = make_known("int64" if dtype == "int64" else "float32", values)
            return (site.build.emit("Gather", table, site.get(0), axis=0),)
    raise site.refuse("only maps of 0, 1, 2 … to numbers")


OPERATORS: Final[Mapping[str, tuple[Expansion, frozenset[int]]]] = MappingProxyType(
    {
        "Scaler": (expand_scaler, frozenset({1})),
        "LinearClassifier": (expand_linear_classifier, frozenset({1})),
        "LinearRegressor": (expand_linear_regressor, frozenset({1})),
        "Normalizer": (expand_normalizer, frozenset({1})),
        "ArrayFeatureExtractor": (expand_array_feature_extractor, frozenset({1})),
        "LabelEncoder": (expand_label_encoder, frozenset({2, 4})),
    }
)
"""Expansion of each operator of ``ai.onnx.ml``, and the versions of its definition."""
