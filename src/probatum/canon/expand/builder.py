"""Builds a canonical graph node by node; what is known is folded, what is equal is shared.

`emit` is the one way to add a node. Layouts are pushed down: a map of transposed tensors becomes
the transposed map, so that the moves between channels-last primitives meet and cancel. At the end
only what the outputs need is kept and numbered, in the order of building. Must not know ONNX.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from blake3 import blake3

from probatum.canon.expand.folding import compare_sizes, fold_known, fold_sizes
from probatum.canon.expand.values import (
    Computed,
    Known,
    Sizes,
    Value,
    get_type,
    make_known,
    pack,
)
from probatum.canon.graph.records import NODES
from probatum.canon.graph.sizes import Size
from probatum.canon.graph.types import CanonDtype, TensorType
from probatum.canon.primitives.registry import get_newest
from probatum.errors import Refusal

__all__ = ["Builder", "Draft"]

_BINARY: Final = frozenset(
    {
        "Add", "And", "BitAnd", "BitOr", "BitXor", "Div", "Equal", "Greater", "GreaterOrEqual",
        "Less", "LessOrEqual", "Max", "Min", "Mod", "Mul", "Or", "Pow", "Sub", "Where", "Xor",
    }
)  # fmt: skip
_UNARY: Final = frozenset(
    {
        "Abs", "BitNot", "Cast", "Ceil", "Cos", "Erf", "Exp", "Floor", "IsNan", "Log", "Neg",
        "Not", "Relu", "Round", "Sigmoid", "Sign", "Sin", "Sqrt", "Tanh",
    }
)  # fmt: skip

Attributes: TypeAlias = Mapping[str, str | tuple[Size, ...]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A node before it has its number in the graph.

    Attributes:
        operator: Name of the primitive.
        attributes: In order of name.
        reads: Computed tensors by value, known ones by their place in the builder's list.
        type: What it computes.
    """

    operator: str
    attributes: tuple[tuple[str, str | tuple[Size, ...]], ...]
    reads: tuple[Computed | int, ...]
    type: TensorType


