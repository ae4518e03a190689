"""What a canonical graph says: one record an input, weight, node and output (`NODE-1`).

A node computes one tensor, the trace's entry of its number. Reads name inputs, weights and earlier
entries. The canonical digest is the Merkle root of all records in order, so that one record can be
shown alone. Must not know what operators mean (`probatum.canon.primitives`).
"""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

from msgspec import Meta

from probatum.canon.graph.sizes import DimName, Size
from probatum.canon.graph.types import CanonDtype, Shape
from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.encoding import LedgerValue, encode
from probatum.protocol.merkle import compute_root, leaf_hash
from probatum.protocol.primitives import Digest, Root
from probatum.protocol.tensors import DtypeName

__all__ = [
    "ENTRY",
    "INPUT",
    "NODES",
    "RECORD_BYTES",
    "WEIGHT",
    "Attribute",
    "AttributeValue",
    "CanonicalGraph",
    "DimRecord",
    "InputRecord",
    "NodeRecord",
    "OutputRecord",
    "Record",
    "Ref",
    "WeightRecord",
    "compute_canonical_digest",
    "list_records",
]

INPUT: Final = 0
WEIGHT: Final = 1
ENTRY: Final = 2
"""The three spaces that a reference points into."""
NODES: Final = 1 << 16
READS: Final = 64
RECORD_BYTES: Final = 8 * limits.KIB

OperatorName: TypeAlias = Annotated[str, Meta(pattern=r"^[A-Z][A-Za-z0-9]{0,31}\Z")]
AttributeName: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,31}\Z")]
Word: TypeAlias = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9-]{0,31}\Z")]
TensorName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=limits.NAME_CHARS)]
Number: TypeAlias = Annotated[int, Meta(ge=0, lt=NODES)]

AttributeValue: TypeAlias = Word | Annotated[tuple[Size, ...], Meta(max_length=256)]
"""A word, or sizes: a single one is a tuple of one."""


class Ref(LedgerValue, frozen=True, kw_only=True):
    """A tensor that a node reads: its space and its number there."""

    space: Annotated[int, Meta(ge=INPUT, le=ENTRY)]
    number: Number


class Attribute(LedgerValue, frozen=True, kw_only=True):
    """A named constant of a node; floats are weights, never attributes."""

    name: AttributeName
    value: AttributeValue


class DimRecord(LedgerValue, frozen=True, kw_only=True, tag=1):
    """A dim that each request chooses, and the values that the package admits."""

    name: DimName
    least: Annotated[int, Meta(ge=0, lt=1 << 40)]
    greatest: Annotated[int, Meta(ge=0, lt=1 << 40)]


class InputRecord(LedgerValue, frozen=True, kw_only=True, tag=2):
    """A tensor that each request gives."""

    name: TensorName
    dtype: DtypeName
    shape: Shape


class WeightRecord(LedgerValue, frozen=True, kw_only=True, tag=3):
    """A tensor that the package holds, by its root under the zero salt (`SALT-1`)."""

    dtype: CanonDtype
    shape: Annotated[tuple[int, ...], Meta(max_length=limits.TENSOR_RANK)]
    root: Root


class NodeRecord(LedgerValue, frozen=True, kw_only=True, tag=4):
    """One primitive: what it reads, and the type of what it computes.

    Attributes:
        operator: Name of the primitive, with its version: the meaning of a pair never changes.
        attributes: In order of name.
        reads: In the primitive's order.
    """

    operator: OperatorName
    version: Annotated[int, Meta(ge=1, le=255)]
    attributes: Annotated[tuple[Attribute, ...], Meta(max_length=16)]
    reads: Annotated[tuple[Ref, ...], Meta(max_length=READS)]
    dtype: CanonDtype
    shape: Shape


class OutputRecord(LedgerValue, frozen=True, kw_only=True, tag=5):
    """A tensor that the answer gives."""

    name: TensorName
    ref: Ref


Record: TypeAlias = DimRecord | InputRecord | WeightRecord | NodeRecord | OutputRecord


class CanonicalGraph(LedgerValue, frozen=True, kw_only=True):
    """A whole graph, records in order."""

    dims: Annotated[tuple[DimRecord, ...], Meta(max_length=16)]
    inputs: Annotated[tuple[InputRecord, ...], Meta(max_length=limits.TENSORS_PER_REQUEST)]
    weights: Annotated[tuple[WeightRecord, ...], Meta(max_length=NODES)]
    nodes: Annotated[tuple[NodeRecord, ...], Meta(max_length=NODES)]
    outputs: Annotated[
        tuple[OutputRecord, ...], Meta(min_length=1, max_length=limits.TENSORS_PER_REQUEST)
    ]


def list_records(graph: CanonicalGraph) -> tuple[Record, ...]:
    """List all records in the order of the digest's leaves."""
    return (*graph.dims, *graph.inputs, *graph.weights, *graph.nodes, *graph.outputs)


def compute_canonical_digest(graph: CanonicalGraph) -> Digest:
    """Compute the canonical digest: the Merkle root (RFC 6962) of all encoded records.

    Raises:
        Refusal: `canon.record-too-large`.
    """
    encoded = [encode(record) for record in list_records(graph)]
    for number, record in enumerate(encoded):
        if len(record) > RECORD_BYTES:
            raise Refusal(
                "canon.record-too-large",
                f"record {number} has {len(record)} bytes; at most {RECORD_BYTES} are admitted",
            )
    return compute_root([leaf_hash(record) for record in encoded])
