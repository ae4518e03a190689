"""Comparisons, logic, choices and casts: results that no rounding can change, or one does.

NaN compares false, the zeros are equal. A cast rounds once, saturates integers, and keeps one NaN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from probatum.canon.evaluate.rounding import round_to
from probatum.canon.evaluate.values import (
    Array,
    Value,
    compute_finite,
    compute_truth,
    fill_nan,
    is_float,
    widen,
)
from probatum.canon.evaluate.workspace import Workspace
from probatum.canon.graph.binding import BoundNode

__all__ = ["compute_cast", "compute_comparison", "compute_is_nan"]

COMPARISONS: Final[Mapping[str, Callable[..., Any]]] = {
    "Equal": np.equal,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "And": np.logical_and,
    "Or": np.logical_or,
    "Xor": np.logical_xor,
    "Not": np.logical_not,
}


def compute_comparison(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute comparisons, and logic of bool."""
    out = ws.take(node.output.shape, "bool")
    COMPARISONS[node.operator](*map(_get_comparable, inputs), out=out)
    return Value(out, "bool", finite=True)


def _get_comparable(value: Value) -> Array:
    if value.dtype == "bool":
        return compute_truth(value.array)
    return widen(value.array, value.dtype) if value.dtype == "bfloat16" else value.array


def compute_is_nan(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute IsNan."""
    (value,) = inputs
    out = ws.take(node.output.shape, "bool")
    if value.dtype == "bfloat16":
        np.greater(value.array & 0x7FFF, 0x7F80, out=out)
    else:
        np.isnan(value.array, out=out)
    return Value(out, "bool", finite=True)


def compute_cast(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute Cast."""
    (value,) = inputs
    dtype = node.output.dtype
    out = ws.take(node.output.shape, dtype)
    if value.dtype == "bool":
        value = Value(compute_truth(value.array), "bool", finite=True)
    if value.dtype == dtype:
        np.copyto(out, value.array)
        if is_float(dtype):
            fill_nan(out, dtype)
        return Value(out, dtype, finite=value.finite)
    if dtype == "bool":
        np.not_equal(_get_comparable(value), 0, out=out)
    elif is_float(dtype):
        _cast_to_float(value, dtype, out)
        # No integer is beyond float32 or bfloat16.
        small = not is_float(value.dtype) and dtype != "float16"
        return Value(out, dtype, finite=small or compute_finite(out, dtype))
    elif is_float(value.dtype):
        _saturate(widen(value.array, value.dtype), out)
    else:
        np.copyto(out, value.array, casting="unsafe")
    return Value(out, dtype, finite=True)


def _cast_to_float(value: Value, dtype: str, out: Array) -> None:
    if is_float(value.dtype):
        round_to(dtype, widen(value.array, value.dtype), out)
        fill_nan(out, dtype)
    elif dtype in {"float32", "float64"}:
        np.copyto(out, value.array, casting="unsafe")  # one rounding, by the processor
    else:
        round_to(dtype, _round_to_odd(value.array), out)


def _round_to_odd(array: Array) -> Array:
    """Turn integers into float64; of more than 53 bits the last is set if any was cut.

    What is rounded from that to 11 or fewer bits is as if nothing had been cut.
    """
    if array.dtype.itemsize < 8:
        return array.astype(np.float64)
    large = array > (1 << 53)
    if array.dtype.kind == "i":
        large |= array < -(1 << 53)
    sticky = ((array & 0x7FF) != 0).astype(array.dtype) << array.dtype.type(11)
    cut = (array & ~array.dtype.type(0x7FF)) | sticky
    return np.where(large, cut, array).astype(np.float64)


def _saturate(doubles: Array, out: Array) -> None:
    """Truncate toward zero into an integer type; NaN becomes 0."""
    limits = np.iinfo(out.dtype)
    whole = np.asarray(np.trunc(doubles))
    below, above = whole <= float(limits.min), whole >= float(limits.max)
    # float(max) may be max + 1: both ends are set by comparison, never by conversion.
    whole[below | above | np.isnan(whole)] = 0.0
    np.copyto(out, whole, casting="unsafe")
    out[below] = limits.min
    out[above] = limits.max