class Builder:
    """Collects the nodes of one graph."""

    def __init__(self, ranges: Mapping[str, tuple[int, int]]) -> None:
        """Begin without nodes.

        Args:
            ranges: Least and greatest value of each declared dim.
        """
        self.ranges = ranges
        self.drafts: list[Draft] = []
        self.known: list[Known] = []
        self._places: dict[tuple[object, ...], int] = {}
        self._shared: dict[Draft, Computed] = {}

    def emit(
        self,
        operator: str,
        *inputs: Value,
        dtype: CanonDtype | None = None,
        **attributes: str | int | tuple[Size, ...] | None,
    ) -> Value:
        """Compute a primitive of the inputs.

        Args:
            operator: Its name.
            inputs: What it reads.
            dtype: What it computes, where the inputs do not tell (Cast, Iota, Dot of integers).
            attributes: Words, or sizes; an integer stands for a tuple of one, None
                for none at all.

        Raises:
            Refusal: `canon.*` if the inputs do not fit.
        """
        values = {
            name: (value,) if isinstance(value, int) else value
            for name, value in sorted(attributes.items())
            if value is not None
        }
        pushed = self._push_down(operator, inputs, values, dtype)
        if pushed is not None:
            return pushed
        folded = self._fold(operator, inputs, values, dtype)
        if folded is not None:
            return folded
        reads = tuple(self.materialise(value) for value in inputs)
        kind = self._infer(operator, reads, values, dtype)
        if operator in ("Reshape", "Expand", "Cast") and kind == get_type(reads[0]):
            return reads[0]
        if operator == "Transpose" and values["perm"] == tuple(range(len(kind.shape))):
            return reads[0]
        if operator == "Reshape" and isinstance(reads[0], Computed):
            before = self.get_draft(reads[0])
            if before is not None and before.operator == "Reshape":
                origin = before.reads[0]
                if isinstance(origin, Computed):
                    return self.emit(operator, origin, shape=values["shape"])
        return self._add(operator, reads, values, kind)

    def get_draft(self, value: Value) -> Draft | None:
        """Get the node that computes a value; None for inputs and known tensors."""
        if not isinstance(value, Computed) or value.is_input:
            return None
        return self.drafts[value.number]

    def copy(self, value: Known | Computed) -> Computed:
        """Add a move that changes nothing: an entry of its own for what is one already."""
        kind = get_type(value)
        return self._add("Reshape", (value,), {"shape": kind.shape}, kind)

    def materialise(self, value: Value) -> Known | Computed:
        """Make a tensor of sizes; everything else is one already."""
        if not isinstance(value, Sizes):
            return value
        zero = (0,)
        cells: list[Value] = []
        for size in value.array.reshape(-1).tolist():
            if isinstance(size, int):
                cells.append(make_known("int64", [size]))
            else:
                cells.append(self.emit("Iota", dtype="int64", start=(size,), step=zero, shape=(1,)))
        joined = cells[0] if len(cells) == 1 else self.emit("Concat", *cells, axis=0)
        shaped = self.emit("Reshape", joined, shape=tuple(value.array.shape))
        assert not isinstance(shaped, Sizes)
        return shaped

    def _infer(
        self,
        operator: str,
        reads: tuple[Value, ...],
        attributes: Attributes,
        dtype: CanonDtype | None,
    ) -> TensorType:
        inputs = tuple(get_type(value) for value in reads)
        return get_newest(operator).infer(inputs, attributes, dtype)

    def _fold(
        self,
        operator: str,
        inputs: tuple[Value, ...],
        attributes: Attributes,
        dtype: CanonDtype | None,
    ) -> Value | None:
        fixed = tuple(value for value in inputs if not isinstance(value, Computed))
        if not inputs or len(fixed) != len(inputs):
            return None
        if any(isinstance(value, Sizes) for value in fixed):
            if operator == "Equal":
                return compare_sizes(*fixed)
            return fold_sizes(operator, fixed, attributes, dtype or "int64")
        known = tuple(value for value in fixed if isinstance(value, Known))
        return fold_known(
            operator, known, attributes, self._infer(operator, inputs, attributes, dtype)
        )

    def _push_down(
        self,
        operator: str,
        inputs: tuple[Value, ...],
        attributes: Attributes,
        dtype: CanonDtype | None,
    ) -> Value | None:
        """Swap a map and the transposition of what it reads, or join two transpositions."""
        if operator == "Transpose":
            draft = self.get_draft(inputs[0])
            if draft is None or draft.operator != "Transpose":
                return None
            first, second = _get_perm(draft), attributes["perm"]
            joined = tuple(first[int_of(axis)] for axis in second if not isinstance(axis, str))
            return self.emit("Transpose", self._get_read(draft, 0), perm=joined)
        if operator in _UNARY:
            draft = self.get_draft(inputs[0])
            if draft is None or draft.operator != "Transpose":
                return None
            mapped = self.emit(operator, self._get_read(draft, 0), dtype=dtype)
            return self.emit("Transpose", mapped, perm=_get_perm(draft))
        return self._push_binary(operator, inputs) if operator in _BINARY else None

    def _push_binary(self, operator: str, inputs: tuple[Value, ...]) -> Value | None:
        drafts = [self.get_draft(value) for value in inputs]
        perms = {
            _get_perm(draft)
            for draft in drafts
            if draft is not None and draft.operator == "Transpose"
        }
        if len(perms) != 1:
            return None
        perm = perms.pop()
        undone: list[Value] = []
        for value, draft in zip(inputs, drafts, strict=True):
            if draft is not None and draft.operator == "Transpose":
                undone.append(self._get_read(draft, 0))
            elif isinstance(value, Known) and value.array.ndim <= len(perm):
                undone.append(_untranspose(value, perm))
            else:
                return None
        return self.emit("Transpose", self.emit(operator, *undone), perm=perm)

    def _get_read(self, draft: Draft, place: int) -> Value:
        read = draft.reads[place]
        return read if isinstance(read, Computed) else self.known[read]

    def _add(
        self,
        operator: str,
        reads: tuple[Known | Computed, ...],
        attributes: Attributes,
        kind: TensorType,
    ) -> Computed:
        if len(self.drafts) >= NODES:
            raise Refusal("canon.too-many-nodes", f"a canonical graph has at most {NODES} nodes")
        draft = Draft(
            operator=operator,
            attributes=tuple(attributes.items()),
            reads=tuple(
                value if isinstance(value, Computed) else self.keep(value) for value in reads
            ),
            type=kind,
        )
        shared = self._shared.get(draft)
        if shared is None:
            shared = Computed(is_input=False, number=len(self.drafts), type=kind)
            self.drafts.append(draft)
            self._shared[draft] = shared
        return shared

    def keep(self, value: Known) -> int:
        """Give a known tensor its place; equal ones share it."""
        array = pack(value.array)
        key = (value.dtype, array.shape, blake3(array.tobytes()).digest())
        place = self._places.setdefault(key, len(self.known))
        if place == len(self.known):
            self.known.append(Known(value.dtype, array))
        return place


def int_of(size: Size) -> int:
    """Take a size that is known to be an integer."""
    assert isinstance(size, int), "an axis is an integer"
    return size


def _get_perm(draft: Draft) -> tuple[int, ...]:
    perm = dict(draft.attributes)["perm"]
    return tuple(int_of(axis) for axis in perm if not isinstance(axis, str))


def _untranspose(value: Known, perm: tuple[int, ...]) -> Known:
    array = value.array.reshape((1,) * (len(perm) - value.array.ndim) + value.array.shape)
    return Known(value.dtype, pack(array.transpose(np.argsort(perm))))
