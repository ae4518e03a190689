"""What a name of an ONNX graph stands for while it is expanded.

A value is known (its elements are), a vector of sizes (integers that depend on dims), or computed:
an input or a node. Must not know operators.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

from probatum.canon.graph.sizes import Expr, Size
from probatum.canon.graph.types import CanonDtype, TensorType
from probatum.errors import Refusal

__all__ = [
    "Array",
    "Computed",
    "Known",
    "Sizes",
    "Value",
    "get_dtype",
    "get_storage",
    "get_type",
    "list_sizes",
    "make_known",
    "make_sizes",
    "pack",
    "settle_sizes",
]

Array: TypeAlias = npt.NDArray[Any]

_STORED: Final = {"bfloat16": np.dtype("uint16")}


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """A tensor whose elements are known.

    Attributes:
        dtype: Its element type.
        array: Its elements; bfloat16 as their bits.
    """

    dtype: CanonDtype
    array: Array


@dataclass(frozen=True, slots=True, eq=False)
class Sizes:
    """An int64 tensor of sizes, at least one of which depends on dims: an array of objects."""

    array: Array


@dataclass(frozen=True, slots=True)
class Computed:
    """A tensor that each request brings or that a node computes.

    Attributes:
        is_input: Whether it is an input of the graph.
        number: Of the input, or of the builder's node.
        type: Its type.
    """

    is_input: bool
    number: int
    type: TensorType


Value: TypeAlias = Known | Sizes | Computed


def pack(array: Array) -> Array:
    """Lay an array out row-major; numpy's own word for it makes scalars into vectors."""
    return np.asarray(array, order="C")


def get_storage(dtype: CanonDtype) -> np.dtype[Any]:
    """Get the numpy dtype that holds a tensor's elements."""
    return _STORED.get(dtype) or np.dtype(dtype)


def get_dtype(value: Value) -> CanonDtype:
    """Get a value's element type."""
    match value:
        case Known(dtype=dtype):
            return dtype
        case Sizes():
            return "int64"
        case Computed(type=kind):
            return kind.dtype


def get_type(value: Value) -> TensorType:
    """Get a value's type."""
    if isinstance(value, Computed):
        return value.type
    return TensorType(get_dtype(value), tuple(value.array.shape))


def make_known(dtype: CanonDtype, data: Any) -> Known:
    """Make a known tensor of anything that numpy takes; its elements are given in the dtype."""
    return Known(dtype, pack(np.asarray(data, dtype=get_storage(dtype))))


def make_sizes(sizes: tuple[Size, ...]) -> Known | Sizes:
    """Make a vector of sizes: known if none depends on dims."""
    return settle_sizes(_make_objects(sizes, (len(sizes),)))


def settle_sizes(array: Array) -> Known | Sizes:
    """Make a tensor of an array of objects: known if no element depends on dims."""
    flat: list[Size] = array.reshape(-1).tolist()
    if any(isinstance(item, Expr) for item in flat):
        return Sizes(_make_objects(tuple(flat), array.shape))
    return make_known("int64", np.array(flat, dtype=np.int64).reshape(array.shape))


def list_sizes(value: Value, what: str) -> tuple[Size, ...]:
    """List the sizes that a rank 0 or 1 integer tensor holds.

    Raises:
        Refusal: `canon.not-static` if they depend on the request's data (`CANON-8`).
    """
    if isinstance(value, Computed) or get_dtype(value) not in ("int64", "int32"):
        raise Refusal(
            "canon.not-static",
            f"{what} depends on the request's data; shapes depend on declared dims alone",
        )
    items = value.array.reshape(-1).tolist()
    return tuple(item if isinstance(item, Expr) else int(item) for item in items)


def _make_objects(sizes: tuple[Size, ...], shape: tuple[int, ...]) -> Array:
    array = np.empty(len(sizes), dtype=object)
    for place, size in enumerate(sizes):
        array[place] = size
    return array.reshape(shape)
