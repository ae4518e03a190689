"""Which canonical graphs are admitted, and what they cost at most (`CANON-8`, `CANON-9`, `NODE-1`).

Every node means something, computes what its record says, for all admitted values of the dims, and
can be judged in small messages. All that is found wrong is listed, not the first thing alone. Must
not know ONNX, nor how anything is evaluated.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from probatum.canon.graph.binding import BoundAttribute, BoundNode, BoundType
from probatum.canon.graph.records import (
    ENTRY,
    INPUT,
    RECORD_BYTES,
    CanonicalGraph,
    InputRecord,
    NodeRecord,
    Ref,
    WeightRecord,
    list_records,
)
from probatum.canon.graph.sizes import BOUND, bound_size, check_size, is_lone_dim, show_size
from probatum.canon.graph.types import TensorType
from probatum.canon.primitives.bounds import OPENING_BYTES, bound_opening
from probatum.canon.primitives.registry import get_primitive
from probatum.errors import Refusal
from probatum.protocol.encoding import encode
from probatum.protocol.tensors import DTYPES as DTYPES_OUTSIDE

__all__ = ["TENSOR_BYTES", "Admission", "Reason", "StaticBounds", "admit_graph", "examine_graph"]

TENSOR_BYTES: Final = 1 << 40
"""A tensor inside a graph has at most so many bytes: its trace has a root of known depth."""

Ranges = Mapping[str, tuple[int, int]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason why a graph is not admitted.

    Attributes:
        node: The number of the node that it is about, or None.
        refusal: What is wrong.
    """

    node: int | None
    refusal: Refusal


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticBounds:
    """What evaluating, tracing and judging cost at most, whatever the dims are.

    Attributes:
        entries: Tensors of the trace.
        operations: Multiply-adds, comparisons and functions of one evaluation.
        weight_bytes: Bytes of all weights.
        peak_bytes: Bytes of inputs and entries that are alive at one time.
        trace_bytes: Bytes of all entries together.
        opening_bytes: Openings for one direct element or one block, the largest.
        judge_work: 64-bit multiply-adds of judging one, the largest.
    """

    entries: int
    operations: int
    weight_bytes: int
    peak_bytes: int
    trace_bytes: int
    opening_bytes: int
    judge_work: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Admission:
    """The outcome of an examination.

    Attributes:
        reasons: Why not; none if admitted.
        bounds: What it costs, if admitted.
    """

    reasons: tuple[Reason, ...]
    bounds: StaticBounds | None


def admit_graph(graph: CanonicalGraph) -> StaticBounds:
    """Check that a graph is admitted and bound what it costs.

    Raises:
        Refusal: The first reason of `examine_graph`.
    """
    admission = examine_graph(graph)
    if admission.bounds is None:
        raise admission.reasons[0].refusal
    return admission.bounds


def examine_graph(graph: CanonicalGraph) -> Admission:
    """Find every reason why a graph is not admitted, or bound what it costs."""
    outer = tuple(_check_frame(graph))
    if outer:
        # Without dims and types that hold together nothing can be said of nodes.
        return Admission(reasons=outer, bounds=None)
    ranges = {dim.name: (dim.least, dim.greatest) for dim in graph.dims}
    spaces = (
        [TensorType(one.dtype, one.shape) for one in graph.inputs],
        [TensorType(one.dtype, one.shape) for one in graph.weights],
        [TensorType(one.dtype, one.shape) for one in graph.nodes],
    )
    reasons: list[Reason] = []
    nodes: list[BoundNode] = []
    for number, record in enumerate(graph.nodes):
        try:
            inputs = tuple(spaces[ref.space][ref.number] for ref in record.reads)
            _check_node(record, inputs, ranges)
            nodes.append(_bind_greatest(record, inputs, ranges))
            _check_opening(nodes[-1])
        except Refusal as refusal:
            reasons.append(Reason(node=number, refusal=refusal))
    if reasons:
        return Admission(reasons=tuple(reasons), bounds=None)
    return Admission(reasons=(), bounds=_bound_costs(graph, tuple(nodes), ranges))


