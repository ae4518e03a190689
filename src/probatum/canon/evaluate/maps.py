"""Element by element: arithmetic, minima, roundings, functions (`CANON-1`).

float32 and float64 + - * / sqrt are IEEE's, rounded once, as the processor does them; narrower
floats go through float64, whose 53 bits are more than twice theirs and 2 (Figueroa 1995).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from probatum.canon.evaluate.rounding import round_to
from probatum.canon.evaluate.univariate.applying import FUNCTIONS, apply_power, apply_univariate
from probatum.canon.evaluate.values import (
    Array,
    Value,
    compute_finite,
    fill_nan,
    get_bits,
    is_float,
    widen,
)
from probatum.canon.evaluate.workspace import Workspace
from probatum.canon.graph.binding import BoundNode
from probatum.canon.graph.types import DTYPES

__all__ = ["compute_arithmetic", "compute_function", "compute_power", "compute_unary"]

Ufunc = Callable[..., Any]

NARROW: Final = ("float16", "bfloat16")


def _finish(
    out: Array, dtype: str, inputs: tuple[Value, ...], ws: Workspace, *, exact: bool = False
) -> Value:
    """Canonicalise NaN where one can be: where an input may hold one, or a flag was raised.

    Args:
        out: What was computed.
        dtype: Its type.
        inputs: From what.
        ws: Holds the flags.
        exact: Whether the operation never makes what is not finite from what is.
    """
    raised = ws.flags.take()
    if not is_float(dtype) or (all(one.finite for one in inputs) and (exact or not raised)):
        return Value(out, dtype, finite=True)
    fill_nan(out, dtype)
    return Value(out, dtype, finite=compute_finite(out, dtype))


def compute_arithmetic(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute Add, Sub, Mul, Div, Min, Max, Mod."""
    dtype = node.output.dtype
    out = ws.take(node.output.shape, dtype)
    one, two = (value.array for value in inputs)
    ws.flags.take()
    if not is_float(dtype):
        INTEGER[node.operator](one, two, out=out)
        return Value(out, dtype, finite=True)
    if dtype in NARROW:
        wide = FLOAT[node.operator](widen(one, dtype), widen(two, dtype), out=None)
        round_to(dtype, wide, out)
        # Overflow may happen in the narrowing, bfloat16's without a flag.
        fill_nan(out, dtype)
        return Value(out, dtype, finite=compute_finite(out, dtype))
    FLOAT[node.operator](one, two, out=out)
    return _finish(out, dtype, inputs, ws, exact=node.operator in {"Min", "Max"})


def _max(one: Array, two: Array, out: Array | None) -> Array:
    """Max of floats: NaN wins, +0 is above -0."""
    found: Array = np.asarray(np.maximum(one, two, out=out))
    zeros = (one == 0) & (two == 0)
    if zeros.any():
        np.add(one, two, out=found, where=zeros)
    return found


def _min(one: Array, two: Array, out: Array | None) -> Array:
    """Min of floats: NaN wins, -0 is below +0."""
    found: Array = np.asarray(np.minimum(one, two, out=out))
    zeros = (one == 0) & (two == 0)
    if zeros.any():
        np.negative(-one + -two, out=found, where=zeros)
    return found


def _divide_integers(one: Array, two: Array, out: Array) -> None:
    """Divide toward zero; by 0 gives 0, the least by -1 wraps."""
    np.floor_divide(one, two, out=out)
    if out.dtype.kind == "i":
        rest = np.remainder(one, two)
        out += ((rest != 0) & ((one < 0) != (two < 0))).astype(out.dtype)
    np.copyto(out, 0, where=two == 0)


def _mod_integers(one: Array, two: Array, out: Array) -> None:
    """Take the remainder that has the divisor's sign; of 0 it is 0."""
    np.remainder(one, two, out=out)
    np.copyto(out, 0, where=two == 0)


FLOAT: Final[Mapping[str, Ufunc]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Div": np.divide,
    "Max": _max,
    "Min": _min,
}
INTEGER: Final[Mapping[str, Ufunc]] = {
    "Add": np.add,
    "Sub": np.subtract,
    "Mul": np.multiply,
    "Max": np.maximum,
    "Min": np.minimum,
    "Div": _divide_integers,
    "Mod": _mod_integers,
}


def compute_unary(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute Neg, Abs, Sign, Floor, Ceil, Round, Relu, Sqrt."""
    (value,) = inputs
    dtype = value.dtype
    out = ws.take(node.output.shape, dtype)
    ws.flags.take()
    if not is_float(dtype):
        if node.operator in {"Floor", "Ceil", "Round"} or (
            DTYPES[dtype].kind != "int" and node.operator in {"Abs", "Relu"}
        ):
            np.copyto(out, value.array)
        else:
            UNARY[node.operator](value.array, out=out)
        return Value(out, dtype, finite=True)
    if node.operator in {"Neg", "Abs"}:  # signs are bits
        sign = out.dtype.type(0) if dtype == "bfloat16" else -np.zeros((), out.dtype)
        mask = 0x8000 if dtype == "bfloat16" else int(get_bits(np.array([sign]))[0])
        bits = get_bits(value.array)
        change = np.bitwise_xor if node.operator == "Neg" else np.bitwise_and
        operand = mask if node.operator == "Neg" else mask - 1
        change(bits, bits.dtype.type(operand), out=get_bits(out))
    elif dtype == "bfloat16":
        round_to(dtype, UNARY[node.operator](widen(value.array, dtype), out=None), out)
    else:
        UNARY[node.operator](value.array, out=out)
    return _finish(out, dtype, inputs, ws)


def _relu(x: Array, out: Array | None) -> Array:
    """Make what is below zero +0; -0 and NaN stay."""
    found = np.empty_like(x) if out is None else out
    # A mask of bits: all where x stays, none where it is below zero.
    bits = get_bits(x)
    mask = (x < 0).astype(bits.dtype)
    mask -= bits.dtype.type(1)
    np.bitwise_and(bits, mask, out=get_bits(found))
    return found


UNARY: Final[Mapping[str, Ufunc]] = {
    "Neg": np.negative,
    "Abs": np.absolute,
    "Sign": np.sign,
    "Floor": np.floor,
    "Ceil": np.ceil,
    "Round": np.rint,
    "Relu": _relu,
    "Sqrt": np.sqrt,
}


def compute_function(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute Exp, Log, Erf, Tanh, Sigmoid, Sin, Cos."""
    (value,) = inputs
    out = ws.take(node.output.shape, value.dtype)
    apply_univariate(FUNCTIONS[node.operator], value, out, ws)
    bounded = node.operator in {"Erf", "Tanh", "Sigmoid"} and value.finite
    finite = bounded or compute_finite(out, value.dtype)
    return Value(out, value.dtype, finite=finite)


def compute_power(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute Pow of floats."""
    dtype, shape = node.output.dtype, node.output.shape
    out = ws.take(shape, dtype)
    one, two = (
        np.ascontiguousarray(np.broadcast_to(value.array, shape)).reshape(-1) for value in inputs
    )
    apply_power(one, two, dtype, out.reshape(-1), ws)
    return Value(out, dtype, finite=compute_finite(out, dtype))
