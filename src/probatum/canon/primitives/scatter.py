"""ScatterElements and ScatterND: the last write to a place stays (`CANON-1`, `CANON-9`).

A fold over the indices in order: the partial is the number of the last one that hits the element,
plus 1, or 0 for none: 8 bytes big-endian. The finish reads the update, or what was there.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Final

from probatum.canon.arith.formats import to_signed
from probatum.canon.graph.binding import BoundNode
from probatum.canon.graph.sizes import Size
from probatum.canon.graph.types import DTYPES, CanonDtype, TensorType
from probatum.canon.primitives.interface import (
    BLOCK_TERMS,
    Attributes,
    Fold,
    PartialReading,
    Preparing,
    Read,
    ReadBound,
    Reading,
)
from probatum.canon.primitives.operands import (
    INDICES,
    WIDTHS,
    check_attributes,
    check_dtype,
    check_operands,
    refuse_operands,
    split_last,
)
from probatum.canon.primitives.places import list_coordinates, wrap_index
from probatum.errors import Refusal

__all__ = ["SCATTERS", "ScatterElements", "ScatterND"]

HIT_BYTES: Final = 8
HIT_WORK: Final = 16
ANY: Final = frozenset(DTYPES)


def _encode(hit: int) -> bytes:
    return hit.to_bytes(HIT_BYTES, "big")


def _decode(partial: bytes) -> int:
    if len(partial) != HIT_BYTES:
        raise Refusal("canon.bad-partial", "these bytes are no last hit")
    return int.from_bytes(partial, "big")


def _keep_last(left: bytes, right: bytes) -> bytes:
    before, after = _decode(left), _decode(right)
    return right if after else _encode(before)


def _check_hit(hit: int, terms: int) -> int:
    if hit > terms:
        raise Refusal("canon.bad-partial", "a hit lies beyond the indices")
    return hit


@dataclass(frozen=True, slots=True, kw_only=True)
class ScatterElements:
    """Rows of data with some elements replaced, by one index an update along the last axis."""

    operator: str = "ScatterElements"
    version: int = 1

    def infer(
        self,
        inputs: tuple[TensorType, ...],
        attributes: Attributes,
        dtype: CanonDtype | None = None,
    ) -> TensorType:
        """Compute the type; see `Typed`."""
        data, indices, updates = check_operands("ScatterElements", inputs, ANY, INDICES, ANY)
        check_attributes("ScatterElements", attributes)
        rows, _ = split_last("ScatterElements", data)
        if updates != TensorType(data.dtype, indices.shape) or (
            split_last("ScatterElements", indices)[0] != rows
        ):
            raise refuse_operands("ScatterElements reads an index an update, in the rows of data")
        return TensorType(check_dtype("ScatterElements", data.dtype, dtype), data.shape)

    def list_conditions(self, _: tuple[TensorType, ...], __: Attributes) -> tuple[Size, ...]:
        """None: indices out of range hit nothing."""
        return ()

    def count_blocks(self, node: BoundNode) -> int:
        """One a 1,024 indices of a row."""
        return max(1, -(-node.inputs[1].shape[-1] // BLOCK_TERMS))

    def prepare(self, _: BoundNode, __: int, ___: int) -> Preparing:
        """Nothing."""
        yield from ()
        return ()

    def fold(self, node: BoundNode, element: int, block: int, _: tuple[int, ...]) -> PartialReading:
        """Find the last hit of one block."""
        data, indices, _ignored = node.inputs
        row, column = divmod(element, data.shape[-1])
        length = indices.shape[-1]
        start = block * BLOCK_TERMS
        stop = min(length, start + BLOCK_TERMS)
        if start >= stop:
            return _encode(0)
        bits = yield (Read(1, row * length + start, stop - start),)
        width = WIDTHS[indices.dtype]
        hit = 0
        for at, one in enumerate(bits, start + 1):
            if wrap_index(to_signed(width, one), data.shape[-1]) == column:
                hit = at
        return _encode(hit)

    def combine(self, _: BoundNode, left: bytes, right: bytes) -> bytes:
        """Keep the later hit."""
        return _keep_last(left, right)

    def finish(self, node: BoundNode, element: int, partial: bytes, _: tuple[int, ...]) -> Reading:
        """Read the update that hit last, or what was there."""
        length = node.inputs[1].shape[-1]
        hit = _check_hit(_decode(partial), length)
        row = element // node.inputs[0].shape[-1]
        (bits,) = yield ((Read(2, row * length + hit - 1) if hit else Read(0, element)),)
        return bits

    def bound_reads(self, node: BoundNode) -> tuple[ReadBound, ...]:
        """A run of indices, one element."""
        length = min(BLOCK_TERMS, node.inputs[1].shape[-1])
        return (ReadBound(1, 1, length), _bound_value(node))

    def count_operations(self, node: BoundNode) -> int:
        """One an update."""
        return node.inputs[1].count

    def measure(self, _: BoundNode) -> int:
        """1,024 comparisons."""
        return HIT_WORK * BLOCK_TERMS


@dataclass(frozen=True, slots=True, kw_only=True)
class ScatterND:
    """data with slices replaced: indices[..., Q] name the first Q coordinates of each."""

    operator: str = "ScatterND"
    version: int = 1

    def infer(
        self,
        inputs: tuple[TensorType, ...],
        attributes: Attributes,
        dtype: CanonDtype | None = None,
    ) -> TensorType:
        """Compute the type; see `Typed`."""
        data, indices, updates = check_operands("ScatterND", inputs, ANY, INDICES, ANY)
        check_attributes("ScatterND", attributes)
        before, depth = split_last("ScatterND", indices)
        if not isinstance(depth, int) or not 1 <= depth <= len(data.shape):
            raise refuse_operands("ScatterND's indices end in a fixed size, 1 to the rank of data")
        if updates != TensorType(data.dtype, (*before, *data.shape[depth:])):
            raise refuse_operands("ScatterND reads one slice of data an index")
        return TensorType(check_dtype("ScatterND", data.dtype, dtype), data.shape)

    def list_conditions(self, _: tuple[TensorType, ...], __: Attributes) -> tuple[Size, ...]:
        """None: indices out of range hit nothing."""
        return ()

    def count_blocks(self, node: BoundNode) -> int:
        """One a floor(1,024/Q) indices."""
        return max(1, -(-_count_slices(node) // _get_block_slices(node)))

    def prepare(self, _: BoundNode, __: int, ___: int) -> Preparing:
        """Nothing."""
        yield from ()
        return ()

    def fold(self, node: BoundNode, element: int, block: int, _: tuple[int, ...]) -> PartialReading:
        """Find the last hit of one block."""
        data, indices, _ignored = node.inputs
        depth = indices.shape[-1]
        wanted = list_coordinates(data.shape, element)[:depth]
        start = block * _get_block_slices(node)
        stop = min(_count_slices(node), start + _get_block_slices(node))
        if start >= stop:
            return _encode(0)
        bits = yield (Read(1, start * depth, (stop - start) * depth),)
        width = WIDTHS[indices.dtype]
        hit = 0
        for at in range(start, stop):
            chosen = bits[(at - start) * depth : (at - start + 1) * depth]
            found = [
                wrap_index(to_signed(width, one), size)
                for one, size in zip(chosen, data.shape[:depth], strict=True)
            ]
            if found == wanted:
                hit = at + 1
        return _encode(hit)

    def combine(self, _: BoundNode, left: bytes, right: bytes) -> bytes:
        """Keep the later hit."""
        return _keep_last(left, right)

    def finish(self, node: BoundNode, element: int, partial: bytes, _: tuple[int, ...]) -> Reading:
        """Read the update that hit last, or what was there."""
        hit = _check_hit(_decode(partial), _count_slices(node))
        size = prod(node.inputs[0].shape[node.inputs[1].shape[-1] :])
        place = (hit - 1) * size + element % size
        (bits,) = yield ((Read(2, place) if hit else Read(0, element)),)
        return bits

    def bound_reads(self, node: BoundNode) -> tuple[ReadBound, ...]:
        """A run of indices, one element."""
        return (ReadBound(1, 1, min(BLOCK_TERMS, node.inputs[1].count)), _bound_value(node))

    def count_operations(self, node: BoundNode) -> int:
        """One an update."""
        return node.inputs[2].count

    def measure(self, _: BoundNode) -> int:
        """1,024 comparisons."""
        return HIT_WORK * BLOCK_TERMS


def _count_slices(node: BoundNode) -> int:
    return prod(node.inputs[1].shape[:-1])


def _get_block_slices(node: BoundNode) -> int:
    return BLOCK_TERMS // node.inputs[1].shape[-1]


def _bound_value(node: BoundNode) -> ReadBound:
    """Bound the finish: one element of data or of the updates."""
    return ReadBound(0 if node.inputs[0].count >= node.inputs[2].count else 2, 1)


SCATTERS: Final[tuple[Fold, ...]] = (ScatterElements(), ScatterND())
"""All of this page."""
