"""Element types and tensor types of the canonical graph (`CANON-1`).

An element is its bits: an unsigned integer of the dtype's width, as its little-endian bytes read.
Must not know what is computed with them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta

from probatum.canon.graph.sizes import Size
from probatum.protocol import limits
from probatum.protocol.tensors import DtypeName

__all__ = ["DTYPES", "CanonDtype", "DtypeTraits", "Shape", "TensorType"]

CanonDtype: TypeAlias = DtypeName | Literal["bfloat16"]
"""What tensors inside a graph may hold; inputs and outputs are of `protocol.tensors`."""

Shape: TypeAlias = Annotated[tuple[Size, ...], Meta(max_length=limits.TENSOR_RANK)]


@dataclass(frozen=True, slots=True, kw_only=True)
class DtypeTraits:
    """What there is to know of an element type.

    Attributes:
        size_bytes: Bytes of an element.
        kind: ``bool``, ``int`` (two's complement), ``uint`` or ``float`` (IEEE 754 binary).
    """

    size_bytes: int
    kind: Literal["bool", "int", "uint", "float"]


DTYPES: Final[Mapping[str, DtypeTraits]] = MappingProxyType(
    {
        "bool": DtypeTraits(size_bytes=1, kind="bool"),
        **{
            f"{kind}{8 * size}": DtypeTraits(size_bytes=size, kind=kind)
            for kind in ("int", "uint")
            for size in (1, 2, 4, 8)
        },
        "float16": DtypeTraits(size_bytes=2, kind="float"),
        "bfloat16": DtypeTraits(size_bytes=2, kind="float"),
        "float32": DtypeTraits(size_bytes=4, kind="float"),
        "float64": DtypeTraits(size_bytes=8, kind="float"),
    }
)
"""Every element type by its name."""


@dataclass(frozen=True, slots=True)
class TensorType:
    """Element type and shape of a tensor; the shape is of integers once dims are bound."""

    dtype: CanonDtype
    shape: tuple[Size, ...]