def _check_frame(graph: CanonicalGraph) -> Iterator[Reason]:
    """Check dims, names, sizes, references and the lengths of records."""
    names = frozenset(dim.name for dim in graph.dims)
    for check in (_check_dims, _check_names):
        try:
            check(graph)
        except Refusal as refusal:
            yield Reason(node=None, refusal=refusal)
    ranges = {dim.name: (dim.least, dim.greatest) for dim in graph.dims}
    given = [TensorType(one.dtype, one.shape) for one in graph.inputs]
    for kind in (*given, *(TensorType(one.dtype, one.shape) for one in graph.weights)):
        try:
            _check_shape(kind, names, ranges)
        except Refusal as refusal:
            yield Reason(node=None, refusal=refusal)
    for number, node in enumerate(graph.nodes):
        try:
            _check_shape(TensorType(node.dtype, node.shape), names, ranges)
            _check_references(graph, node.reads, number)
            _check_attributes(node, names, ranges)
        except Refusal as refusal:
            yield Reason(node=number, refusal=refusal)
    for place, record in enumerate(list_records(graph)):
        if len(encode(record)) > RECORD_BYTES:
            too_large = Refusal(
                "canon.record-too-large",
                f"record {place} has more than {RECORD_BYTES} bytes",
                hint="arrays are weights, not attributes",
            )
            yield Reason(node=None, refusal=too_large)


def _check_dims(graph: CanonicalGraph) -> None:
    seen: set[str] = set()
    for dim in graph.dims:
        alone = any(is_lone_dim(size, dim.name) for one in graph.inputs for size in one.shape)
        if dim.name in seen or dim.least > dim.greatest:
            raise Refusal(
                "canon.bad-dim", f"the dim {dim.name} is declared twice or admits no value"
            )
        if not alone and dim.least != dim.greatest:
            raise Refusal(
                "canon.bad-dim",
                f"the dim {dim.name} cannot be told from the shapes of a request's tensors",
                hint="it stands alone in the shape of one, or has one admitted value",
            )
        seen.add(dim.name)


def _check_names(graph: CanonicalGraph) -> None:
    for records in (graph.inputs, graph.outputs):
        names = [record.name for record in records]
        if len(set(names)) != len(names):
            raise Refusal("canon.bad-name", "two inputs, or two outputs, have one name")
    for output in graph.outputs:
        _check_references(graph, (output.ref,), len(graph.nodes))
        spaces: tuple[tuple[InputRecord | WeightRecord | NodeRecord, ...], ...]
        spaces = (graph.inputs, graph.weights, graph.nodes)
        dtype = spaces[output.ref.space][output.ref.number].dtype
        if dtype not in DTYPES_OUTSIDE:
            raise Refusal("canon.bad-output", f"an answer holds no {dtype}", hint="cast it")


def _check_references(graph: CanonicalGraph, refs: tuple[Ref, ...], number: int) -> None:
    """Check that a node reads what comes before it."""
    counts = {INPUT: len(graph.inputs), ENTRY: number}
    for ref in refs:
        if ref.number >= counts.get(ref.space, len(graph.weights)):
            raise Refusal("canon.bad-reference", "a record reads what is not there yet")


def _check_attributes(node: NodeRecord, names: frozenset[str], ranges: Ranges) -> None:
    found = [attribute.name for attribute in node.attributes]
    if found != sorted(set(found)):
        raise Refusal("canon.wrong-attributes", "attributes are in order of name, each once")
    for attribute in node.attributes:
        if not isinstance(attribute.value, str):
            for size in attribute.value:
                check_size(size, names)
                if max(abs(end) for end in bound_size(size, ranges)) >= BOUND:
                    raise Refusal("canon.bad-size", f"{show_size(size)} may be too large")


def _check_shape(tensor: TensorType, names: frozenset[str], ranges: Ranges) -> None:
    for size in tensor.shape:
        check_size(size, names)
        if bound_size(size, ranges)[0] < 0:
            raise Refusal(
                "canon.negative-size",
                f"the size {show_size(size)} may be negative for admitted dims",
                hint="admit fewer values of the dims",
            )
    if _bind_type(tensor, ranges).size_bytes > TENSOR_BYTES:
        raise Refusal(
            "canon.tensor-too-large",
            f"a tensor may have more than {TENSOR_BYTES} bytes",
            hint="admit fewer values of the dims",
        )


