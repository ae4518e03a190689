"""Writes ONNX files by hand, so that a recipe makes the same bytes on every machine.

An ONNX file is a handful of nested protobuf messages; what the recipes need of them fits on this
page, and a model made here needs no library whose next version might write other bytes. Field
numbers are those of `onnx.proto`; the tests hold the result to ONNX's own checker. Little-endian
data only. Must not know models.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

__all__ = ["FLOAT", "INT64", "Graph", "Value", "read_metadata"]

FLOAT = 1
INT64 = 7
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_ATTRIBUTE_FLOAT, _ATTRIBUTE_INT, _ATTRIBUTE_INTS = 1, 2, 7
_TENSOR_FORMATS = {FLOAT: "f", INT64: "q"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """An input or output of the graph: a dimension is a size, or a name if it is free."""

    name: str
    kind: int
    shape: tuple[int | str, ...]


@dataclass(slots=True, kw_only=True)
class Graph:
    """A graph that grows node by node; names are given in the order of making."""

    name: str
    opset: int
    ir_version: int
    _nodes: list[bytes] = field(default_factory=list)
    _weights: list[bytes] = field(default_factory=list)

    def weigh(self, name: str, shape: Sequence[int], raw: bytes, kind: int = FLOAT) -> str:
        """Add a weight whose bytes are little-endian and row by row; return its name."""
        dims = b"".join(_number(1, dim) for dim in shape)
        self._weights.append(dims + _number(2, kind) + _text(8, name) + _message(9, raw))
        return name

    def hold(self, name: str, values: Sequence[float], kind: int = FLOAT, rank: int = 1) -> str:
        """Add a small constant, a scalar if `rank` is 0; return its name."""
        raw = struct.pack(f"<{len(values)}{_TENSOR_FORMATS[kind]}", *values)
        return self.weigh(name, (len(values),) if rank else (), raw, kind)

    def add(
        self,
        kind: str,
        inputs: Sequence[str],
        output: str = "",
        **attributes: float | Sequence[int],
    ) -> str:
        """Add a node with one output; return the output's name."""
        output = output or f"{kind.lower()}_{len(self._nodes)}"
        body = b"".join(_text(1, name) for name in inputs) + _text(2, output)
        body += _text(3, f"node_{len(self._nodes)}") + _text(4, kind)
        for name, value in sorted(attributes.items()):
            body += _message(5, _encode_attribute(name, value))
        self._nodes.append(body)
        return output

    def encode(
        self, inputs: Sequence[Value], outputs: Sequence[Value], *, producer: str, doc: str
    ) -> bytes:
        """Encode the file."""
        graph = b"".join(
            (
                *(_message(1, node) for node in self._nodes),
                _text(2, self.name),
                *(_message(5, weight) for weight in self._weights),
                *(_message(11, _encode_value(value)) for value in inputs),
                *(_message(12, _encode_value(value)) for value in outputs),
            )
        )
        head = _number(1, self.ir_version) + _text(2, producer) + _text(6, doc)
        return head + _message(7, graph) + _message(8, _number(2, self.opset))


def read_metadata(model: bytes) -> dict[str, str]:
    """Read the notes that an ONNX file carries beside its graph."""
    found = {}
    for number, value in _read_fields(model):
        if number == 14 and isinstance(value, bytes):
            pair = dict(_read_fields(value))
            key, text = pair.get(1, b""), pair.get(2, b"")
            if isinstance(key, bytes) and isinstance(text, bytes):
                found[key.decode()] = text.decode()
    return found


def _encode_attribute(name: str, value: float | Sequence[int]) -> bytes:
    head = _text(1, name)
    if isinstance(value, float):
        return head + _tag(2, _FIXED32) + struct.pack("<f", value) + _number(20, _ATTRIBUTE_FLOAT)
    if isinstance(value, int):
        return head + _number(3, value) + _number(20, _ATTRIBUTE_INT)
    return head + b"".join(_number(8, each) for each in value) + _number(20, _ATTRIBUTE_INTS)


def _encode_value(value: Value) -> bytes:
    dims = b"".join(
        _message(1, _text(2, dim) if isinstance(dim, str) else _number(1, dim))
        for dim in value.shape
    )
    tensor = _number(1, value.kind) + _message(2, dims)
    return _text(1, value.name) + _message(2, _message(1, tensor))


def _varint(value: int) -> bytes:
    value &= (1 << 64) - 1
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _tag(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _number(number: int, value: int) -> bytes:
    return _tag(number, _VARINT) + _varint(value)


def _message(number: int, body: bytes) -> bytes:
    return b"".join((_tag(number, _BYTES), _varint(len(body)), body))


def _text(number: int, text: str) -> bytes:
    return _message(number, text.encode())


def _read_fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    at = 0
    while at < len(data):
        tag, at = _read_varint(data, at)
        wire = tag & 7
        if wire == _VARINT:
            value, at = _read_varint(data, at)
            yield tag >> 3, value
            continue
        size = {_FIXED64: 8, _FIXED32: 4}.get(wire)
        if size is None:
            if wire != _BYTES:
                raise ValueError(f"no protobuf: wire type {wire}")
            size, at = _read_varint(data, at)
        if at + size > len(data):
            raise ValueError("no protobuf: it ends too soon")
        yield tag >> 3, data[at : at + size]
        at += size


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            break
        value |= (data[at] & 0x7F) << shift
        at += 1
        if data[at - 1] < 0x80:
            return value, at
    raise ValueError("no protobuf: a number does not end")
