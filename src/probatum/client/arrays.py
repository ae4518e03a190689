"""Tensors as numpy arrays and back, without ever changing a value in silence (`RECEIPT-1`).

Must not know requests.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from probatum.errors import Refusal
from probatum.protocol.tensors import DTYPES, DtypeName, Tensor, check_tensor

__all__ = ["to_array", "to_tensor", "to_tensors"]


def to_array(tensor: Tensor) -> np.ndarray[Any, np.dtype[Any]]:
    """Make a read-only array over a tensor's bytes.

    Raises:
        Refusal: `tensor.*` for bytes that are none of its dtype and shape.
    """
    check_tensor(tensor)
    dtype = np.dtype(tensor.dtype).newbyteorder("<")
    return np.frombuffer(tensor.data, dtype=dtype).reshape(tensor.shape)


def to_tensor(name: str, value: Any, dtype: str | None = None) -> Tensor:
    """Make a tensor of an array, a numpy scalar, or (with a dtype) of numbers and nested lists.

    Args:
        name: The model's name for the input.
        value: What to send.
        dtype: For lists: the type that they are to have. For arrays: the type they must have.

    Raises:
        Refusal: `client.no-dtype` for a list without one; `client.bad-input` for what is no array
            of numbers, or would change its value; `tensor.*`.
    """
    if isinstance(value, Tensor):
        check_tensor(value)
        return value
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        if dtype is not None and array.dtype.name != dtype:
            raise Refusal("client.bad-input", f"{name!r} is {array.dtype.name}, not {dtype}")
    else:
        array = _from_list(name, value, dtype)
    dtype_name = _get_name(name, array)
    data = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
    tensor = Tensor(name=name, dtype=dtype_name, shape=array.shape, data=data)
    check_tensor(tensor)
    return tensor


def _get_name(name: str, array: np.ndarray[Any, np.dtype[Any]]) -> DtypeName:
    if array.dtype.name not in DTYPES:
        raise Refusal(
            "client.bad-input",
            f"{name!r} has the dtype {array.dtype.name}, which no tensor has",
            hint=f"one of {', '.join(DTYPES)}",
        )
    return cast("DtypeName", array.dtype.name)


def _from_list(name: str, value: Any, dtype: str | None) -> np.ndarray[Any, np.dtype[Any]]:
    if dtype is None:
        raise Refusal(
            "client.no-dtype",
            f"{name!r} is a plain {type(value).__name__}, which does not say its dtype",
            hint="give a numpy array, or dtypes={name: 'float32', …}",
        )
    if dtype not in DTYPES:
        raise Refusal("client.bad-input", f"there is no dtype {dtype!r}")
    try:
        found = np.asarray(value)
    except (ValueError, OverflowError) as error:
        raise Refusal("client.bad-input", f"{name!r} is no array of numbers: {error}") from None
    kind, wanted = found.dtype.kind, np.dtype(dtype)
    if found.size == 0:
        return found.astype(wanted)
    if wanted.kind == "b" or kind == "b":
        good = wanted.kind == kind
    elif wanted.kind == "f":
        good = kind in "iuf"
    else:
        limits = np.iinfo(wanted)
        good = kind in "iu" and limits.min <= found.min() and found.max() <= limits.max
    if not good:
        raise Refusal("client.bad-input", f"{name!r} holds values that are no {dtype}")
    return found.astype(wanted)


def to_tensors(
    inputs: Mapping[str, Any], dtypes: Mapping[str, str] | None = None
) -> tuple[Tensor, ...]:
    """Make the tensors of a request, in the order of the mapping; raises as `to_tensor`."""
    chosen = dtypes or {}
    return tuple(to_tensor(name, value, chosen.get(name)) for name, value in inputs.items())
