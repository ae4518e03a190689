"""Judges what a model takes and gives: tensors of numbers or bools, of a known rank (`PUB-1`).

Must not know operators.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import Final

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.runtime.admission import bounds
from probatum.runtime.admission.reading import Message
from probatum.runtime.admission.reasons import Reasons, show_name

__all__ = ["judge_interface"]

_NUMERIC: Final = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13})
_OTHERS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "sequence_type": "a sequence",
        "map_type": "a map",
        "optional_type": "an optional value",
        "sparse_tensor_type": "a sparse tensor",
        "opaque_type": "an opaque value",
    }
)


def judge_interface(graph: Message, weights: AbstractSet[str], reasons: Reasons) -> None:
    """Judge inputs and outputs of the outermost graph.

    Args:
        graph: The outermost graph.
        weights: Names of its stored tensors; inputs of such a name have a default.
        reasons: Where reasons go.

    Reasons: `admission.unsupported-type`, `admission.bad-dims`, `admission.too-many-tensors`,
        `admission.bad-name`.
    """
    inputs = [each for each in graph.parts("input") if each.text("name") not in weights]
    for side, listed in (("inputs", inputs), ("outputs", graph.parts("output"))):
        if not 0 < len(listed) <= limits.TENSORS_PER_REQUEST:
            reasons.add(
                Refusal(
                    "admission.too-many-tensors",
                    f"{len(listed)} {side}; 1 to {limits.TENSORS_PER_REQUEST} are admitted",
                )
            )
        for each in listed:
            _judge_value(each, side == "inputs", reasons)


def _judge_value(value: Message, is_input: bool, reasons: Reasons) -> None:  # noqa: FBT001 - private
    name = show_name(value.text("name"))
    if not 0 < len(value.text("name")) <= limits.NAME_CHARS:
        reasons.add(
            Refusal("admission.bad-name", f"{name}: 1 to {limits.NAME_CHARS} characters name one")
        )
    kind = value.part("type")
    other = next((said for field, said in _OTHERS.items() if kind and kind.has(field)), None)
    tensor = kind.part("tensor_type") if kind else None
    if other is None and tensor is not None and tensor.number("elem_type") not in _NUMERIC:
        other = f"a tensor of data type {tensor.number('elem_type')}"
    if other is not None:
        reasons.add(
            Refusal(
                "admission.unsupported-type",
                f"{name} is {other}",
                hint="inputs and outputs are tensors of numbers or bools; "
                "skl2onnx: options={'zipmap': False} and numeric labels",
            )
        )
        return
    shape = tensor.part("shape") if tensor else None
    if is_input and shape is None:
        reasons.add(
            Refusal("admission.bad-dims", f"{name} does not say how many dimensions it has")
        )
    dims = [dim.number("dim_value") for dim in (shape.parts("dim") if shape else [])]
    # Exporters write -1 for a free dimension, and so does the engine take it.
    if len(dims) > limits.TENSOR_RANK or any(not -1 <= dim < bounds.DIM for dim in dims):
        reasons.add(Refusal("admission.bad-dims", f"{name} has the impossible shape {dims[:9]}"))
