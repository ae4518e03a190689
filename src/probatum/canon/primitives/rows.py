"""What all folds over the last axis have in common: one run of neighbouring elements a block.

Must not know what is folded.
"""

from __future__ import annotations

from probatum.canon.graph.binding import BoundNode
from probatum.canon.primitives.interface import BLOCK_TERMS, Preparing, ReadBound
from probatum.canon.primitives.places import count_blocks

__all__ = ["RowFold"]


class RowFold:
    """The part of `Fold` that does not depend on what is folded."""

    __slots__ = ()

    def count_blocks(self, node: BoundNode) -> int:
        """One a 1,024 terms."""
        return count_blocks(node.inputs[0].shape[-1])

    def prepare(self, _: BoundNode, __: int, ___: int) -> Preparing:
        """Nothing."""
        yield from ()
        return ()

    def bound_reads(self, node: BoundNode) -> tuple[ReadBound, ...]:
        """One run."""
        return (ReadBound(0, 1, min(BLOCK_TERMS, node.inputs[0].shape[-1])),)

    def count_operations(self, node: BoundNode) -> int:
        """One a term."""
        return node.inputs[0].count
