"""Heads of safetensors files: what lies where in a file of weights.

Eight bytes of length, that many bytes of JSON, then the elements, little-endian, without gaps. A
head is a stranger's: it is bounded before it is parsed, and what it names must cover the rest of
the file exactly, so that no two tensors share a byte and none lies outside. Must not know disks.
Source: the format's own description (huggingface/safetensors).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import prod
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from probatum.errors import Refusal
from probatum.protocol import limits

__all__ = ["HEAD_BYTES", "PREFIX_BYTES", "StoredTensor", "decode_head", "encode_head", "read_size"]

PREFIX_BYTES: Final = 8
HEAD_BYTES: Final = 16 * limits.MIB
"""A head at most: some ten thousand tensors."""
_TENSORS: Final = 65_536
_ALIGNMENT: Final = 8
_ELEMENT_BYTES: Final = {
    "BOOL": 1, "U8": 1, "I8": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4,
    "F32": 4, "U64": 8, "I64": 8, "F64": 8,
}  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTensor:
    """One tensor of a file.

    Attributes:
        dtype: As the format says it: ``F32``, ``BF16`` …
        begin: Of its first byte in the file.
        size: In bytes.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    begin: int
    size: int


class _Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    dtype: str
    shape: Annotated[
        tuple[Annotated[int, Meta(ge=0, lt=1 << 40)], ...], Meta(max_length=limits.TENSOR_RANK)
    ]
    data_offsets: tuple[Annotated[int, Meta(ge=0)], Annotated[int, Meta(ge=0)]]


def read_size(prefix: bytes) -> int:
    """Read how many bytes of JSON follow the first eight bytes.

    Raises:
        Refusal: `safetensors.bad-head`.
    """
    size = int.from_bytes(prefix, "little")
    if len(prefix) != PREFIX_BYTES or not 2 <= size <= HEAD_BYTES:
        raise _bad(f"its head has 2 to {HEAD_BYTES} bytes")
    return size


def decode_head(head: bytes, file_bytes: int) -> tuple[StoredTensor, ...]:
    """Decode a head, the JSON alone.

    Args:
        head: As many bytes as `read_size` says.
        file_bytes: Of the whole file.

    Returns:
        The tensors in the order of their bytes.

    Raises:
        Refusal: `safetensors.bad-head`.
    """
    try:
        found: dict[str, Any] = msgspec.json.decode(head, type=dict[str, msgspec.Raw])
        found.pop("__metadata__", None)
        if len(found) > _TENSORS:
            raise _bad(f"it names more than {_TENSORS} tensors")
        entries = {name: msgspec.json.decode(raw, type=_Entry) for name, raw in found.items()}
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _bad(str(error)) from None
    start = PREFIX_BYTES + len(head)
    tensors = sorted(
        (_read_entry(name, entry, start) for name, entry in entries.items()),
        key=lambda tensor: (tensor.begin, tensor.size, tensor.name),
    )
    ends = [start, *(tensor.begin + tensor.size for tensor in tensors)]
    begins = [*(tensor.begin for tensor in tensors), file_bytes]
    if ends != begins:
        raise _bad("its tensors leave a gap, overlap, or end where the file does not")
    return tuple(tensors)


def _read_entry(name: str, entry: _Entry, start: int) -> StoredTensor:
    begin, end = entry.data_offsets
    element_bytes = _ELEMENT_BYTES.get(entry.dtype)
    if element_bytes is None or len(name) > limits.NAME_CHARS:
        raise _bad(f"{name[:40]!r} has a dtype or a name that is not taken")
    if end - begin != prod(entry.shape) * element_bytes:
        raise _bad(f"{name[:40]!r} has not the bytes of its shape")
    return StoredTensor(
        name=name, dtype=entry.dtype, shape=entry.shape, begin=start + begin, size=end - begin
    )


def encode_head(tensors: Sequence[tuple[str, str, tuple[int, ...]]]) -> bytes:
    """Encode prefix and head of a file that holds tensors in this order, without gaps.

    Args:
        tensors: Name, dtype and shape of each.
    """
    sizes = [prod(shape) * _ELEMENT_BYTES[dtype] for _, dtype, shape in tensors]
    ends = [0]
    for size in sizes:
        ends.append(ends[-1] + size)
    entries = {
        name: {"dtype": dtype, "shape": shape, "data_offsets": span}
        for (name, dtype, shape), span in zip(tensors, pairwise(ends), strict=True)
    }
    head = msgspec.json.encode(entries)
    head += b" " * (-len(head) % _ALIGNMENT)
    return len(head).to_bytes(PREFIX_BYTES, "little") + head


def _bad(why: str) -> Refusal:
    return Refusal("safetensors.bad-head", f"no safetensors file: {why[:300]}")
