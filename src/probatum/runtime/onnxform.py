"""Looks through an ONNX file's outer form before any engine reads it: it must stand alone.

An ONNX file may say that a weight lies elsewhere, in a file beside it or at an address in memory.
Whoever loads such a file reads what its author chose. Nothing of the kind is taken, wherever in
the file it stands. This walks the protobuf fields that can lead to a tensor and judges no
operator: that is admission (`PUB-1`). Field numbers are those of `onnx.proto` (ONNX 1.x).
"""

from __future__ import annotations

from typing import Final

from probatum.errors import Refusal
from probatum.runtime.wire import read_fields

__all__ = ["check_self_contained"]

_MAX_DEPTH: Final = 64
_CHILDREN: Final[dict[str, dict[int, str]]] = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "function": {7: "node", 11: "attribute"},
    "node": {5: "attribute"},
    "attribute": {
        5: "tensor",
        6: "graph",
        10: "tensor",
        11: "graph",
        22: "sparse",
        23: "sparse",
    },
    "sparse": {1: "tensor", 2: "tensor"},
}
"""Which fields of which message can lead to a tensor, and through what."""
_EXTERNAL_DATA: Final = 13
_DATA_LOCATION: Final = 14


def check_self_contained(model: bytes) -> None:
    """Check that an ONNX file has the outer form of one and refers to nothing outside itself.

    Raises:
        Refusal: `runtime.not-onnx`, `runtime.external-data`.
    """
    if not any(number == 7 for number, _, _ in read_fields(memoryview(model))):
        raise Refusal("runtime.not-onnx", "this is no ONNX file: it has no graph")
    _check(memoryview(model), "model", 0)


def _check(data: memoryview, kind: str, depth: int) -> None:
    if depth > _MAX_DEPTH:
        raise Refusal("runtime.not-onnx", f"graphs nested deeper than {_MAX_DEPTH} messages")
    children = _CHILDREN.get(kind, {})
    for number, _, value in read_fields(data):
        if kind == "tensor":
            if number == _EXTERNAL_DATA or (number == _DATA_LOCATION and value != 0):
                raise Refusal(
                    "runtime.external-data",
                    "a weight of this ONNX file lies outside it",
                    hint="save the model with all weights inside one file",
                )
        elif number in children:
            if isinstance(value, int):
                raise Refusal("runtime.not-onnx", f"field {number} of a {kind} is no message")
            _check(value, children[number], depth + 1)
