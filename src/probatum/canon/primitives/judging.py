"""Judges one element: drives a primitive with whatever answers its reads (`CANON-3`, `CANON-9`).

Opened chunks, a file or a test's list: `Fetch` hides which. Every read is counted and checked
before it is asked for, so that the cost is known. Must not know any primitive.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from functools import reduce
from typing import TypeAlias, TypeVar, cast

from probatum.canon.graph.binding import BoundNode
from probatum.canon.primitives.interface import (
    BLOCK_TERMS,
    DIRECT_READS,
    PARTIAL_BYTES,
    Direct,
    Fold,
    Primitive,
    Read,
)
from probatum.canon.primitives.operands import WIDTHS
from probatum.canon.primitives.registry import get_primitive
from probatum.errors import Misuse, Refusal

__all__ = [
    "BLOCK_READS",
    "Fetch",
    "check_element",
    "combine_partials",
    "count_blocks",
    "get_fold",
    "is_fold",
    "judge_block",
    "judge_element",
    "judge_finish",
    "list_reads",
]

T = TypeVar("T")
Fetch: TypeAlias = Callable[[Read], Sequence[int]]
"""Answers a read with the bits of its elements, in order."""

BLOCK_READS = 4 * BLOCK_TERMS
"""The most elements that one block reads, before and after it included."""


def is_fold(primitive: Primitive) -> bool:
    """Tell a fold from a direct primitive."""
    return hasattr(primitive, "fold")


def get_fold(node: BoundNode) -> Fold | None:
    """Get a node's primitive where it is a fold; None where it is direct.

    Raises:
        Refusal: `canon.unknown-operator`.
    """
    primitive = get_primitive(node.operator, node.version)
    return cast("Fold", primitive) if is_fold(primitive) else None


def check_element(node: BoundNode, element: int) -> None:
    """Check that a node computes such an element. Raises Refusal `canon.no-such-element`."""
    if not 0 <= element < node.output.count:
        raise Refusal("canon.no-such-element", f"the tensor has {node.output.count} elements")


def count_blocks(node: BoundNode) -> int:
    """Count the blocks of each element of a fold.

    Raises:
        Refusal: `canon.unknown-operator`.
        Misuse: `canon.not-a-fold`.
    """
    return _require_fold(node).count_blocks(node)


def judge_element(node: BoundNode, element: int, fetch: Fetch, claimed: int = 0) -> int:
    """Compute the bits of one element: at once if direct, else block by block.

    Args:
        node: The primitive.
        element: Row-major number.
        fetch: Answers reads.
        claimed: Bits of the value in question; an index that is claimed is counted against, and
            the result differs from it iff it is wrong.

    Raises:
        Refusal: `canon.no-such-element`, `canon.unknown-operator`, or what `fetch` raises.
    """
    fold = get_fold(node)
    if fold is None:
        check_element(node, element)
        direct = cast("Direct", get_primitive(node.operator, node.version))
        return _drive(node, direct.judge(node, element), fetch, DIRECT_READS)
    blocks = range(fold.count_blocks(node))
    partials = [judge_block(node, element, block, fetch, claimed) for block in blocks]
    total = reduce(lambda left, right: fold.combine(node, left, right), partials)
    return judge_finish(node, element, total, fetch, claimed)


def judge_block(node: BoundNode, element: int, block: int, fetch: Fetch, claimed: int = 0) -> bytes:
    """Compute the partial of one block of a fold; see `judge_element` for arguments.

    Raises:
        Refusal: `canon.no-such-element`, `canon.no-such-block`.
        Misuse: `canon.not-a-fold`.
    """
    fold = _require_fold(node)
    check_element(node, element)
    if not 0 <= block < fold.count_blocks(node):
        raise Refusal("canon.no-such-block", f"an element has {fold.count_blocks(node)} blocks")
    context = _drive(node, fold.prepare(node, element, claimed), fetch, DIRECT_READS)
    return _drive(node, fold.fold(node, element, block, context), fetch, BLOCK_READS)


def combine_partials(node: BoundNode, left: bytes, right: bytes) -> bytes:
    """Join the partials of neighbouring runs of blocks.

    Raises:
        Refusal: `canon.bad-partial`.
        Misuse: `canon.not-a-fold`.
    """
    joined = _require_fold(node).combine(node, _bound(left), _bound(right))
    return _bound(joined)


def judge_finish(
    node: BoundNode, element: int, partial: bytes, fetch: Fetch, claimed: int = 0
) -> int:
    """Compute an element's bits from the partial of all its blocks: the one rounding.

    Raises:
        Refusal: `canon.no-such-element`, `canon.bad-partial`.
        Misuse: `canon.not-a-fold`.
    """
    fold = _require_fold(node)
    check_element(node, element)
    context = _drive(node, fold.prepare(node, element, claimed), fetch, DIRECT_READS)
    reading = fold.finish(node, element, _bound(partial), context)
    return _drive(node, reading, fetch, DIRECT_READS)


def list_reads(
    node: BoundNode, element: int, fetch: Fetch, *, block: int | None = None, claimed: int = 0
) -> tuple[Read, ...]:
    """List what judging an element, or one block of it, reads: what a prover opens.

    Args:
        node: The primitive.
        element: Row-major number.
        fetch: Answers reads, because an index decides what is read next.
        block: Of a fold; None for a direct element.
        claimed: As in `judge_element`.
    """
    reads: list[Read] = []

    def note(read: Read) -> Sequence[int]:
        reads.append(read)
        return fetch(read)

    if block is None:
        judge_element(node, element, note, claimed)
    else:
        judge_block(node, element, block, note, claimed)
    return tuple(reads)


def _require_fold(node: BoundNode) -> Fold:
    fold = get_fold(node)
    if fold is None:
        raise Misuse("canon.not-a-fold", f"{node.operator} is direct: it has no blocks")
    return fold


def _bound(partial: bytes) -> bytes:
    if len(partial) > PARTIAL_BYTES:
        raise Refusal("canon.bad-partial", f"a partial has at most {PARTIAL_BYTES} bytes")
    return partial


def _drive(
    node: BoundNode,
    reading: Generator[tuple[Read, ...], tuple[int, ...], T],
    fetch: Fetch,
    limit: int,
) -> T:
    """Answer a generator's reads until it returns, and count them."""
    left = limit
    try:
        reads = next(reading)
        while True:
            bits: list[int] = []
            for read in reads:
                left -= read.length
                _check_read(node, read, left)
                found = fetch(read)
                if len(found) != read.length or (
                    found and not 0 <= min(found) <= max(found) < _get_end(node, read)
                ):
                    raise Misuse("canon.bad-fetch", "a read was answered with other elements")
                bits.extend(found)
            reads = reading.send(tuple(bits))
    except StopIteration as done:
        value: T = done.value
        return value


def _check_read(node: BoundNode, read: Read, left: int) -> None:
    # Only a primitive that breaks its own contract comes here.
    if left < 0:
        raise Misuse("canon.too-many-reads", f"{node.operator} reads more than it may")
    count = node.inputs[read.source].count
    if read.length < 1 or not 0 <= read.first <= count - read.length:
        raise Misuse("canon.bad-read", f"{node.operator} reads beyond a tensor")


def _get_end(node: BoundNode, read: Read) -> int:
    return 1 << WIDTHS[node.inputs[read.source].dtype]
