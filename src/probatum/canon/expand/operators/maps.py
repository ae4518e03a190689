"""Operators of one element, or of two that are broadcast together."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from probatum.canon.expand.site import Expansion, Site
from probatum.canon.expand.values import Known, Value, get_dtype
from probatum.canon.graph.types import DTYPES

__all__ = ["OPERATORS", "expand_sigmoid"]


def expand_same(site: Site) -> tuple[Value, ...]:
    """An operator that is a primitive of the same name."""
    values = tuple(site.get(place) for place in range(len(site.inputs)))
    return (site.build.emit(_PRIMITIVES.get(site.node.operator, site.node.operator), *values),)


def expand_variadic(site: Site) -> tuple[Value, ...]:
    """Min, Max, Sum: from left to right."""
    operator = {"Sum": "Add"}.get(site.node.operator, site.node.operator)
    total = site.get(0)
    for place in range(1, len(site.inputs)):
        total = site.build.emit(operator, total, site.get(place))
    return (total,)


def expand_mod(site: Site) -> tuple[Value, ...]:
    """Mod of integers, with the sign of the divisor."""
    if site.get_attribute("fmod", 0) or DTYPES[get_dtype(site.get(0))].kind == "float":
        raise site.refuse("only integers without fmod")
    return expand_same(site)


def expand_pow(site: Site) -> tuple[Value, ...]:
    """Pow: a square is a product, which is the same number rounded once."""
    base, power = site.get(0), site.get(1)
    dtype = site.require_float(base)
    if isinstance(power, Known) and power.array.size == 1:
        exponent = float(power.array.reshape(-1)[0])
        if exponent == 2.0 and power.array.ndim <= len(site.get_shape(base)):
            return (site.build.emit("Mul", base, base),)
        if exponent == 1.0 and power.array.ndim <= len(site.get_shape(base)):
            return (base,)
    if get_dtype(power) != dtype:
        power = site.build.emit("Cast", power, dtype=dtype)
    return (site.build.emit("Pow", base, power),)


def expand_reciprocal(site: Site) -> tuple[Value, ...]:
    """Reciprocal: one divided by x."""
    value = site.get(0)
    site.require_float(value)
    return (site.build.emit("Div", site.make_scalar(1.0, value), value),)


def expand_clip(site: Site) -> tuple[Value, ...]:
    """Clip: at least the least, then at most the greatest."""
    value = site.get(0)
    if site.node.since < 11:
        least = site.make_scalar(site.get_attribute("min", -np.inf), value)
        greatest = site.make_scalar(site.get_attribute("max", np.inf), value)
        bounds: tuple[Value | None, Value | None] = (least, greatest)
    else:
        bounds = (site.find(1), site.find(2))
    for operator, bound in zip(("Max", "Min"), bounds, strict=True):
        if bound is None:
            continue
        if operator == "Max" and _is_zero(bound) and DTYPES[get_dtype(value)].kind == "float":
            value = site.build.emit("Relu", value)
            continue
        value = site.build.emit(operator, value, bound)
    return (value,)


def _is_zero(bound: Value) -> bool:
    return isinstance(bound, Known) and bound.array.size == 1 and not bound.array.any()


def expand_sigmoid(site: Site, value: Value) -> Value:
    """Sigmoid of a value."""
    return site.build.emit("Sigmoid", value)


def expand_gelu(site: Site) -> tuple[Value, ...]:
    """Gelu: the standard's body, term by term."""
    x = site.get(0)
    site.require_float(x)
    half, one = site.make_scalar(0.5, x), site.make_scalar(1.0, x)
    emit = site.build.emit
    if site.get_attribute("approximate", "none") == "tanh":
        root = emit("Sqrt", site.make_scalar(2.0 / np.pi, x))
        cube = emit("Mul", emit("Mul", x, x), x)
        inner = emit("Add", x, emit("Mul", site.make_scalar(0.044715, x), cube))
        curve = emit("Tanh", emit("Mul", root, inner))
    else:
        curve = emit("Erf", emit("Div", x, emit("Sqrt", site.make_scalar(2.0, x))))
    return (emit("Mul", emit("Mul", half, x), emit("Add", one, curve)),)


def expand_hard_sigmoid(site: Site) -> tuple[Value, ...]:
    """HardSigmoid: clip of alpha x + beta."""
    x = site.get(0)
    emit = site.build.emit
    scaled = emit("Mul", x, site.make_scalar(site.get_attribute("alpha", 0.2), x))
    line = emit("Add", scaled, site.make_scalar(site.get_attribute("beta", 0.5), x))
    return (emit("Min", emit("Relu", line), site.make_scalar(1.0, x)),)


def expand_softplus(site: Site) -> tuple[Value, ...]:
    """Softplus: max(x, 0) + log(1 + exp(-|x|)), which never overflows."""
    x = site.get(0)
    emit = site.build.emit
    small = emit("Exp", emit("Neg", emit("Abs", x)))
    return (emit("Add", emit("Relu", x), emit("Log", emit("Add", site.make_scalar(1, x), small))),)


_PRIMITIVES: Final[Mapping[str, str]] = MappingProxyType(
    {
        "IsNaN": "IsNan",
        "BitwiseAnd": "BitAnd",
        "BitwiseOr": "BitOr",
        "BitwiseXor": "BitXor",
        "BitwiseNot": "BitNot",
    }
)
_SAME: Final[Mapping[str, tuple[int, ...]]] = MappingProxyType(
    {
        "Add": (7, 13, 14),
        "Sub": (7, 13, 14),
        "Mul": (7, 13, 14),
        "Div": (7, 13, 14),
        "Equal": (7, 11, 13, 19),
        "Less": (7, 9, 13),
        "LessOrEqual": (12, 16),
        "Greater": (7, 9, 13),
        "GreaterOrEqual": (12, 16),
        "And": (7,),
        "Or": (7,),
        "Xor": (7,),
        "Not": (1,),
        "BitwiseAnd": (18,),
        "BitwiseOr": (18,),
        "BitwiseXor": (18,),
        "BitwiseNot": (18,),
        "Neg": (6, 13),
        "Abs": (6, 13),
        "Sign": (9, 13),
        "Floor": (6, 13),
        "Ceil": (6, 13),
        "Round": (11, 22),
        "Relu": (6, 13, 14),
        "Sqrt": (6, 13),
        "Exp": (6, 13),
        "Log": (6, 13),
        "Erf": (9, 13),
        "Tanh": (6, 13),
        "Sigmoid": (6, 13),
        "Sin": (7, 22),
        "Cos": (7, 22),
        "IsNaN": (9, 13, 20),
    }
)

OPERATORS: Final[Mapping[str, tuple[Expansion, frozenset[int]]]] = MappingProxyType(
    {
        **{name: (expand_same, frozenset(since)) for name, since in _SAME.items()},
        "Min": (expand_variadic, frozenset({8, 12, 13})),
        "Max": (expand_variadic, frozenset({8, 12, 13})),
        "Sum": (expand_variadic, frozenset({8, 13})),
        "Mod": (expand_mod, frozenset({10, 13})),
        "Pow": (expand_pow, frozenset({7, 12, 13, 15})),
        "Reciprocal": (expand_reciprocal, frozenset({6, 13})),
        "Clip": (expand_clip, frozenset({6, 11, 12, 13})),
        "Gelu": (expand_gelu, frozenset({20})),
        "HardSigmoid": (expand_hard_sigmoid, frozenset({6, 22})),
        "Softplus": (expand_softplus, frozenset({1, 22})),
    }
)
"""Expansion of each operator of ``ai.onnx``, and the versions of its definition it is true of."""
