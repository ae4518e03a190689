"""Operators that compare along an axis, and those that write to chosen places."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from probatum.canon.expand.site import Expansion, Site
from probatum.canon.expand.values import Value

__all__ = ["OPERATORS"]


def expand_arg(site: Site) -> tuple[Value, ...]:
    """ArgMax, ArgMin: ties go to the first index, or to the last if asked."""
    value = site.get(0)
    shape = site.get_shape(value)
    axis = site.get_axis(site.get_attribute("axis", 0), len(shape))
    last = site.move_last(value, axis)
    found = site.build.emit(
        site.node.operator, last, select_last=site.get_attribute("select_last_index", 0)
    )
    back = site.move_back(found, axis)
    if site.get_attribute("keepdims", 1):
        return (back,)
    kept = tuple(size for place, size in enumerate(shape) if place != axis)
    return (site.build.emit("Reshape", back, shape=kept),)


def expand_topk(site: Site) -> tuple[Value, ...]:
    """TopK: the indices by counting, the values gathered by them."""
    value = site.get(0)
    if site.node.since < 10:
        count = int(site.get_attribute("k"))
    else:
        (count,) = site.get_ints(1, "k")
    shape = site.get_shape(value)
    axis = site.get_axis(site.get_attribute("axis", -1), len(shape))
    last = site.move_last(value, axis)
    indices = site.build.emit("TopK", last, k=count, largest=site.get_attribute("largest", 1))
    values = site.build.emit("GatherElements", last, indices, axis=len(shape) - 1)
    return site.move_back(values, axis), site.move_back(indices, axis)


def expand_scatter_elements(site: Site) -> tuple[Value, ...]:
    """ScatterElements without a reduction: the last write to a place stays."""
    if site.get_attribute("reduction", "none") != "none":
        raise site.refuse("a reduction is not admitted")
    data = site.get(0)
    rank = len(site.get_shape(data))
    axis = site.get_axis(site.get_attribute("axis", 0), rank)
    moved = (site.move_last(site.as_tensor(site.get(place)), axis) for place in range(3))
    return (site.move_back(site.build.emit("ScatterElements", *moved), axis),)


def expand_scatter_nd(site: Site) -> tuple[Value, ...]:
    """ScatterND without a reduction: the last write to a place stays."""
    if site.get_attribute("reduction", "none") != "none":
        raise site.refuse("a reduction is not admitted")
    values = (site.as_tensor(site.get(place)) for place in range(3))
    return (site.build.emit("ScatterND", *values),)


OPERATORS: Final[Mapping[str, tuple[Expansion, frozenset[int]]]] = MappingProxyType(
    {
        "ArgMax": (expand_arg, frozenset({1, 11, 12, 13})),
        "ArgMin": (expand_arg, frozenset({1, 11, 12, 13})),
        "TopK": (expand_topk, frozenset({1, 10, 11, 24})),
        "ScatterElements": (expand_scatter_elements, frozenset({11, 13, 16, 18})),
        "ScatterND": (expand_scatter_nd, frozenset({11, 13, 16, 18})),
    }
)
"""Expansion of each operator of ``ai.onnx``, and the versions of its definition it is true of."""
