"""The shape of a primitive: direct, or a fold of blocks (`CANON-9`).

A judge asks for elements in stages: a generator yields what it must read and is sent the bits, so
that an index can decide what is read next, and whoever drives it can count, open or look up.
Must not know any primitive.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping
from typing import Final, NamedTuple, Protocol, TypeAlias

from probatum.canon.graph.binding import BoundNode
from probatum.canon.graph.sizes import Size
from probatum.canon.graph.types import CanonDtype, TensorType

__all__ = [
    "BLOCK_TERMS",
    "DIRECT_READS",
    "PARTIAL_BYTES",
    "Attributes",
    "Direct",
    "Fold",
    "PartialReading",
    "Preparing",
    "Primitive",
    "Read",
    "ReadBound",
    "Reading",
    "Typed",
]

BLOCK_TERMS: Final = 1024
DIRECT_READS: Final = 16
PARTIAL_BYTES: Final = 640

Attributes: TypeAlias = Mapping[str, str | tuple[Size, ...]]


class Read(NamedTuple):
    """A run of neighbouring elements of one tensor that a node reads.

    Attributes:
        source: Which of the node's reads.
        first: Row-major number of the first element.
        length: How many, at least 1.
    """

    source: int
    first: int
    length: int = 1


class ReadBound(NamedTuple):
    """A bound of what one element, or one block with its finish, reads of one tensor.

    Attributes:
        source: Which of the node's reads.
        runs: At most so many runs,
        length: each of at most so many elements.
        stretches: Where not 0, all runs also lie within at most so many stretches,
        span: each of at most so many elements from first to last.
        align: Every run starts at a multiple of so many elements.
    """

    source: int
    runs: int
    length: int = 1
    stretches: int = 0
    span: int = 0
    align: int = 1


Reading: TypeAlias = Generator[tuple[Read, ...], tuple[int, ...], int]
"""Yields a stage's reads, is sent their bits in order, one after the other; returns bits."""
Preparing: TypeAlias = Generator[tuple[Read, ...], tuple[int, ...], tuple[int, ...]]
PartialReading: TypeAlias = Generator[tuple[Read, ...], tuple[int, ...], bytes]


class Typed(Protocol):
    """What direct primitives and folds have in common."""

    @property
    def operator(self) -> str:
        """Its name."""
        ...

    @property
    def version(self) -> int:
        """The version of its meaning."""
        ...

    def infer(
        self,
        inputs: tuple[TensorType, ...],
        attributes: Attributes,
        dtype: CanonDtype | None = None,
        /,
    ) -> TensorType:
        """Compute the type of what it computes; sizes may still depend on dims.

        Args:
            inputs: Types of what it reads, in order.
            attributes: By name.
            dtype: The record's, or None: only `Cast` needs it.

        Raises:
            Refusal: `canon.wrong-operands`, `canon.wrong-attributes`.
        """
        ...

    def list_conditions(
        self, inputs: tuple[TensorType, ...], attributes: Attributes, /
    ) -> tuple[Size, ...]:
        """List sizes that must not be negative whatever the dims are (`CANON-8`).

        `infer` has passed on the same arguments.
        """
        ...

    def bound_reads(self, node: BoundNode, /) -> tuple[ReadBound, ...]:
        """Bound what one element reads, or one block with what comes before and after it.

        Monotone in the sizes of the node's shapes.
        """
        ...

    def count_operations(self, node: BoundNode, /) -> int:
        """Count the multiply-adds, comparisons or functions of evaluating the whole tensor."""
        ...

    def measure(self, node: BoundNode, /) -> int:
        """Bound the work of judging one element or block, in 64-bit multiply-adds (`CANON-3`)."""
        ...


class Direct(Typed, Protocol):
    """A primitive of which an element reads at most `DIRECT_READS` elements."""

    def judge(self, node: BoundNode, element: int, /) -> Reading:
        """Compute the bits of one element.

        Args:
            node: The primitive.
            element: Its row-major number, below the output's count.
        """
        ...


class Fold(Typed, Protocol):
    """A primitive of which an element is a sum, greatest, count or last hit of many terms.

    Partials are canonical bytes, at most `PARTIAL_BYTES`; `combine` is associative and exact.
    """

    def count_blocks(self, node: BoundNode, /) -> int:
        """Count the blocks of one element; the same for all, at least 1."""
        ...

    def prepare(self, node: BoundNode, element: int, claimed: int, /) -> Preparing:
        """Read what all blocks need; mostly nothing.

        Args:
            node: The primitive.
            element: Row-major number.
            claimed: Bits of the value in question: an index that is counted against (`CANON-9`).

        Returns:
            The context that `fold` and `finish` are given.
        """
        ...

    def fold(
        self, node: BoundNode, element: int, block: int, context: tuple[int, ...], /
    ) -> PartialReading:
        """Compute the partial of one block."""
        ...

    def combine(self, node: BoundNode, left: bytes, right: bytes, /) -> bytes:
        """Join the partials of neighbouring runs of blocks, the left one first.

        Raises:
            Refusal: `canon.bad-partial`.
        """
        ...

    def finish(
        self, node: BoundNode, element: int, partial: bytes, context: tuple[int, ...], /
    ) -> Reading:
        """Compute the element's bits from the partial of all blocks: the one rounding.

        Raises:
            Refusal: `canon.bad-partial`.
        """
        ...


Primitive: TypeAlias = Direct | Fold
