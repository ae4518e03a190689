"""Operators that move elements, and those that only tell shapes."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import numpy as np

from probatum.canon.expand.folding import FOLDED_BYTES
from probatum.canon.expand.loading import read_dtype
from probatum.canon.expand.site import Expansion, Site, divide_sizes
from probatum.canon.expand.values import (
    Known,
    Value,
    get_dtype,
    get_storage,
    make_known,
    make_sizes,
    settle_sizes,
)
from probatum.canon.graph.sizes import Expr, Size, multiply_sizes

__all__ = ["OPERATORS"]


def expand_identity(site: Site) -> tuple[Value, ...]:
    """Identity, Dropout without training: the same tensor."""
    trains = site.node.operator == "Dropout" and site.find(2) is not None
    if trains and bool(site.get_known(2, "training_mode")):
        raise site.refuse("training is not inference")
    return (site.get(0),)


def expand_constant(site: Site) -> tuple[Value, ...]:
    """Constant: a known tensor."""
    attributes = site.node.attributes
    value = attributes.get("value")
    if isinstance(value, Known):
        return (value,)
    for name, dtype in (("value_int", "int64"), ("value_ints", "int64")):
        if name in attributes:
            return (make_known("int64" if dtype == "int64" else "float32", attributes[name]),)
    for name in ("value_float", "value_floats"):
        if name in attributes:
            return (make_known("float32", attributes[name]),)
    raise site.refuse("only dense numbers are constants")


def expand_constant_of_shape(site: Site) -> tuple[Value, ...]:
    """ConstantOfShape: one known element, broadcast."""
    value = site.get_attribute("value", make_known("float32", [0.0]))
    scalar = Known(value.dtype, value.array.reshape(()))
    return (site.build.emit("Expand", scalar, shape=site.get_sizes(0, "the shape")),)


def expand_shape(site: Site) -> tuple[Value, ...]:
    """Shape: sizes, known to the expansion."""
    shape = site.get_shape(site.get(0))
    start = site.get_attribute("start", 0)
    end = site.get_attribute("end", len(shape))
    return (make_sizes(shape[start:end]),)


def expand_size(site: Site) -> tuple[Value, ...]:
    """Size: the product of a shape."""
    total = multiply_sizes(site.get_shape(site.get(0)))
    array = np.empty((), dtype=object)
    array[()] = total
    return (settle_sizes(array),)


def expand_reshape(site: Site) -> tuple[Value, ...]:
    """Reshape: 0 copies a size unless allowzero, -1 takes what is left."""
    data = site.get(0)
    before = site.get_shape(data)
    wanted = list(site.get_sizes(1, "the shape"))
    if not site.get_attribute("allowzero", 0):
        wanted = [
            before[axis] if isinstance(size, int) and size == 0 and axis < len(before) else size
            for axis, size in enumerate(wanted)
        ]
    if -1 in wanted:
        place = wanted.index(-1)
        rest = tuple(size for axis, size in enumerate(wanted) if axis != place)
        wanted[place] = divide_sizes(before, rest)
    return (site.build.emit("Reshape", data, shape=tuple(wanted)),)


def expand_flatten(site: Site) -> tuple[Value, ...]:
    """Flatten: two dimensions."""
    data = site.get(0)
    shape = site.get_shape(data)
    axis = site.get_attribute("axis", 1)
    axis = axis + len(shape) if axis < 0 else axis
    sizes = (multiply_sizes(shape[:axis]), multiply_sizes(shape[axis:]))
    return (site.build.emit("Reshape", data, shape=sizes),)


def _get_axes(site: Site) -> tuple[int, ...] | None:
    if "axes" in site.node.attributes:
        return tuple(site.node.attributes["axes"])
    return site.get_ints(1, "axes") if site.find(1) is not None else None


def expand_squeeze(site: Site) -> tuple[Value, ...]:
    """Squeeze: sizes of one are dropped."""
    data = site.get(0)
    shape = site.get_shape(data)
    axes = _get_axes(site)
    if axes is None:
        if any(isinstance(size, Expr) for size in shape):
            raise site.refuse("without axes every size must be fixed")
        dropped = {axis for axis, size in enumerate(shape) if size == 1}
    else:
        dropped = {site.get_axis(axis, len(shape)) for axis in axes}
    kept = tuple(size for axis, size in enumerate(shape) if axis not in dropped)
    return (site.build.emit("Reshape", data, shape=kept),)


def expand_unsqueeze(site: Site) -> tuple[Value, ...]:
    """Unsqueeze: sizes of one are put in."""
    data = site.get(0)
    shape = list(site.get_shape(data))
    axes = _get_axes(site) or ()
    rank = len(shape) + len(axes)
    for axis in sorted(site.get_axis(axis, rank) for axis in axes):
        shape.insert(axis, 1)
    return (site.build.emit("Reshape", data, shape=tuple(shape)),)


def expand_transpose(site: Site) -> tuple[Value, ...]:
    """Transpose: reversed without perm."""
    data = site.get(0)
    rank = len(site.get_shape(data))
    perm = site.get_attribute("perm", tuple(reversed(range(rank))))
    return (site.build.emit("Transpose", data, perm=tuple(perm)),)


_END: Final = 1 << 31
"""Exporters write bounds beyond this for "to the end"."""


def _clip_bound(site: Site, bound: Size, size: Size, *, down: bool) -> Size:
    """Bring a start or end of Slice into its axis, whatever the dims are."""
    least, greatest = (-1, size - 1) if down else (0, size)
    if isinstance(bound, int) and bound >= _END:
        return greatest
    if isinstance(bound, int) and bound <= -_END:
        return least
    if isinstance(bound, int) and bound < 0:
        bound = bound + size
    lower = site.pick_less(bound, greatest)
    return least if site.pick_less(lower, least) == lower else lower


def expand_slice(site: Site) -> tuple[Value, ...]:
    """Slice: starts and ends are brought into range; steps are fixed."""
    data = site.get(0)
    shape = site.get_shape(data)
    if site.node.since < 10:
        starts, ends = site.get_attribute("starts"), site.get_attribute("ends")
        axes = site.get_attribute("axes", tuple(range(len(starts))))
        steps: tuple[int, ...] = (1,) * len(starts)
    else:
        starts, ends = site.get_sizes(1, "starts"), site.get_sizes(2, "ends")
        every = tuple(range(len(starts)))
        axes = site.get_ints(3, "axes") if site.find(3) is not None else every
        steps = site.get_ints(4, "steps") if site.find(4) is not None else (1,) * len(starts)
    begin: list[Size] = [0] * len(shape)
    stride: list[Size] = [1] * len(shape)
    sizes = list(shape)
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        place = site.get_axis(axis, len(shape))
        down = step < 0
        first = _clip_bound(site, start, shape[place], down=down)
        last = _clip_bound(site, end, shape[place], down=down)
        span = first - last if down else last - first
        count = (span + (abs(step) - 1)) // abs(step)
        begin[place], stride[place] = first, step
        sizes[place] = max(count, 0) if isinstance(count, int) else count
        if sizes[place] == 0:
            begin[place] = 0
    return (
        site.build.emit(
            "Slice", data, starts=tuple(begin), steps=tuple(stride), shape=tuple(sizes)
        ),
    )


def expand_split(site: Site) -> tuple[Value, ...]:
    """Split: one Slice a part."""
    data = site.get(0)
    shape = site.get_shape(data)
    axis = site.get_axis(site.get_attribute("axis", 0), len(shape))
    parts: tuple[Size, ...]
    if "split" in site.node.attributes:
        parts = tuple(site.node.attributes["split"])
    elif site.find(1) is not None:
        parts = site.get_sizes(1, "the split")
    else:
        count = len(site.node.outputs)
        size = site.fix(shape[axis], "the split axis")
        share = -(-size // count)
        parts = (*(share for _ in range(count - 1)), size - share * (count - 1))
    results: list[Value] = []
    start: Size = 0
    for part in parts:
        begin = (*(0 for _ in shape[:axis]), start, *(0 for _ in shape[axis + 1 :]))
        sizes = (*shape[:axis], part, *shape[axis + 1 :])
        steps = (1,) * len(shape)
        results.append(site.build.emit("Slice", data, starts=begin, steps=steps, shape=sizes))
        start = start + part
    return tuple(results)


def expand_concat(site: Site) -> tuple[Value, ...]:
    """Concat: tensors without elements are left out."""
    values = tuple(site.get(place) for place in range(len(site.inputs)))
    axis = site.get_axis(site.get_attribute("axis"), len(site.get_shape(values[0])))
    kept = tuple(value for value in values if site.get_shape(value)[axis] != 0) or values[:1]
    if len(kept) == 1:
        return kept
    while len(kept) > 64:
        head = site.build.emit("Concat", *kept[:64], axis=axis)
        kept = (head, *kept[64:])
    return (site.build.emit("Concat", *kept, axis=axis),)


def expand_expand(site: Site) -> tuple[Value, ...]:
    """Expand: both shapes are broadcast together."""
    data = site.get(0)
    have, want = site.get_shape(data), site.get_sizes(1, "the shape")
    rank = max(len(have), len(want))
    left = (1,) * (rank - len(have)) + have
    right = (1,) * (rank - len(want)) + want
    shape = tuple(a if b == 1 else b for a, b in zip(left, right, strict=True))
    return (site.build.emit("Expand", data, shape=shape),)


def expand_tile(site: Site) -> tuple[Value, ...]:
    """Tile: every axis is joined with itself."""
    value = site.get(0)
    for axis, count in enumerate(site.get_ints(1, "the repeats")):
        if not 0 < count <= 64:
            raise site.refuse(f"{count} repeats")
        value = site.build.emit("Concat", *([value] * count), axis=axis) if count > 1 else value
    return (value,)


def expand_pad(site: Site) -> tuple[Value, ...]:
    """Pad: constant, edge or reflect, on fixed or open sizes."""
    data = site.get(0)
    shape = site.get_shape(data)
    rank = len(shape)
    if site.node.since < 11:
        pads: tuple[Size, ...] = tuple(site.get_attribute("pads"))
        fill: Value = site.make_scalar(site.get_attribute("value", 0.0), data)
        axes = tuple(range(rank))
    else:
        pads = site.get_sizes(1, "the pads")
        given = site.find(2)
        zero = Known(get_dtype(data), np.zeros((), dtype=get_storage(get_dtype(data))))
        fill = zero if given is None else site.build.emit("Reshape", given, shape=())
        named = site.get_ints(3, "axes") if site.find(3) is not None else tuple(range(rank))
        axes = tuple(site.get_axis(axis, rank) for axis in named)
    begins: list[Size] = [0] * rank
    sizes = list(shape)
    for place, axis in enumerate(axes):
        begins[axis] = pads[place]
        sizes[axis] = shape[axis] + pads[place] + pads[place + len(axes)]
    mode = site.get_attribute("mode", "constant")
    if mode not in ("constant", "edge", "reflect"):
        raise site.refuse(f"mode {mode}")
    return (
        site.build.emit("Pad", data, fill, begins=tuple(begins), mode=mode, shape=tuple(sizes)),
    )


def expand_gather(site: Site) -> tuple[Value, ...]:
    """Gather."""
    data = site.get(0)
    axis = site.get_axis(site.get_attribute("axis", 0), len(site.get_shape(data)))
    return (site.build.emit("Gather", data, site.get(1), axis=axis),)


def expand_gather_elements(site: Site) -> tuple[Value, ...]:
    """GatherElements."""
    data = site.get(0)
    axis = site.get_axis(site.get_attribute("axis", 0), len(site.get_shape(data)))
    return (site.build.emit("GatherElements", data, site.as_tensor(site.get(1)), axis=axis),)


def expand_where(site: Site) -> tuple[Value, ...]:
    """Where."""
    return (site.build.emit("Where", site.get(0), site.get(1), site.get(2)),)


def expand_range(site: Site) -> tuple[Value, ...]:
    """Range of integers."""
    start, limit, step = (site.get_sizes(place, "a bound of the range")[0] for place in range(3))
    fixed = site.fix(step, "the step")
    if fixed == 0:
        raise site.refuse("a step of zero")
    span = limit - start if fixed > 0 else start - limit
    count = (span + (abs(fixed) - 1)) // abs(fixed)
    count = max(count, 0) if isinstance(count, int) else count
    if isinstance(count, int) and isinstance(start, int) and 8 * count <= FOLDED_BYTES:
        return (make_known("int64", start + fixed * np.arange(count)),)
    value = site.build.emit("Iota", dtype="int64", start=(start,), step=fixed, shape=(count,))
    return (value,)


def expand_cast(site: Site) -> tuple[Value, ...]:
    """Cast: by the table, saturating; CastLike takes the type of its second input."""
    data = site.get(0)
    if site.node.operator == "CastLike":
        dtype = get_dtype(site.get(1))
    else:
        dtype = read_dtype(site.get_attribute("to"), f"what {site.node.label} casts to")
    return (site.build.emit("Cast", data, dtype=dtype),)


OPERATORS: Final[Mapping[str, tuple[Expansion, frozenset[int]]]] = MappingProxyType(
    {
        "Identity": (expand_identity, frozenset({1, 13, 14, 16, 19, 21, 23, 24, 25})),
        "Dropout": (expand_identity, frozenset({7, 10, 12, 13, 22})),
        "Constant": (expand_constant, frozenset({1, 9, 11, 12, 13, 19, 21, 23, 24, 25})),
        "ConstantOfShape": (expand_constant_of_shape, frozenset({9, 20, 21, 23, 24, 25})),
        "Shape": (expand_shape, frozenset({1, 13, 15, 19, 21, 23, 24, 25})),
        "Size": (expand_size, frozenset({1, 13, 19, 21, 23, 24, 25})),
        "Reshape": (expand_reshape, frozenset({5, 13, 14, 19, 21, 23, 24, 25})),
        "Flatten": (expand_flatten, frozenset({1, 9, 11, 13, 21, 23, 24, 25})),
        "Squeeze": (expand_squeeze, frozenset({1, 11, 13, 21, 23, 24, 25})),
        "Unsqueeze": (expand_unsqueeze, frozenset({1, 11, 13, 21, 23, 24, 25})),
        "Transpose": (expand_transpose, frozenset({1, 13, 21, 23, 24, 25})),
        "Slice": (expand_slice, frozenset({1, 10, 11, 13})),
        "Split": (expand_split, frozenset({2, 11, 13, 18})),
        "Concat": (expand_concat, frozenset({4, 11, 13})),
        "Expand": (expand_expand, frozenset({8, 13})),
        "Tile": (expand_tile, frozenset({6, 13})),
        "Pad": (expand_pad, frozenset({2, 11, 13, 18, 19, 21, 23, 24, 25})),
        "Gather": (expand_gather, frozenset({1, 11, 13})),
        "GatherElements": (expand_gather_elements, frozenset({11, 13})),
        "Where": (expand_where, frozenset({9, 16})),
        "Range": (expand_range, frozenset({11})),
        "Cast": (expand_cast, frozenset({6, 9, 13, 19, 21, 23, 24, 25})),
        "CastLike": (expand_cast, frozenset({15, 19, 21, 23, 24, 25})),
    }
)
"""Expansion of each operator of ``ai.onnx``, and the versions of its definition it is true of."""
