"""A canonical graph with its dims bound: every shape and attribute is of integers.

Must not know what operators mean (`probatum.canon.primitives.admitting` checks the types).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from types import MappingProxyType
from typing import TypeAlias

from probatum.canon.graph.records import ENTRY, INPUT, CanonicalGraph, NodeRecord, Ref
from probatum.canon.graph.sizes import Size, bind_size
from probatum.canon.graph.types import DTYPES, CanonDtype
from probatum.errors import Misuse, Refusal
from probatum.protocol import limits

__all__ = [
    "BoundGraph",
    "BoundNode",
    "BoundType",
    "bind_dims",
    "bind_graph",
    "bind_node",
    "bind_type",
]

BoundAttribute: TypeAlias = str | tuple[int, ...]


@dataclass(frozen=True, slots=True)
class BoundType:
    """Element type and shape of a tensor.

    Attributes:
        dtype: Element type.
        shape: Sizes, outermost first.
    """

    dtype: CanonDtype
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        """Number of elements."""
        return prod(self.shape)

    @property
    def size_bytes(self) -> int:
        """Bytes of all elements."""
        return self.count * DTYPES[self.dtype].size_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundNode:
    """One primitive, ready to be computed or judged.

    Attributes:
        operator: Its name; with `version` the key of its meaning.
        attributes: By name.
        reads: What it reads, in order.
        inputs: Their types.
        output: The type of what it computes.
    """

    operator: str
    version: int
    attributes: Mapping[str, BoundAttribute]
    reads: tuple[Ref, ...]
    inputs: tuple[BoundType, ...]
    output: BoundType

    def get_ints(self, name: str) -> tuple[int, ...]:
        """Get an attribute of sizes. Raises Misuse where there is none."""
        value = self.attributes.get(name)
        if not isinstance(value, tuple):
            raise Misuse("canon.no-attribute", f"{self.operator} has no sizes {name!r}")
        return value

    def get_int(self, name: str) -> int:
        """Get an attribute of one size. Raises Misuse where it is not one."""
        values = self.get_ints(name)
        if len(values) != 1:
            raise Misuse("canon.no-attribute", f"{self.operator}'s {name!r} is not one size")
        return values[0]

    def get_word(self, name: str) -> str:
        """Get an attribute that is a word. Raises Misuse where it is none."""
        value = self.attributes.get(name)
        if not isinstance(value, str):
            raise Misuse("canon.no-attribute", f"{self.operator} has no word {name!r}")
        return value


@dataclass(frozen=True, slots=True, kw_only=True)
class BoundGraph:
    """A graph for one choice of dims.

    Attributes:
        inputs: Types of the request's tensors, in order.
        weights: Types of the package's tensors, in order.
        nodes: One an entry, in order.
    """

    inputs: tuple[BoundType, ...]
    weights: tuple[BoundType, ...]
    nodes: tuple[BoundNode, ...]

    def get_type(self, ref: Ref) -> BoundType:
        """Get the type of what a reference names."""
        if ref.space == ENTRY:
            return self.nodes[ref.number].output
        return (self.inputs if ref.space == INPUT else self.weights)[ref.number]


def bind_dims(graph: CanonicalGraph, shapes: tuple[tuple[int, ...], ...]) -> dict[str, int]:
    """Find the dims from the shapes of a request's tensors.

    Every declared dim stands alone in some input's shape, or has one admitted value.

    Raises:
        Refusal: `canon.wrong-shape`, `canon.dim-out-of-range`.
    """
    dims = {record.name: record.least for record in graph.dims if record.least == record.greatest}
    if len(shapes) != len(graph.inputs):
        raise Refusal("canon.wrong-shape", f"the graph takes {len(graph.inputs)} tensors")
    for record, shape in zip(graph.inputs, shapes, strict=True):
        if len(shape) != len(record.shape):
            raise Refusal(
                "canon.wrong-shape",
                f"{record.name!r} has {len(shape)} dimensions, not {len(record.shape)}",
            )
        for size, have in zip(record.shape, shape, strict=True):
            name = _get_lone_dim(size)
            if name is not None:
                dims.setdefault(name, have)
    for dim in graph.dims:
        value = dims.get(dim.name)
        if value is None or not dim.least <= value <= dim.greatest:
            raise Refusal(
                "canon.dim-out-of-range",
                f"{dim.name} is {value}; {dim.least} to {dim.greatest} are admitted",
            )
    for record, shape in zip(graph.inputs, shapes, strict=True):
        want = tuple(bind_size(size, dims) for size in record.shape)
        if want != shape:
            raise Refusal(
                "canon.wrong-shape", f"{record.name!r} has shape {list(shape)}, not {list(want)}"
            )
    return dims


def bind_type(dtype: CanonDtype, shape: tuple[Size, ...], dims: Mapping[str, int]) -> BoundType:
    """Bind the dims of a type.

    Raises:
        Refusal: `canon.unknown-dim`, `canon.bad-size`.
    """
    bound = tuple(bind_size(size, dims) for size in shape)
    if any(size < 0 for size in bound):
        raise Refusal("canon.bad-size", f"a shape has a negative size: {list(bound)}")
    if len(bound) > limits.TENSOR_RANK:
        raise Refusal("canon.bad-size", f"a tensor has more than {limits.TENSOR_RANK} dimensions")
    return BoundType(dtype, bound)


def bind_node(
    record: NodeRecord, inputs: tuple[BoundType, ...], dims: Mapping[str, int]
) -> BoundNode:
    """Bind the dims of one node: all that a judge needs of a graph.

    Args:
        record: The node.
        inputs: The types of what it reads, in order.
        dims: Values of the dims.

    Raises:
        Refusal: `canon.unknown-dim`, `canon.bad-size`.
    """
    return BoundNode(
        operator=record.operator,
        version=record.version,
        attributes=MappingProxyType(
            {
                one.name: one.value
                if isinstance(one.value, str)
                else tuple(bind_size(size, dims) for size in one.value)
                for one in record.attributes
            }
        ),
        reads=record.reads,
        inputs=inputs,
        output=bind_type(record.dtype, record.shape, dims),
    )


def bind_graph(graph: CanonicalGraph, dims: Mapping[str, int]) -> BoundGraph:
    """Bind a graph's dims.

    Raises:
        Refusal: `canon.unknown-dim`, `canon.bad-size`, `canon.bad-reference` where a node reads
            what does not come before it.
    """
    inputs = tuple(bind_type(record.dtype, record.shape, dims) for record in graph.inputs)
    weights = tuple(bind_type(record.dtype, record.shape, dims) for record in graph.weights)
    entries: list[BoundType] = []
    nodes: list[BoundNode] = []
    spaces = (inputs, weights, entries)
    for number, record in enumerate(graph.nodes):
        for ref in record.reads:
            if ref.number >= len(spaces[ref.space]):
                raise Refusal("canon.bad-reference", f"node {number} reads what is not there yet")
        types = tuple(spaces[ref.space][ref.number] for ref in record.reads)
        nodes.append(bind_node(record, types, dims))
        entries.append(nodes[-1].output)
    for output in graph.outputs:
        if output.ref.number >= len(spaces[output.ref.space]):
            raise Refusal("canon.bad-reference", f"output {output.name!r} names nothing")
    return BoundGraph(inputs=inputs, weights=weights, nodes=tuple(nodes))


def _get_lone_dim(size: Size) -> str | None:
    if isinstance(size, int) or len(size.terms) != 1 or size.terms[0].coefficient != 1:
        return None
    factors = size.terms[0].factors
    return factors[0] if len(factors) == 1 and isinstance(factors[0], str) else None