def _check_node(record: NodeRecord, inputs: tuple[TensorType, ...], ranges: Ranges) -> None:
    primitive = get_primitive(record.operator, record.version)
    attributes = {attribute.name: attribute.value for attribute in record.attributes}
    computed = primitive.infer(inputs, attributes, record.dtype)
    if computed.shape != record.shape:
        have, want = (
            ", ".join(show_size(size) for size in shape) for shape in (record.shape, computed.shape)
        )
        raise Refusal(
            "canon.wrong-type", f"{record.operator} computes the shape [{want}], not [{have}]"
        )
    for size in primitive.list_conditions(inputs, attributes):
        if bound_size(size, ranges)[0] < 0:
            raise Refusal(
                "canon.condition-fails",
                f"{record.operator} needs {show_size(size)} >= 0 for all admitted dims",
                hint="docs/spec/primitives.md says what each primitive needs",
            )


def _check_opening(node: BoundNode) -> None:
    opening = bound_opening(node)
    if opening > OPENING_BYTES:
        raise Refusal(
            "canon.opening-too-large",
            f"{node.operator} needs openings of {opening} bytes, more than {OPENING_BYTES}, to "
            "judge one element or block",
            hint="read another layout of the tensor, made by a Transpose",
        )


def _bind_type(tensor: TensorType, ranges: Ranges) -> BoundType:
    """Bind each size at its own greatest value."""
    return BoundType(tensor.dtype, tuple(bound_size(size, ranges)[1] for size in tensor.shape))


def _bind_greatest(record: NodeRecord, inputs: tuple[TensorType, ...], ranges: Ranges) -> BoundNode:
    """Bind a node at the greatest of each size: bounds of reads and work only grow with them."""
    attributes: dict[str, BoundAttribute] = {
        one.name: one.value
        if isinstance(one.value, str)
        else tuple(bound_size(size, ranges)[1] for size in one.value)
        for one in record.attributes
    }
    return BoundNode(
        operator=record.operator,
        version=record.version,
        attributes=MappingProxyType(attributes),
        reads=record.reads,
        inputs=tuple(_bind_type(one, ranges) for one in inputs),
        output=_bind_type(TensorType(record.dtype, record.shape), ranges),
    )


def _bound_costs(
    graph: CanonicalGraph, nodes: tuple[BoundNode, ...], ranges: Ranges
) -> StaticBounds:
    primitives = [get_primitive(node.operator, node.version) for node in nodes]
    pairs = list(zip(primitives, nodes, strict=True))
    inputs = [_bind_type(TensorType(one.dtype, one.shape), ranges) for one in graph.inputs]
    weights = [_bind_type(TensorType(one.dtype, one.shape), ranges) for one in graph.weights]
    return StaticBounds(
        entries=len(nodes),
        operations=sum(primitive.count_operations(node) for primitive, node in pairs),
        weight_bytes=sum(one.size_bytes for one in weights),
        peak_bytes=sum(one.size_bytes for one in inputs) + _bound_peak(graph, nodes),
        trace_bytes=sum(node.output.size_bytes for node in nodes),
        opening_bytes=max((bound_opening(node) for node in nodes), default=0),
        judge_work=max((primitive.measure(node) for primitive, node in pairs), default=0),
    )


def _bound_peak(graph: CanonicalGraph, nodes: tuple[BoundNode, ...]) -> int:
    """Bound the bytes of entries alive at one time, each until its last reader has run."""
    last = {number: number for number in range(len(nodes))}
    for number, node in enumerate(nodes):
        last |= {ref.number: number for ref in node.reads if ref.space == ENTRY}
    last |= {one.ref.number: len(nodes) for one in graph.outputs if one.ref.space == ENTRY}
    ending: dict[int, int] = {}
    for number, node in enumerate(nodes):
        ending[last[number]] = ending.get(last[number], 0) + node.output.size_bytes
    alive = peak = 0
    for number, node in enumerate(nodes):
        alive += node.output.size_bytes
        peak = max(peak, alive)
        alive -= ending.get(number, 0)
    return peak
