"""Operators that bring values to a scale: softmax and the normalisations."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from probatum.canon.expand.operators.sums import emit_reduction
from probatum.canon.expand.site import Expansion, Site
from probatum.canon.expand.values import Value
from probatum.canon.graph.sizes import multiply_sizes

__all__ = ["OPERATORS", "emit_softmax"]


def emit_softmax(site: Site, value: Value, axis: int) -> Value:
    """Softmax over an axis: less the greatest, exponentials, divided by their sum."""
    emit = site.build.emit
    greatest = emit_reduction(site, "ReduceMax", value, (axis,), keep=True)
    powers = emit("Exp", emit("Sub", value, greatest))
    total = emit_reduction(site, "ReduceSum", powers, (axis,), keep=True)
    return emit("Div", powers, total)


def expand_softmax(site: Site) -> tuple[Value, ...]:
    """Softmax: over one axis; before version 13 over all from one axis on."""
    value = site.get(0)
    site.require_float(value)
    shape = site.get_shape(value)
    if site.node.since >= 13:
        axis = site.get_axis(site.get_attribute("axis", -1), len(shape))
        return (emit_softmax(site, value, axis),)
    axis = site.get_axis(site.get_attribute("axis", 1), len(shape))
    flat = (multiply_sizes(shape[:axis]), multiply_sizes(shape[axis:]))
    soft = emit_softmax(site, site.build.emit("Reshape", value, shape=flat), 1)
    return (site.build.emit("Reshape", soft, shape=shape),)


def expand_layer_normalization(site: Site) -> tuple[Value, ...]:
    """LayerNormalization in two passes: the variance is the mean of squared deviations.

    The standard's body takes the mean of squares less the square of the mean, which cancels.
    """
    value, scale, bias = site.get(0), site.get(1), site.find(2)
    site.require_float(value)
    if len(site.node.outputs) > 1:
        raise site.refuse("mean and deviation are not outputs")
    shape = site.get_shape(value)
    axis = site.get_axis(site.get_attribute("axis", -1), len(shape))
    axes = tuple(range(axis, len(shape)))
    emit = site.build.emit
    mean = emit_reduction(site, "ReduceMean", value, axes, keep=True)
    apart = emit("Sub", value, mean)
    variance = emit_reduction(site, "ReduceMean", emit("Mul", apart, apart), axes, keep=True)
    epsilon = site.make_scalar(site.get_attribute("epsilon", 1e-5), value)
    result = emit("Mul", emit("Div", apart, emit("Sqrt", emit("Add", variance, epsilon))), scale)
    return (result if bias is None else emit("Add", result, bias),)


def expand_batch_normalization(site: Site) -> tuple[Value, ...]:
    """BatchNormalization of inference: (x - mean), times scale / √(var + ε), plus bias."""
    value, scale, bias, mean, variance = (site.get(place) for place in range(5))
    site.require_float(value)
    if site.get_attribute("training_mode", 0) or len([n for n in site.node.outputs if n]) > 1:
        raise site.refuse("training is not inference")
    emit = site.build.emit
    rank = len(site.get_shape(value))

    def spread(channel: Value) -> Value:
        return emit("Reshape", channel, shape=(site.get_shape(channel)[0], *(1,) * (rank - 2)))

    epsilon = site.make_scalar(site.get_attribute("epsilon", 1e-5), variance)
    factor = emit("Div", scale, emit("Sqrt", emit("Add", variance, epsilon)))
    apart = emit("Sub", value, spread(mean))
    return (emit("Add", emit("Mul", apart, spread(factor)), spread(bias)),)


def expand_instance_normalization(site: Site) -> tuple[Value, ...]:
    """InstanceNormalization in two passes, over the spatial axes."""
    value, scale, bias = (site.get(place) for place in range(3))
    site.require_float(value)
    emit = site.build.emit
    rank = len(site.get_shape(value))
    axes = tuple(range(2, rank))
    mean = emit_reduction(site, "ReduceMean", value, axes, keep=True)
    apart = emit("Sub", value, mean)
    variance = emit_reduction(site, "ReduceMean", emit("Mul", apart, apart), axes, keep=True)
    epsilon = site.make_scalar(site.get_attribute("epsilon", 1e-5), value)
    result = emit("Div", apart, emit("Sqrt", emit("Add", variance, epsilon)))
    shape = (site.get_shape(scale)[0], *(1,) * (rank - 2))
    scaled = emit("Mul", result, emit("Reshape", scale, shape=shape))
    return (emit("Add", scaled, emit("Reshape", bias, shape=shape)),)


OPERATORS: Final[Mapping[str, tuple[Expansion, frozenset[int]]]] = MappingProxyType(
    {
        "Softmax": (expand_softmax, frozenset({1, 11, 13})),
        "LayerNormalization": (expand_layer_normalization, frozenset({17})),
        "BatchNormalization": (expand_batch_normalization, frozenset({7, 9, 14, 15})),
        "InstanceNormalization": (expand_instance_normalization, frozenset({6, 22})),
    }
)
"""Expansion of each operator of ``ai.onnx``, and the versions of its definition it is true of."""
