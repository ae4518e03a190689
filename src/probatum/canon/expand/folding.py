"""Folds primitives of which everything is known: what is left out of the graph is still exact.

Only what numpy computes exactly or rounds once by IEEE 754 is folded: moves, integers, and
+ - x / and square root of float32 and float64. Everything else stays a node, computed canonically
like all others. Must not know ONNX.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np

from probatum.canon.expand.values import Array, Known, Sizes, pack, settle_sizes
from probatum.canon.graph.sizes import Size
from probatum.canon.graph.types import DTYPES, CanonDtype, TensorType

__all__ = ["FOLDED_BYTES", "compare_sizes", "fold_known", "fold_sizes"]

Attributes: TypeAlias = Mapping[str, str | tuple[Size, ...]]
_Move: TypeAlias = Callable[[list[Array], Attributes], Array]


def _ints(attributes: Attributes, name: str) -> list[int] | None:
    value = attributes[name]
    ints = [item for item in value if isinstance(item, int)]
    return ints if len(ints) == len(value) else None


def _need(attributes: Attributes, name: str) -> list[int]:
    ints = _ints(attributes, name)
    assert ints is not None, "folded with an open size"
    return ints


def _slice(arrays: list[Array], attributes: Attributes) -> Array:
    chosen = arrays[0]
    starts, steps = _need(attributes, "starts"), _need(attributes, "steps")
    for axis, size in enumerate(_need(attributes, "shape")):
        places = starts[axis] + steps[axis] * np.arange(size)
        chosen = np.take(chosen, places, axis=axis)
    return chosen


def _gather(arrays: list[Array], attributes: Attributes) -> Array:
    axis = _need(attributes, "axis")[0]
    data, indices = arrays
    size = data.shape[axis]
    wrapped = np.where(indices < 0, indices + size, indices).astype(np.int64)
    if np.any((wrapped < 0) | (wrapped >= size)):
        raise IndexError
    return np.take(data, wrapped, axis=axis)


_MOVES: Final[Mapping[str, _Move]] = MappingProxyType(
    {
        "Reshape": lambda a, at: a[0].reshape(_need(at, "shape")),
        "Transpose": lambda a, at: a[0].transpose(_need(at, "perm")),
        "Slice": _slice,
        "Concat": lambda a, at: np.concatenate(a, axis=_need(at, "axis")[0]),
        "Expand": lambda a, at: np.broadcast_to(a[0], _need(at, "shape")),
        "Gather": _gather,
    }
)
"""On elements of any kind, objects included."""


def _wrap(result: Array, dtype: CanonDtype) -> Array:
    return result.astype(np.dtype(dtype))


def _divide(a: Array, b: Array) -> Array:
    if a.dtype.kind == "f":
        return np.divide(a, b)
    quotient = np.abs(a) // np.maximum(np.abs(b), 1)
    return np.where(b == 0, 0, np.where((a < 0) != (b < 0), -quotient, quotient))


_MAPS: Final[Mapping[str, Callable[..., Array]]] = MappingProxyType(
    {
        "Add": np.add,
        "Sub": np.subtract,
        "Mul": np.multiply,
        "Div": _divide,
        "Sqrt": np.sqrt,
        "Neg": np.negative,
        "Equal": np.equal,
        "Less": np.less,
        "LessOrEqual": np.less_equal,
        "Greater": np.greater,
        "GreaterOrEqual": np.greater_equal,
        "And": np.logical_and,
        "Or": np.logical_or,
        "Not": np.logical_not,
        "Where": np.where,
    }
)
_IEEE: Final = frozenset({"float32", "float64"})
_EXACT: Final = frozenset({"int64", "int32", "bool"})
_BIG: Final = 1 << 31
FOLDED_BYTES: Final = 1 << 26
"""Larger tensors than the largest operand stay nodes from here on."""
FOLDED_SIZES: Final = 1 << 16
"""The most sizes that are computed with at once."""


def fold_known(
    operator: str, inputs: tuple[Known, ...], attributes: Attributes, output: TensorType
) -> Known | None:
    """Compute a primitive of known tensors, or return None where it must stay a node."""
    if any(not isinstance(size, int) for size in output.shape):
        return None
    if _grows(inputs, output):
        return None
    arrays = [value.array for value in inputs]
    with np.errstate(all="ignore"):
        if operator in _MOVES:
            try:
                moved = _MOVES[operator](arrays, attributes)
            except (IndexError, AssertionError):
                return None
            return Known(output.dtype, pack(moved))
        if operator == "Cast":
            return _cast(inputs[0], output.dtype)
        if operator not in _MAPS or not all(_is_plain(operator, value) for value in inputs):
            return None
        result = _MAPS[operator](*arrays)
    if output.dtype in _IEEE and bool(np.isnan(result).any()):
        return None
    return Known(output.dtype, pack(_wrap(result, output.dtype)))


def _grows(inputs: tuple[Known, ...], output: TensorType) -> bool:
    """Tell whether folding makes something large of less: a few bytes may say terabytes."""
    size = prod(one for one in output.shape if isinstance(one, int))
    size *= DTYPES[output.dtype].size_bytes
    return size > max(FOLDED_BYTES, max((one.array.nbytes for one in inputs), default=0))


def _is_plain(operator: str, value: Known) -> bool:
    if value.dtype in _IEEE:
        return True
    # Integers that cannot overflow: what wraps is left to the evaluator.
    small = value.dtype == "bool" or not value.array.size or int(np.abs(value.array).max()) < _BIG
    return value.dtype in _EXACT and operator != "Sqrt" and small


def _cast(value: Known, dtype: CanonDtype) -> Known | None:
    if value.dtype == dtype:
        return value
    exact = _EXACT | _IEEE
    if value.dtype not in exact or dtype not in exact:
        return None
    if value.dtype in _IEEE and dtype in _EXACT and dtype != "bool":
        array = value.array
        if not bool((np.isfinite(array) & (np.abs(array) < _BIG)).all()):
            return None
    if (
        value.dtype == "int64"
        and dtype == "int32"
        and int(np.abs(value.array).max(initial=0)) >= _BIG
    ):
        return None
    if value.dtype in _IEEE and dtype in _IEEE and bool(np.isnan(value.array).any()):
        return None
    return Known(dtype, value.array.astype(np.dtype(dtype)))


def fold_sizes(
    operator: str, inputs: tuple[Known | Sizes, ...], attributes: Attributes, dtype: CanonDtype
) -> Known | Sizes | None:
    """Compute a primitive on sizes, or return None where they must become a tensor."""
    arrays = [_to_objects(value) for value in inputs]
    if operator == "Where":
        arrays[0] = inputs[0].array
    if any(array is None for array in arrays):
        return None
    objects = [array for array in arrays if array is not None]
    if operator in ("Expand", "Slice") and prod(_need(attributes, "shape")) > FOLDED_SIZES:
        return None
    if operator == "Gather":
        indices = inputs[1]
        if isinstance(indices, Sizes):
            return None
        objects[1] = indices.array
    if operator in _MOVES:
        try:
            return settle_sizes(np.asarray(_MOVES[operator](objects, attributes), dtype=object))
        except (IndexError, AssertionError):
            return None
    if operator == "Cast":
        # A size is far below 2**31 wherever it is a shape's; as a shape it does not wrap.
        return settle_sizes(objects[0]) if dtype in ("int64", "int32") else None
    if operator in ("Add", "Sub", "Mul"):
        return settle_sizes(np.asarray(_MAPS[operator](*objects), dtype=object))
    if operator == "Div":
        divisors = inputs[1]
        if isinstance(divisors, Known) and bool((divisors.array > 0).all()):
            return settle_sizes(np.asarray(objects[0] // objects[1], dtype=object))
    if operator == "Where":
        chosen = inputs[0]
        if isinstance(chosen, Known) and chosen.dtype == "bool":
            return settle_sizes(np.asarray(np.where(chosen.array, *objects[1:]), dtype=object))
    return None


def compare_sizes(one: Known | Sizes, two: Known | Sizes) -> Known | None:
    """Tell where sizes are equal, or return None where that depends on dims."""
    left, right = _to_objects(one), _to_objects(two)
    if left is None or right is None:
        return None
    pairs = np.broadcast(left, right)
    answers = [_is_equal(a, b) for a, b in pairs]
    if any(answer is None for answer in answers):
        return None
    return Known("bool", np.array(answers, dtype=np.bool_).reshape(pairs.shape))


def _is_equal(one: Size, two: Size) -> bool | None:
    difference = one - two
    if isinstance(difference, int):
        return difference == 0
    # Dims are never negative: with no negative coefficient the constant term is the least value.
    constant = sum(term.coefficient for term in difference.terms if not term.factors)
    if constant > 0 and all(term.coefficient > 0 for term in difference.terms):
        return False
    return None


def _to_objects(value: Known | Sizes) -> Array | None:
    if isinstance(value, Sizes):
        return value.array
    return value.array.astype(object) if value.dtype in ("int64", "int32") else None
