"""Proves that rows of a graph do not depend on one another, or says where they might (`EXACT-2`).

For every tensor with rows it holds that its row i, computed for n joined rows, is the tensor
computed for the i-th row alone: by induction over the entries, each step one rule. The proof is of
the records alone, so nobody's word is taken, and it is conservative: what it refuses may still be
independent. Must not know how anything is evaluated. Read `rules` first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from probatum.canon.graph.records import (
    INPUT,
    WEIGHT,
    CanonicalGraph,
    InputRecord,
    NodeRecord,
    Ref,
    WeightRecord,
)
from probatum.canon.graph.sizes import Size, is_lone_dim, names_dim
from probatum.canon.graph.types import TensorType
from probatum.canon.primitives.joining.layouts import SHAPE, Rows, Step, find_rows, refuse_rows
from probatum.canon.primitives.joining.rules import RESHAPE, RULES, follow_broadcast
from probatum.canon.primitives.maps.elementwise import ElementMap
from probatum.canon.primitives.registry import PRIMITIVES
from probatum.errors import Refusal

__all__ = ["Finding", "RowAxes", "find_row_dim", "follow_rows", "prove_rows"]

Finding: TypeAlias = Rows | Refusal | None
"""Of a tensor: where its rows lie; that it has none; or why nothing is proven of it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RowAxes:
    """Where requests are joined and answers cut.

    Attributes:
        inputs: The axis of each input, in order.
        outputs: The axis of each output.
    """

    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


def find_row_dim(graph: CanonicalGraph, named: str | None = None) -> tuple[str, RowAxes]:
    """Find a dim along which requests may be joined.

    Args:
        graph: An admitted graph.
        named: The dim that its publisher named, tried first; the others follow in order of name.

    Raises:
        Refusal: `canon.rows-depend`: why it is not the first that was tried.
    """
    first = refuse_rows("no dim admits more than one value")
    for place, dim in enumerate(sorted(graph.dims, key=lambda one: (one.name != named, one.name))):
        try:
            return dim.name, prove_rows(graph, dim.name)
        except Refusal as refusal:
            first = refusal if place == 0 else first
    raise first


def prove_rows(graph: CanonicalGraph, dim: str) -> RowAxes:
    """Prove that requests may be joined along a dim and their answers cut apart again.

    Args:
        graph: An admitted graph.
        dim: The dim that every input has alone as one of its sizes.

    Returns:
        Where rows lie in inputs and outputs.

    Raises:
        Refusal: `canon.rows-depend`, naming the first entry of which it is not proven.
    """
    if not any(one.name == dim for one in graph.dims):
        raise refuse_rows(f"no dim is called {dim}, or it has one admitted value")
    inputs = tuple(_get_input_axis(one.name, one.shape, dim) for one in graph.inputs)
    found = follow_rows(graph, dim)
    outputs = []
    for output in graph.outputs:
        if output.ref.space == INPUT:
            outputs.append(inputs[output.ref.number])
            continue
        finding = found[output.ref.number] if output.ref.space != WEIGHT else None
        if isinstance(finding, Refusal):
            raise finding
        if finding is None or finding.each != 1:
            raise refuse_rows(f"the output {output.name!r} has not one place a row")
        outputs.append(finding.axis)
    return RowAxes(inputs=inputs, outputs=tuple(outputs))


def follow_rows(graph: CanonicalGraph, dim: str) -> tuple[Finding, ...]:
    """Find where the rows of every entry lie, if that is proven.

    Args:
        graph: An admitted graph.
        dim: The dim of rows.
    """
    given: list[Finding] = [_find_input(one.name, one.shape, dim) for one in graph.inputs]
    weights: list[Finding] = [None] * len(graph.weights)
    entries: list[Finding] = []
    spaces = (given, weights, entries)
    records = (graph.inputs, graph.weights, graph.nodes)
    for number, node in enumerate(graph.nodes):
        reads = [spaces[ref.space][ref.number] for ref in node.reads]
        lost = next((one for one in reads if isinstance(one, Refusal)), None)
        if lost is not None:
            entries.append(lost)
            continue
        step = Step(
            dim=dim,
            node=node,
            inputs=tuple(_get_type(records[ref.space], ref) for ref in node.reads),
            rows=tuple(one for one in reads if not isinstance(one, Refusal)),
        )
        try:
            entries.append(_follow(step))
        except Refusal as refusal:
            message = f"entry {number} ({node.operator}): {refusal.message}"
            entries.append(refuse_rows(message))
    return tuple(entries)


def _follow(step: Step) -> Rows | None:
    """Follow rows through one node. Raises Refusal `canon.rows-depend`."""
    node, dim = step.node, step.dim
    for one in node.attributes:
        if isinstance(one.value, str) or not any(names_dim(size, dim) for size in one.value):
            continue
        if (one.name, one.value) != (SHAPE, node.shape):
            raise refuse_rows(f"its {one.name} depends on {dim}")
    has_rows = any(rows is not None for rows in step.rows)
    if not has_rows and not any(names_dim(size, dim) for size in node.shape):
        return None
    if not has_rows and node.operator != "Expand":
        raise refuse_rows(f"it makes {dim} places out of nothing")
    key = (node.operator, node.version)
    rule = RULES.get(key)
    if rule is None:
        if not isinstance(PRIMITIVES[key], ElementMap):
            raise refuse_rows("nothing is known of its rows")
        rule = follow_broadcast
    made = find_rows(node.shape, rule(step), dim)
    if node.operator != RESHAPE and any(
        rows is not None and rows.each != made.each for rows in step.rows
    ):
        raise refuse_rows("rows have different sizes")
    return made


def _find_input(name: str, shape: tuple[Size, ...], dim: str) -> Finding:
    try:
        return Rows(_get_input_axis(name, shape, dim), 1)
    except Refusal as refusal:
        return refusal


def _get_input_axis(name: str, shape: tuple[Size, ...], dim: str) -> int:
    """Get the one axis of an input that is the dim itself. Raises Refusal `canon.rows-depend`."""
    axes = [axis for axis, size in enumerate(shape) if names_dim(size, dim)]
    if len(axes) != 1 or not is_lone_dim(shape[axes[0]], dim):
        raise refuse_rows(f"the input {name!r} has not one axis of {dim} places")
    return axes[0]


def _get_type(records: Sequence[InputRecord | WeightRecord | NodeRecord], ref: Ref) -> TensorType:
    record = records[ref.number]
    return TensorType(record.dtype, record.shape)
