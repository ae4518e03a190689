"""Tensor data as JSON arrays of numbers: text to bytes and back, in bounded memory.

`RECEIPT-1`: a JSON number is read as binary64, then rounded to the declared type; the bytes are
the input. Integers are taken exactly or not at all. The text is checked against the shape before
one number is built, and numbers are built a slice at a time, so that a request costs memory in
proportion to its bytes. Knows no array library. Read next: `oip`.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from probatum.errors import Refusal
from probatum.protocol.tensors import DTYPES, Tensor

__all__ = ["decode_numbers", "encode_numbers"]

_SLICE_CHARS: Final = 1 << 18
_SLICE_ELEMENTS: Final = 1 << 15
_SPACE: Final = b" \t\r\n"
_NUMBER: Final = b"0123456789+-.eE"
_CODES: Final = {
    "bool": "B",
    "uint8": "B",
    "uint16": "H",
    "uint32": "I",
    "uint64": "Q",
    "int8": "b",
    "int16": "h",
    "int32": "i",
    "int64": "q",
    "float16": "e",
    "float32": "f",
    "float64": "d",
}
"""The codes of `struct`, which rounds to nearest-even and refuses what is out of range."""

_read_floats: Final = msgspec.json.Decoder(list[float]).decode
_read_ints: Final = msgspec.json.Decoder(list[int]).decode
_read_bools: Final = msgspec.json.Decoder(list[bool]).decode
_write: Final = msgspec.json.Encoder().encode


def decode_numbers(name: str, dtype: str, shape: tuple[int, ...], text: bytes) -> bytes:
    """Read a JSON array of numbers as a tensor's row-major little-endian bytes.

    Args:
        name: The tensor's name, for messages.
        dtype: A key of `DTYPES`.
        shape: Dimensions; their product has been held to the limit by the caller.
        text: Well-formed JSON (the caller's decoder has checked that), nested as the shape says
            or flat.

    Raises:
        Refusal: `oip.wrong-count`, `oip.bad-data`, `oip.out-of-range`.
    """
    flat = _flatten(name, dtype, shape, text)
    if dtype == "bool":
        read: Callable[[bytes], Sequence[Any]] = _read_bools
    else:
        read = _read_floats if dtype.startswith("float") else _read_ints
    packed = bytearray()
    for part in _slices(flat):
        try:
            values = read(b"[%b]" % part)
        except msgspec.MsgspecError as error:
            if "out of range" in str(error):
                raise _out_of_range(name, dtype) from None
            raise Refusal(
                "oip.bad-data",
                f"{name!r} holds something that is no {dtype}",
                hint="true and false for BOOL, whole numbers without point for integers",
            ) from None
        packed += _pack(name, dtype, values)
    # One element and none have one skeleton, and a comma may stand at the end of a slice.
    found = len(packed) // DTYPES[dtype].size_bytes
    if found != math.prod(shape):
        raise _wrong_count(name, shape, found)
    return bytes(packed)


def encode_numbers(tensor: Tensor) -> bytes:
    """Write a tensor's elements as a flat JSON array.

    A float32 is written as the shortest decimal of its binary64 value, so reading it as binary64
    and rounding gives the same bits (`RECEIPT-1`).

    Args:
        tensor: A tensor that `check_tensor` has passed.

    Raises:
        Refusal: `oip.not-finite`: JSON has no word for NaN and infinities.
    """
    size = DTYPES[tensor.dtype].size_bytes * _SLICE_ELEMENTS
    view = memoryview(tensor.data)
    parts = [
        _write(_unpack(tensor, view[at : at + size]))[1:-1] for at in range(0, len(view), size)
    ]
    return b"[%b]" % b",".join(parts)


def _flatten(name: str, dtype: str, shape: tuple[int, ...], text: bytes) -> bytes:
    """Check brackets and commas against the shape; return the numbers with commas between.

    What is left of well-formed JSON without its spaces and numbers is its skeleton. A shape has
    two skeletons, nested and flat; strings, objects, nulls and ragged rows have others.
    """
    skeleton = text.translate(None, _SPACE + (b"truefals" if dtype == "bool" else _NUMBER))
    if skeleton.translate(None, b"[],"):
        raise Refusal(
            "oip.bad-data",
            f"{name!r} holds something that is no {dtype}",
            hint="an array of numbers, or of true and false for BOOL; never strings or null",
        )
    count = skeleton.count(b",") + 1
    # A shape may be huge where the text is short, and its brackets where the text is flat: what
    # is built for comparison is no longer than what was sent.
    if len(skeleton) != _nested_length(shape) or skeleton != _nested_skeleton(shape):
        flat = b"[]" if 0 in shape else b"[%b]" % (b"," * (count - 1))
        if skeleton != flat or (count != math.prod(shape) and flat != b"[]"):
            raise _wrong_count(name, shape, count)
    numbers = text.translate(None, _SPACE + b"[]")
    if 0 not in shape:
        return numbers
    if numbers.strip(b","):
        raise _wrong_count(name, shape, count)
    return b""


def _outer(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Dimensions that a nested array shows: behind one of size 0 there is nothing."""
    return shape[: shape.index(0)] if 0 in shape else shape


def _nested_skeleton(shape: tuple[int, ...]) -> bytes:
    inner = b"[]" if 0 in shape else b""
    for dim in reversed(_outer(shape)):
        inner = b"[%b]" % b",".join([inner] * dim)
    return inner


def _nested_length(shape: tuple[int, ...]) -> int:
    length = 2 if 0 in shape else 0
    for dim in reversed(_outer(shape)):
        length = 2 + dim * (length + 1) - 1
    return length


def _slices(flat: bytes) -> Iterator[bytes]:
    at = 0
    while at < len(flat):
        end = flat.find(b",", at + _SLICE_CHARS)
        end = len(flat) if end < 0 else end
        yield flat[at:end]
        at = end + 1


def _pack(name: str, dtype: str, values: Sequence[Any]) -> bytes:
    try:
        return struct.pack(f"<{len(values)}{_CODES[dtype]}", *values)
    except (OverflowError, struct.error):
        raise _out_of_range(name, dtype) from None


def _unpack(tensor: Tensor, data: memoryview) -> list[Any]:
    values: list[Any] = list(
        struct.unpack(
            f"<{len(data) // DTYPES[tensor.dtype].size_bytes}{_CODES[tensor.dtype]}", data
        )
    )
    if tensor.dtype == "bool":
        return [value == 1 for value in values]
    if tensor.dtype.startswith("float") and not all(map(math.isfinite, values)):
        raise Refusal(
            "oip.not-finite",
            f"{tensor.name!r} holds NaN or an infinity, which JSON cannot say",
            hint="ask in a binary form, or ask the model for finite outputs",
        )
    return values


def _out_of_range(name: str, dtype: str) -> Refusal:
    return Refusal("oip.out-of-range", f"{name!r} holds a number that is too large for {dtype}")


def _wrong_count(name: str, shape: tuple[int, ...], count: int) -> Refusal:
    return Refusal(
        "oip.wrong-count",
        f"{name!r} does not fill the shape {list(shape)}: it holds about {count} elements",
        hint="data is one flat array, or arrays nested as the shape says",
    )
