"""Tensors on their way through an evaluation, and what is known of them.

bfloat16 has no type in numpy: it is held as uint16, its bits. Read `rounding` next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from probatum.canon.graph.types import DTYPES
from probatum.errors import Misuse

__all__ = [
    "CANONICAL_NAN",
    "Array",
    "Bits",
    "Doubles",
    "Value",
    "compute_finite",
    "compute_truth",
    "fill_nan",
    "get_bits",
    "get_numpy_dtype",
    "is_float",
    "widen",
]

Array: TypeAlias = NDArray[Any]
Doubles: TypeAlias = NDArray[np.float64]
Bits: TypeAlias = NDArray[Any]

CANONICAL_NAN: Final = {
    "float16": 0x7E00,
    "bfloat16": 0x7FC0,
    "float32": 0x7FC00000,
    "float64": 0x7FF8000000000000,
}
"""The one NaN that a computation gives, as bits."""

_UNSIGNED: Final = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
_NUMPY: Final = {name: np.dtype("u2" if name == "bfloat16" else name) for name in DTYPES}


@dataclass(frozen=True, slots=True)
class Value:
    """One tensor.

    Attributes:
        array: Its elements, C-contiguous.
        dtype: Their canonical type.
        finite: True only where every element is known to be finite; integers always are.
        key: Names a tensor that never changes, for what is derived from it and kept; else -1.
    """

    array: Array
    dtype: str
    finite: bool
    key: int = -1


def is_float(dtype: str) -> bool:
    """Tell whether elements are floating-point numbers."""
    return DTYPES[dtype].kind == "float"


def get_numpy_dtype(dtype: str) -> np.dtype[Any]:
    """Get the type that numpy holds elements as."""
    return _NUMPY[dtype]


def get_bits(array: Array) -> Bits:
    """See elements as unsigned integers of their width: the same memory."""
    return array.view(_UNSIGNED[array.dtype.itemsize])


def widen(array: Array, dtype: str, out: Doubles | None = None) -> Doubles:
    """Widen floating-point elements to float64, exactly.

    Args:
        array: Any shape.
        dtype: Its canonical type, a float.
        out: Where to; of the same shape.
    """
    if dtype == "bfloat16":
        array = (array.astype(np.uint32) << np.uint32(16)).view(np.float32)
    if out is None:
        return array.astype(np.float64)
    np.copyto(out, array)
    return out


def compute_finite(array: Array, dtype: str) -> bool:
    """Tell whether every element is finite."""
    if dtype == "bfloat16":
        return bool(((array & 0x7F80) != 0x7F80).all())
    return not is_float(dtype) or bool(np.isfinite(array).all())


def compute_truth(array: Array) -> Array:
    """Read bools: true is whatever is not 0, a byte of 2 too."""
    truth: Array = array.view(np.uint8) != 0
    return truth


def fill_nan(array: Array, dtype: str) -> None:
    """Replace every NaN by the canonical one, in place; needed after any float operation.

    Raises:
        Misuse: `canon.not-float`.
    """
    if not is_float(dtype):
        raise Misuse("canon.not-float", f"{dtype} has no NaN")
    mask = (array & 0x7FFF) > 0x7F80 if dtype == "bfloat16" else np.isnan(array)
    if mask.any():
        get_bits(array)[mask] = CANONICAL_NAN[dtype]
