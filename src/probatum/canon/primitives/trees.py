"""TreeEnsemble: the sum of one leaf's values a tree (`CANON-1`, `CANON-8`, `CANON-9`).

x[B, F], nodes[T, R, 4] (uint32) and values[T, L, C] make [B, C]. A block is one tree. Row 0 of a
tree is its root; a row is four words:

    word 0   feature * 16 + missing * 8 + mode
    word 1   bits of the float32 threshold
    word 2   the row to go to if the comparison holds; of a leaf, its number
    word 3   the row to go to if it does not

Modes: 0 <=, 1 <, 2 >=, 3 >, 4 =, 5 not =, 6 a leaf. A NaN compares false (not =: true), but goes
where the comparison holds if `missing` is 1. After `depth` comparisons a leaf must be reached, and
a walk may come into `stretches` stretches of 64 rows, the root's included: what it opens is bounded
however deep a tree is. A walk that breaks off (a row, feature, leaf or mode that is not there, a
stretch too many) adds nothing. Version 1 had at most 16 comparisons, and no bound of stretches.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from operator import eq, ge, gt, le, lt, ne
from typing import Final

from probatum.canon.arith import sums
from probatum.canon.arith.formats import FLOAT32, compute_order, is_nan
from probatum.canon.graph.binding import BoundNode
from probatum.canon.graph.sizes import Size
from probatum.canon.graph.types import CanonDtype, TensorType
from probatum.canon.primitives.interface import (
    Attributes,
    PartialReading,
    Preparing,
    Read,
    ReadBound,
    Reading,
)
from probatum.canon.primitives.operands import (
    check_attributes,
    check_dtype,
    check_operands,
    get_literal,
    refuse_operands,
)

__all__ = ["DEPTH", "LEAF", "ROW_WORDS", "TreeEnsemble", "count_stretches", "pack_word"]

DEPTH: Final = 128
"""The most comparisons of one walk."""
DEPTH_OF_VERSION_1: Final = 16
ROW_WORDS: Final = 4
STRETCH_ROWS: Final = 64
"""So many rows are one chunk of a tensor (`CANON-5`)."""
LEAF: Final = 6
"""The mode of a leaf."""
MISSING: Final = 8
FEATURE_SHIFT: Final = 4
COMPARISONS: Final[tuple[Callable[[int, int], bool], ...]] = (le, lt, ge, gt, eq, ne)
FLOAT: Final = frozenset({"float32"})
STEP_WORK: Final = 64


def pack_word(feature: int, mode: int, *, missing: bool) -> int:
    """Make the first word of a row."""
    return feature << FEATURE_SHIFT | (MISSING if missing else 0) | mode


def count_stretches(node: BoundNode) -> int:
    """Count how many stretches a walk may come into."""
    return node.get_int("depth") + 1 if node.version == 1 else node.get_int("stretches")


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeEnsemble:
    """The exact sum over all trees, rounded once."""

    operator: str = "TreeEnsemble"
    version: int = 2

    def infer(
        self,
        inputs: tuple[TensorType, ...],
        attributes: Attributes,
        dtype: CanonDtype | None = None,
    ) -> TensorType:
        """Compute the type; see `Typed`."""
        x, nodes, values = check_operands(
            "TreeEnsemble", inputs, FLOAT, frozenset({"uint32"}), FLOAT
        )
        if self.version == 1:
            check_attributes("TreeEnsemble", attributes, "depth")
            get_literal("TreeEnsemble", attributes, "depth", 0, DEPTH_OF_VERSION_1)
        else:
            check_attributes("TreeEnsemble", attributes, "depth", "stretches")
            get_literal("TreeEnsemble", attributes, "depth", 0, DEPTH)
            get_literal("TreeEnsemble", attributes, "stretches", 1, DEPTH + 1)
        if (len(x.shape), len(nodes.shape), len(values.shape)) != (2, 3, 3):
            raise refuse_operands("TreeEnsemble reads x[B, F], nodes[T, R, 4], values[T, L, C]")
        if nodes.shape[2] != ROW_WORDS or nodes.shape[0] != values.shape[0]:
            raise refuse_operands("TreeEnsemble has rows of four words, and leaves for every tree")
        return TensorType(
            check_dtype("TreeEnsemble", "float32", dtype), (x.shape[0], values.shape[2])
        )

    def list_conditions(self, _: tuple[TensorType, ...], __: Attributes) -> tuple[Size, ...]:
        """None: the sum over no trees is +0."""
        return ()

    def count_blocks(self, node: BoundNode) -> int:
        """One a tree."""
        return max(1, node.inputs[1].shape[0])

    def prepare(self, _: BoundNode, __: int, ___: int) -> Preparing:
        """Nothing."""
        yield from ()
        return ()

    def fold(self, node: BoundNode, element: int, block: int, _: tuple[int, ...]) -> PartialReading:
        """Walk one tree and take the leaf's value."""
        _x, _nodes, values = node.inputs
        _trees, leaves, classes = values.shape
        row, column = divmod(element, classes)
        leaf = yield from _walk(node, row, block)
        bits: tuple[int, ...] = ()
        if leaf is not None and leaf < leaves:
            bits = yield (Read(2, (block * leaves + leaf) * classes + column),)
        return sums.sum_elements(FLOAT32, bits)

    def combine(self, _: BoundNode, left: bytes, right: bytes) -> bytes:
        """Add two partial sums."""
        return sums.combine(left, right)

    def finish(self, _: BoundNode, __: int, partial: bytes, ___: tuple[int, ...]) -> Reading:
        """Round the sum."""
        yield from ()
        return sums.finish_sum(FLOAT32, partial)

    def bound_reads(self, node: BoundNode) -> tuple[ReadBound, ...]:
        """A feature and a row a comparison, the leaf's row, its value."""
        depth, stretches = node.get_int("depth"), count_stretches(node)
        words = STRETCH_ROWS * ROW_WORDS
        if node.inputs[1].shape[1] % STRETCH_ROWS:
            rows = ReadBound(1, depth + 1, ROW_WORDS, stretches, words, ROW_WORDS)
        else:
            rows = ReadBound(1, min(stretches, depth + 1), words, align=words)
        return (ReadBound(0, depth, 1, 1, node.inputs[0].shape[1]), rows, ReadBound(2, 1))

    def count_operations(self, node: BoundNode) -> int:
        """A walk a row and tree, a sum an element."""
        trees = node.inputs[1].shape[0]
        return trees * (node.inputs[0].shape[0] * node.get_int("depth") + node.output.count)

    def measure(self, node: BoundNode) -> int:
        """One walk."""
        return STEP_WORK * (node.get_int("depth") + 2)


