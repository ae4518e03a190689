"""Judges one stored tensor: what it says of its size must be what it holds (`PUB-1`).

A reader that believes a stated size allocates it; a reader that does not looks past the end of
what is there. So neither may differ. Must not know where the tensor stands.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from probatum.errors import Refusal
from probatum.runtime.admission import bounds
from probatum.runtime.admission.reading import Message
from probatum.runtime.admission.reasons import Reasons, show_name

__all__ = ["judge_sparse", "judge_tensor", "read_head"]

_FLOAT: Final = 1
_STRING: Final = 8
_TYPES: Final[Mapping[int, tuple[int, str, int]]] = MappingProxyType(
    {
        1: (32, "float_data", 1),
        2: (8, "int32_data", 1),
        3: (8, "int32_data", 1),
        4: (16, "int32_data", 1),
        5: (16, "int32_data", 1),
        6: (32, "int32_data", 1),
        7: (64, "int64_data", 1),
        9: (8, "int32_data", 1),
        10: (16, "int32_data", 1),
        11: (64, "double_data", 1),
        12: (32, "uint64_data", 1),
        13: (64, "uint64_data", 1),
        14: (64, "float_data", 2),
        15: (128, "double_data", 2),
        16: (16, "int32_data", 1),
        17: (8, "int32_data", 1),
        18: (8, "int32_data", 1),
        19: (8, "int32_data", 1),
        20: (8, "int32_data", 1),
        # Elements of four and two bits share bytes, and an entry of int32_data is one such byte.
        21: (4, "int32_data", 1),
        22: (4, "int32_data", 1),
        23: (4, "int32_data", 1),
        24: (8, "int32_data", 1),
        25: (2, "int32_data", 1),
        26: (2, "int32_data", 1),
    }
)
"""Bits of an element, where its values stand if not raw, and how many values one takes."""
_DATA: Final = ("float_data", "int32_data", "int64_data", "double_data", "uint64_data")


def judge_tensor(tensor: Message, reasons: Reasons) -> None:
    """Judge a tensor.

    Reasons: `runtime.external-data`, `admission.bad-dims`, `admission.wrong-size`,
        `admission.unsupported-type`, `admission.odd-tensor`.
    """
    name = show_name(tensor.text("name"))
    if tensor.number("data_location") != 0 or tensor.parts("external_data"):
        paths = [e.text("value") for e in tensor.parts("external_data")[:4]]
        shown = "".join(f", {show_name(path)}" for path in paths if path)
        reasons.add(
            Refusal(
                "runtime.external-data",
                f"the values of {name} lie outside the file{shown}",
                hint="save the model with all weights inside one file",
            )
        )
        return
    if tensor.has("segment"):
        reasons.add(Refusal("admission.odd-tensor", f"{name} is a segment of a tensor"))
        return
    count = _count_elements(tensor.numbers("dims"))
    if count is None:
        shape = tensor.numbers("dims")[: bounds.RANK + 1]
        reasons.add(Refusal("admission.bad-dims", f"{name} has the impossible shape {shape}"))
        return
    _judge_data(tensor, name, count, reasons)


def judge_sparse(reasons: Reasons) -> None:
    """Refuse a sparse tensor: its dense size is whatever its author writes.

    Reasons: `admission.sparse-tensor`.
    """
    reasons.add(
        Refusal(
            "admission.sparse-tensor",
            "a weight is stored as a sparse tensor",
            hint="store it dense: the size of a sparse one is what its author says",
        )
    )


def read_head(tensor: Message) -> tuple[float, ...]:
    """Read the first values of a float32 tensor; none of any other type."""
    if tensor.number("data_type") != _FLOAT:
        return ()
    raw = tensor.blobs("raw_data")
    head = bytes(raw[0][:128]) if raw else tensor.bulk("float_data").head
    return struct.unpack(f"<{len(head) // 4}f", head[: len(head) // 4 * 4])


def _count_elements(dims: list[int]) -> int | None:
    if len(dims) > bounds.RANK or any(not 0 <= dim < bounds.DIM for dim in dims):
        return None
    count = math.prod(dims)
    # An empty tensor is fine; one whose other dims overflow without the zero is a trap.
    return count if math.prod(dim or 1 for dim in dims) < bounds.DIM else None


def _judge_data(tensor: Message, name: str, count: int, reasons: Reasons) -> None:
    data_type = tensor.number("data_type")
    stored = [field for field in (*_DATA, "string_data", "raw_data") if tensor.has(field)]
    if data_type == _STRING:
        if len(tensor.blobs("string_data")) != count or stored not in ([], ["string_data"]):
            reasons.add(
                Refusal("admission.wrong-size", f"{name} does not hold the {count} strings it says")
            )
        return
    if data_type not in _TYPES:
        reasons.add(Refusal("admission.unsupported-type", f"{name} has data type {data_type}"))
        return
    bits, field, values = _TYPES[data_type]
    if stored == ["raw_data"]:
        have, want = len(tensor.blobs("raw_data")[0]), -(-count * bits // 8)
        unit = "bytes"
    elif stored in ([], [field]):
        have = tensor.bulk(field).count
        want, unit = count * values if bits >= 8 else -(-count * bits // 8), "values"
    else:
        reasons.add(Refusal("admission.odd-tensor", f"{name} holds {' and '.join(stored)} at once"))
        return
    if have != want:
        reasons.add(
            Refusal("admission.wrong-size", f"{name} says that it has {want} {unit} and has {have}")
        )
