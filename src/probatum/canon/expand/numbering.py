"""Numbers what a builder made: only what the outputs need, in the order of building (`NODE-1`).

Weights get their numbers in the order in which nodes first read them, so that one ONNX file has
one canonical graph. Must not know ONNX.
"""

from __future__ import annotations

from dataclasses import dataclass

from probatum.canon.expand.builder import Builder, Draft
from probatum.canon.expand.values import Array, Computed, Known, Value, pack
from probatum.canon.graph.records import (
    ENTRY,
    INPUT,
    WEIGHT,
    Attribute,
    CanonicalGraph,
    DimRecord,
    InputRecord,
    NodeRecord,
    OutputRecord,
    Ref,
    WeightRecord,
)
from probatum.canon.primitives.registry import get_newest
from probatum.canon.trace.roots import compute_weight_root

__all__ = ["Expanded", "number_graph"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Expanded:
    """A canonical graph with the weights that it names.

    Attributes:
        graph: The records.
        weights: Elements of each weight, row-major; bfloat16 as their bits.
    """

    graph: CanonicalGraph
    weights: tuple[Array, ...]


def number_graph(
    builder: Builder,
    dims: tuple[DimRecord, ...],
    inputs: tuple[InputRecord, ...],
    outputs: tuple[tuple[str, Value], ...],
) -> Expanded:
    """Make the graph of what the outputs need."""
    ends = _give_entries(builder, outputs)
    kept = _find_needed(builder, tuple(value for _, value in ends))
    numbering = _Numbering(builder, kept)
    nodes = tuple(numbering.make_record(builder.drafts[number]) for number in kept)
    records = tuple(OutputRecord(name=name, ref=numbering.get_ref(value)) for name, value in ends)
    weights = tuple(builder.known[place] for place in numbering.weights)
    graph = CanonicalGraph(
        dims=dims,
        inputs=inputs,
        weights=tuple(_make_weight_record(weight) for weight in weights),
        nodes=nodes,
        outputs=records,
    )
    return Expanded(graph=graph, weights=tuple(weight.array for weight in weights))


def _give_entries(
    builder: Builder, outputs: tuple[tuple[str, Value], ...]
) -> tuple[tuple[str, Computed], ...]:
    """Give each output an entry of its own: its root is keyed by the output's name (`CANON-5`)."""
    ends: list[tuple[str, Computed]] = []
    taken: set[Computed] = set()
    for name, value in outputs:
        end = builder.materialise(value)
        while isinstance(end, Known) or end.is_input or end in taken:
            end = builder.copy(end)
        taken.add(end)
        ends.append((name, end))
    return tuple(ends)


def _find_needed(builder: Builder, ends: tuple[Computed, ...]) -> tuple[int, ...]:
    open_ends = [end.number for end in ends]
    needed: set[int] = set()
    while open_ends:
        number = open_ends.pop()
        if number in needed:
            continue
        needed.add(number)
        open_ends += [
            read.number
            for read in builder.drafts[number].reads
            if isinstance(read, Computed) and not read.is_input
        ]
    return tuple(sorted(needed))


class _Numbering:
    """Numbers of the nodes that are kept, and of weights as they are met."""

    def __init__(self, builder: Builder, kept: tuple[int, ...]) -> None:
        self._builder = builder
        self._entries = {number: place for place, number in enumerate(kept)}
        self._weights: dict[int, int] = {}

    @property
    def weights(self) -> tuple[int, ...]:
        """Places of the weights among the builder's known tensors, in order of number."""
        return tuple(self._weights)

    def make_record(self, draft: Draft) -> NodeRecord:
        """Make a node's record."""
        return NodeRecord(
            operator=draft.operator,
            version=get_newest(draft.operator).version,
            attributes=tuple(Attribute(name=name, value=value) for name, value in draft.attributes),
            reads=tuple(self.get_ref(read) for read in draft.reads),
            dtype=draft.type.dtype,
            shape=draft.type.shape,
        )

    def get_ref(self, read: Computed | int) -> Ref:
        """Get the reference of what is read."""
        if isinstance(read, int):
            return Ref(space=WEIGHT, number=self._weights.setdefault(read, len(self._weights)))
        if read.is_input:
            return Ref(space=INPUT, number=read.number)
        return Ref(space=ENTRY, number=self._entries[read.number])


def _make_weight_record(weight: Known) -> WeightRecord:
    data = weight.array.astype(weight.array.dtype.newbyteorder("<"), copy=False)
    return WeightRecord(
        dtype=weight.dtype,
        shape=weight.array.shape,
        root=compute_weight_root(weight.dtype, weight.array.shape, pack(data).tobytes()),
    )