def _walk(
    node: BoundNode, row: int, tree: int
) -> Generator[tuple[Read, ...], tuple[int, ...], int | None]:
    """Find the leaf that a row of x reaches in a tree; None where the walk breaks off."""
    x, nodes, _values = node.inputs
    trees, rows, _words = nodes.shape
    at = stretch = 0
    left = count_stretches(node) - 1
    for _ in range(node.get_int("depth") + 1):
        if tree >= trees or at >= rows:
            return None
        if at // STRETCH_ROWS != stretch:
            if not left:
                return None
            stretch, left = at // STRETCH_ROWS, left - 1
        first, threshold, held, failed = yield (Read(1, (tree * rows + at) * ROW_WORDS, ROW_WORDS),)
        mode, feature = first & (MISSING - 1), first >> FEATURE_SHIFT
        if mode == LEAF:
            return held
        if mode > LEAF or feature >= x.shape[1]:
            return None
        (bits,) = yield (Read(0, row * x.shape[1] + feature),)
        at = held if _holds(mode, first & MISSING != 0, bits, threshold) else failed
    return None


def _holds(mode: int, missing: bool, bits: int, threshold: int) -> bool:  # noqa: FBT001
    if is_nan(FLOAT32, bits) or is_nan(FLOAT32, threshold):
        return COMPARISONS[mode] is ne or (missing and is_nan(FLOAT32, bits))
    keys = (compute_order(FLOAT32, bits), compute_order(FLOAT32, threshold))
    return COMPARISONS[mode](*keys)
