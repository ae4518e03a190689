"""Operators that add up: products of matrices, convolutions, reductions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from probatum.canon.expand.site import Expansion, Site
from probatum.canon.expand.values import Value, get_dtype
from probatum.canon.graph.sizes import Size, multiply_sizes
from probatum.canon.graph.types import CanonDtype

__all__ = ["OPERATORS", "emit_dot", "emit_reduction", "get_spatial"]

_WIDER: Final[Mapping[str, CanonDtype]] = MappingProxyType({"int8": "int32", "uint8": "int32"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Spatial:
    """How windows lie on the spatial axes, one number an axis."""

    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    pads_begin: tuple[int, ...]
    pads_end: tuple[int, ...]


def emit_dot(site: Site, left: Value, right: Value) -> Value:
    """Multiply by the rows of the right side: left[…, M, K], right[…, N, K]."""
    dtype = get_dtype(left)
    return site.build.emit("Dot", left, right, dtype=_WIDER.get(dtype, dtype))


def _swap_last(site: Site, value: Value) -> Value:
    rank = len(site.get_shape(value))
    return site.build.emit("Transpose", value, perm=(*range(rank - 2), rank - 1, rank - 2))


def expand_matmul(site: Site) -> tuple[Value, ...]:
    """MatMul: a vector is a matrix of one row, or of one column."""
    left, right = site.get(0), site.get(1)
    one, two = site.get_shape(left), site.get_shape(right)
    emit = site.build.emit
    if len(one) == 1:
        left = emit("Reshape", left, shape=(1, one[0]))
    row = len(two) == 1
    right = emit("Reshape", right, shape=(1, two[0])) if row else _swap_last(site, right)
    product = emit_dot(site, left, right)
    shape = site.get_shape(product)
    if len(one) == 1:
        shape = (*shape[:-2], shape[-1])
    if len(two) == 1:
        shape = shape[:-1]
    return (emit("Reshape", product, shape=shape),)


def expand_gemm(site: Site) -> tuple[Value, ...]:
    """Gemm: the product, times alpha; then c times beta is added."""
    left, right, bias = site.get(0), site.get(1), site.find(2)
    emit = site.build.emit
    if site.get_attribute("transA", 0):
        left = _swap_last(site, left)
    if not site.get_attribute("transB", 0):
        right = _swap_last(site, right)
    result = emit_dot(site, left, right)
    alpha, beta = site.get_attribute("alpha", 1.0), site.get_attribute("beta", 1.0)
    if alpha != 1.0:
        result = emit("Mul", result, site.make_scalar(alpha, result))
    if bias is None or beta == 0.0:
        return (result,)
    if beta != 1.0:
        bias = emit("Mul", bias, site.make_scalar(beta, bias))
    return (emit("Add", result, bias),)


def get_spatial(site: Site, kernel: tuple[int, ...], shape: tuple[Size, ...]) -> Spatial:
    """Get strides, dilations and pads of a convolution or pool, of one to three axes."""
    rank = len(kernel)
    if not 1 <= rank <= 3:
        raise site.refuse(f"{rank} spatial axes")
    strides = tuple(site.get_attribute("strides", (1,) * rank))
    dilations = tuple(site.get_attribute("dilations", (1,) * rank))
    pads = tuple(site.get_attribute("pads", (0,) * (2 * rank)))
    auto = site.get_attribute("auto_pad", "NOTSET")
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        begins, ends = [], []
        for axis in range(rank):
            size = site.fix(shape[2 + axis], "a spatial size under auto_pad")
            out = -(-size // strides[axis])
            span = dilations[axis] * (kernel[axis] - 1) + 1
            total = max(0, (out - 1) * strides[axis] + span - size)
            small, large = total // 2, total - total // 2
            begins.append(small if auto == "SAME_UPPER" else large)
            ends.append(large if auto == "SAME_UPPER" else small)
        pads = (*begins, *ends)
    elif auto not in ("NOTSET", "VALID"):
        raise site.refuse(f"auto_pad {auto}")
    return Spatial(
        strides=strides, dilations=dilations, pads_begin=pads[:rank], pads_end=pads[rank:]
    )


def expand_conv(site: Site) -> tuple[Value, ...]:
    """Conv: channels last, then the bias is added."""
    data, weight, bias = site.get(0), site.get(1), site.find(2)
    emit = site.build.emit
    kernel = tuple(site.fix(size, "the kernel") for size in site.get_shape(weight)[2:])
    spatial = get_spatial(site, kernel, site.get_shape(data))
    result = emit(
        "Conv",
        to_channels_last(site, data),
        to_channels_last(site, weight),
        group=site.get_attribute("group", 1),
        strides=spatial.strides,
        dilations=spatial.dilations,
        pads_begin=spatial.pads_begin,
        pads_end=spatial.pads_end,
    )
    if bias is not None:
        result = emit("Add", result, bias)
    return (to_channels_first(site, result),)


def to_channels_last(site: Site, value: Value) -> Value:
    """Move axis 1 to the end."""
    rank = len(site.get_shape(value))
    return site.build.emit("Transpose", value, perm=(0, *range(2, rank), 1))


def to_channels_first(site: Site, value: Value) -> Value:
    """Move the last axis to place 1."""
    rank = len(site.get_shape(value))
    return site.build.emit("Transpose", value, perm=(0, rank - 1, *range(1, rank - 1)))


def emit_reduction(
    site: Site, operator: str, value: Value, axes: tuple[int, ...], *, keep: bool
) -> Value:
    """Reduce over axes: they are made one, the last."""
    shape = site.get_shape(value)
    rest = tuple(axis for axis in range(len(shape)) if axis not in axes)
    moved = site.build.emit("Transpose", value, perm=(*rest, *axes))
    outer = tuple(shape[axis] for axis in rest)
    flat = site.build.emit(
        "Reshape", moved, shape=(*outer, multiply_sizes(tuple(shape[axis] for axis in axes)))
    )
    reduced = site.build.emit(operator, flat)
    kept = tuple(1 if axis in axes else size for axis, size in enumerate(shape))
    return site.build.emit("Reshape", reduced, shape=kept if keep else outer)


def _read_reduction(site: Site, axes_since: int) -> tuple[Value, tuple[int, ...], bool] | None:
    value = site.get(0)
    rank = len(site.get_shape(value))
    if site.node.since < axes_since:
        named = site.get_attribute("axes")
    else:
        named = site.get_ints(1, "the axes") if site.find(1) is not None else None
    if not named:
        if site.get_attribute("noop_with_empty_axes", 0):
            return None
        named = tuple(range(rank))
    axes = tuple(sorted({site.get_axis(axis, rank) for axis in named}))
    return value, axes, bool(site.get_attribute("keepdims", 1))


def _expand_reduction(operator: str, axes_since: int) -> Expansion:
    def expand(site: Site) -> tuple[Value, ...]:
        """A reduction: the axes are made one, the last."""
        read = _read_reduction(site, axes_since)
        if read is None:
            return (site.get(0),)
        value, axes, keep = read
        return (emit_reduction(site, operator, value, axes, keep=keep),)

    return expand


def expand_global_pool(site: Site) -> tuple[Value, ...]:
    """GlobalAveragePool, GlobalMaxPool: reductions over all spatial axes."""
    operator = "ReduceMean" if site.node.operator == "GlobalAveragePool" else "ReduceMax"
    rank = len(site.get_shape(site.get(0)))
    axes = tuple(range(2, rank))
    return (emit_reduction(site, operator, site.get(0), axes, keep=True),)


def expand_pool(site: Site) -> tuple[Value, ...]:
    """MaxPool, AveragePool: windows, channels last."""
    data = site.get(0)
    kernel = tuple(site.get_attribute("kernel_shape"))
    if site.get_attribute("ceil_mode", 0) or len(site.node.outputs) > 1:
        raise site.refuse("ceil_mode and indices are not admitted")
    spatial = get_spatial(site, kernel, site.get_shape(data))
    moved = to_channels_last(site, data)
    averages = site.node.operator == "AveragePool"
    counted = site.get_attribute("count_include_pad", 0)
    result = site.build.emit(
        "WindowMean" if averages else "WindowMax",
        moved,
        kernel=kernel,
        strides=spatial.strides,
        dilations=spatial.dilations,
        pads_begin=spatial.pads_begin,
        pads_end=spatial.pads_end,
        count_include_pad=(counted,) if averages else None,
    )
    return (to_channels_first(site, result),)


OPERATORS: Final[Mapping[str, tuple[Expansion, frozenset[int]]]] = MappingProxyType(
    {
        "MatMul": (expand_matmul, frozenset({1, 9, 13})),
        "Gemm": (expand_gemm, frozenset({7, 9, 11, 13})),
        "Conv": (expand_conv, frozenset({1, 11, 22})),
        "ReduceSum": (_expand_reduction("ReduceSum", 13), frozenset({1, 11, 13})),
        "ReduceMean": (_expand_reduction("ReduceMean", 18), frozenset({1, 11, 13, 18})),
        "ReduceMax": (_expand_reduction("ReduceMax", 18), frozenset({1, 11, 12, 13, 18, 20})),
        "ReduceMin": (_expand_reduction("ReduceMin", 18), frozenset({1, 11, 12, 13, 18, 20})),
        "GlobalAveragePool": (expand_global_pool, frozenset({1, 22})),
        "GlobalMaxPool": (expand_global_pool, frozenset({1, 22})),
        "MaxPool": (expand_pool, frozenset({1, 8, 10, 11, 12, 22})),
        "AveragePool": (expand_pool, frozenset({7, 10, 11, 19, 22})),
    }
)
"""Expansion of each operator of ``ai.onnx``, and the versions of its definition it is true of."""
