"""Splits protobuf messages into their fields: the outer form, and nothing of what fields mean.

Both readers of ONNX files stand on this page: `onnxform`, which looks for references to the
outside, and `admission`, which judges the whole file. Groups (wire types 3 and 4) are refused;
no ONNX file has them. Must not know ONNX.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from probatum.errors import Refusal

__all__ = ["BYTES", "FIXED32", "FIXED64", "VARINT", "read_fields", "read_varint"]

VARINT: Final = 0
FIXED64: Final = 1
BYTES: Final = 2
FIXED32: Final = 5


def read_fields(data: memoryview) -> Iterator[tuple[int, int, int | memoryview]]:
    """Split a protobuf message into its fields.

    Returns:
        For each field its number, its wire type, and its value: a number for `VARINT`, else bytes.

    Raises:
        Refusal: `runtime.not-onnx`.
    """
    at = 0
    while at < len(data):
        key, at = read_varint(data, at)
        number, wire = key >> 3, key & 7
        if wire == VARINT:
            value, at = read_varint(data, at)
            yield number, wire, value
            continue
        if wire == BYTES:
            size, at = read_varint(data, at)
        elif wire in {FIXED64, FIXED32}:
            size = 8 if wire == FIXED64 else 4
        else:
            raise Refusal("runtime.not-onnx", "this is no ONNX file: not a protobuf message")
        if number == 0 or size > len(data) - at:
            raise Refusal("runtime.not-onnx", "this is no ONNX file: it ends too early")
        yield number, wire, data[at : at + size]
        at += size


def read_varint(data: memoryview, at: int) -> tuple[int, int]:
    """Read a number and where it ends. Raises Refusal `runtime.not-onnx`."""
    number = 0
    for place in range(10):
        if at + place >= len(data):
            break
        byte = data[at + place]
        number |= (byte & 127) << (7 * place)
        if byte < 128:
            # Readers keep 64 bits of a number, so that is what it is here too.
            return number & ((1 << 64) - 1), at + place + 1
    raise Refusal("runtime.not-onnx", "this is no ONNX file: a number does not end")
