"""Expands an ONNX file into its canonical graph (`CANON-1`, `NODE-1`).

Read next: `walking`, then `builder`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from probatum.canon.expand.builder import Builder
from probatum.canon.expand.loading import Loaded, load_model
from probatum.canon.expand.numbering import Expanded, number_graph
from probatum.canon.expand.scopes import Scope
from probatum.canon.expand.values import Computed, Known
from probatum.canon.expand.walking import Walk
from probatum.canon.graph.types import TensorType
from probatum.errors import Refusal

__all__ = ["Expanded", "expand_model", "finish_walk", "open_scope"]

_NO_INPUTS: Final[Mapping[str, Known]] = MappingProxyType({})


def expand_model(
    data: bytes,
    *,
    ranges: Mapping[str, tuple[int, int]],
    bind: Mapping[str, Known] = _NO_INPUTS,
) -> Expanded:
    """Expand a file that was admitted (`PUB-1`).

    Args:
        data: The ONNX file.
        ranges: Least and greatest admitted value of each named dim; one value fixes the dim.
        bind: Inputs that the package binds to constants.

    Raises:
        Refusal: `canon.*`, saying which operator has no canonical meaning, or what depends on
            data that must be static.
    """
    loaded = load_model(data, ranges, frozenset(bind))
    walk = Walk(loaded, Builder(ranges))
    scope = open_scope(loaded, bind)
    walk.run(loaded.graph, scope, depth=0)
    return finish_walk(walk, loaded, scope)


def open_scope(loaded: Loaded, bind: Mapping[str, Known]) -> Scope:
    """Begin with what a file is given: its inputs, bound or not."""
    scope = Scope()
    for number, record in enumerate(loaded.records):
        kind = TensorType(record.dtype, record.shape)
        scope.values[record.name] = Computed(is_input=True, number=number, type=kind)
    scope.values.update(bind)
    return scope


def finish_walk(walk: Walk, loaded: Loaded, scope: Scope) -> Expanded:
    """Number what a walk has built. Raises Refusal `canon.*`."""
    outputs = tuple((one.name, scope.get(one.name)) for one in loaded.graph.output)
    if not outputs:
        raise Refusal("canon.bad-model", "the file computes nothing")
    return number_graph(walk.build, loaded.dims, loaded.records, outputs)
