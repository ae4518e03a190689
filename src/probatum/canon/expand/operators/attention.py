"""Operators of transformers: attention, rotary positions, root-mean-square normalisation."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from types import MappingProxyType
from typing import Final

import numpy as np

from probatum.canon.expand.loading import read_dtype
from probatum.canon.expand.operators.norms import emit_softmax
from probatum.canon.expand.operators.sums import emit_reduction
from probatum.canon.expand.site import Expansion, Site, divide_sizes
from probatum.canon.expand.values import Value, get_dtype, make_known
from probatum.canon.graph.sizes import Size

__all__ = ["OPERATORS"]

FLOAT_STASH: Final = 1
"""ONNX's number of float32, in which a norm is computed unless it says otherwise."""


def expand_attention(site: Site) -> tuple[Value, ...]:
    """Attention: q and k times √scale each, the product, softcap, bias, softmax, times v.

    Heads of queries that share keys and values are rows of one product. A row that may see nothing
    is zero.
    """
    q, k, v = (_split_heads(site, place) for place in range(3))
    emit, dtype = site.build.emit, site.require_float(q)
    if {get_dtype(k), get_dtype(v)} != {dtype}:
        raise site.refuse("queries, keys and values are of several dtypes")
    if site.find(4) is not None:
        k = emit("Concat", site.get(4), k, axis=2)
        v = emit("Concat", site.get(5), v, axis=2)
    batch, heads, rows, width = site.get_shape(q)
    kv, columns = site.fix(site.get_shape(k)[1], "the number of heads"), site.get_shape(k)[2]
    group = site.fix(heads, "the number of heads") // kv
    if group * kv != heads:
        raise site.refuse("heads of queries are not a multiple of heads of keys")
    default = 1 / sqrt(site.fix(width, "the width of a head"))
    root = site.make_scalar(sqrt(site.get_attribute("scale", default)), q)
    wide = emit("Reshape", emit("Mul", q, root), shape=(batch, kv, group * rows, width))
    scores = emit("Dot", wide, emit("Mul", k, root))
    scores = emit("Reshape", scores, shape=(batch, heads, rows, columns))
    stages = [scores, _cap(site, scores)]
    scores, empty = _bias(site, stages[1])
    stages.append(scores)
    shares = _share(site, scores)
    if empty is not None:
        shares = emit("Where", empty, site.make_scalar(0.0, q), shares)
    stages.append(shares)
    wide = emit("Reshape", shares, shape=(batch, kv, group * rows, columns))
    mixed = emit("Dot", wide, emit("Transpose", v, perm=(0, 1, 3, 2)))
    depth = site.get_shape(v)[3]
    result = emit("Reshape", mixed, shape=(batch, heads, rows, depth))
    if len(site.get_shape(site.get(0))) == 3:
        result = emit("Transpose", result, perm=(0, 2, 1, 3))
        result = emit("Reshape", result, shape=(batch, rows, heads * depth))
    return result, k, v, stages[site.get_attribute("qk_matmul_output_mode", 0)]


def _split_heads(site: Site, place: int) -> Value:
    """Bring queries, keys or values to [batch, heads, rows, width]."""
    value = site.get(place)
    shape = site.get_shape(value)
    if len(shape) == 4:
        return value
    heads = site.get_attribute("kv_num_heads" if place else "q_num_heads")
    if heads is None or len(shape) != 3:
        raise site.refuse("inputs of rank 3 need numbers of heads, and others have rank 4")
    split = (*shape[:2], heads, divide_sizes(shape[2:], (heads,)))
    return site.build.emit(
        "Transpose", site.build.emit("Reshape", value, shape=split), perm=(0, 2, 1, 3)
    )


def _cap(site: Site, scores: Value) -> Value:
    """Softcap: c·tanh(score/c)."""
    cap = site.get_attribute("softcap", 0.0)
    if not cap:
        return scores
    emit, scalar = site.build.emit, site.make_scalar(cap, scores)
    return emit("Mul", emit("Tanh", emit("Div", scores, scalar)), scalar)


def _share(site: Site, scores: Value) -> Value:
    """Softmax, in the precision that is asked for."""
    emit, dtype = site.build.emit, get_dtype(scores)
    asked = site.get_attribute("softmax_precision")
    if asked is not None:
        scores = emit("Cast", scores, dtype=read_dtype(asked, "the softmax"))
    return emit("Cast", emit_softmax(site, scores, 3), dtype=dtype)


def _bias(site: Site, scores: Value) -> tuple[Value, Value | None]:
    """Hide from each row what it may not see; and which rows see nothing, if there may be any."""
    emit = site.build.emit
    zero, least = site.make_scalar(0.0, scores), site.make_scalar(-np.inf, scores)
    mask, limits = site.find(3), _emit_limits(site, scores)
    seen: Value | None = None
    for limit in limits:
        seen = limit if seen is None else emit("And", seen, limit)
    if mask is None and (seen is None or _sees_itself(site)):
        return (scores if seen is None else emit("Where", seen, scores, least)), None
    bias: Value = zero
    if mask is not None:
        bias = _widen(site, mask, site.get_shape(scores)[3])
        if get_dtype(bias) == "bool":
            bias = emit("Where", bias, zero, least)
    if seen is not None:
        bias = emit("Where", seen, bias, least)
    empty = emit("Equal", emit("ReduceMax", bias), least)
    return emit("Add", scores, bias), empty


def _sees_itself(site: Site) -> bool:
    """Whether a row sees at least the first key, whatever the request."""
    return site.find(6) is None and _get_windows(site) == (-1, -1)


def _get_windows(site: Site) -> tuple[int, int]:
    left, right = (site.get_attribute(f"{side}_window_size", -1) for side in ("left", "right"))
    return left, right


def _emit_limits(site: Site, scores: Value) -> list[Value]:
    """What each row may see: keys that are filled, up to its own, and those in its window."""
    emit = site.build.emit
    batch, _, rows, columns = site.get_shape(scores)
    past, filled, (left, right) = site.find(4), site.find(6), _get_windows(site)
    keys = emit("Iota", dtype="int64", start=0, step=1, shape=(columns,))
    start: Size = 0 if past is None else site.get_shape(past)[2]
    if filled is not None:
        filled = emit("Reshape", filled, shape=(batch, 1, 1, 1))
        start = -rows
    queries = emit("Iota", dtype="int64", start=(start,), step=1, shape=(rows,))
    queries = emit("Reshape", queries, shape=(rows, 1))
    if filled is not None:
        queries = emit("Add", queries, filled)
    limits = [] if filled is None else [emit("Less", keys, filled)]
    if site.get_attribute("is_causal", 0):
        limits.append(emit("LessOrEqual", keys, queries))
    if left >= 0:
        first = emit("Sub", queries, make_known("int64", left))
        limits.append(emit("LessOrEqual", first, keys))
    if right >= 0:
        last = emit("Add", queries, make_known("int64", right))
        limits.append(emit("LessOrEqual", keys, last))
    return limits


def _widen(site: Site, mask: Value, columns: Size) -> Value:
    """Let a mask that is too short hide what is beyond its end."""
    shape = site.get_shape(mask)
    if shape[-1] == columns:
        return mask
    if shape[-1] == 1 or site.pick_less(shape[-1], columns) != shape[-1]:
        raise site.refuse("a mask is as long as the keys, or shorter, but not of length 1")
    beyond = site.make_scalar(False if get_dtype(mask) == "bool" else -np.inf, mask)
    return site.build.emit(
        "Pad",
        mask,
        beyond,
        begins=(0,) * len(shape),
        mode="constant",
        shape=(*shape[:-1], columns),
    )


def expand_rotary_embedding(site: Site) -> tuple[Value, ...]:
    """RotaryEmbedding: pairs, of both halves or of neighbours, turn: (x·c - y·s, x·s + y·c)."""
    value = site.get(0)
    emit, shape = site.build.emit, site.get_shape(value)
    flat = len(shape) == 3
    if flat:
        heads = site.get_attribute("num_heads", 0)
        value = emit("Reshape", value, shape=(*shape[:2], heads, divide_sizes(shape[2:], (heads,))))
    *outer, last = site.get_shape(value)
    width = site.fix(last, "the width of a head")
    turned = site.get_attribute("rotary_embedding_dim", 0) or width
    half = turned // 2
    angles = [_spread_angles(site, place, half, flat=flat) for place in (1, 2)]
    parts = [_take(site, value, at, step, half) for at, step in _place_pairs(site, half)]
    result = _turn(site, parts, angles)
    if site.get_attribute("interleaved", 0):
        apart = [emit("Reshape", one, shape=(*outer, half, 1)) for one in result]
        whole = emit("Reshape", emit("Concat", *apart, axis=4), shape=(*outer, turned))
    else:
        whole = emit("Concat", *result, axis=3)
    if turned < width:
        rest = _take(site, value, turned, 1, width - turned)
        whole = emit("Concat", whole, rest, axis=3)
    return (emit("Reshape", whole, shape=shape),)


def _place_pairs(site: Site, half: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Where the first and the second of each pair begin, and how far apart they are."""
    return ((0, 2), (1, 2)) if site.get_attribute("interleaved", 0) else ((0, 1), (half, 1))


def _turn(site: Site, parts: list[Value], angles: list[Value]) -> tuple[Value, Value]:
    emit = site.build.emit
    (x, y), (cosine, sine) = parts, angles
    real = emit("Sub", emit("Mul", cosine, x), emit("Mul", sine, y))
    return real, emit("Add", emit("Mul", sine, x), emit("Mul", cosine, y))


def _take(site: Site, value: Value, start: int, step: int, count: int) -> Value:
    """Slice the last of four axes."""
    return site.build.emit(
        "Slice",
        value,
        starts=(0, 0, 0, start),
        steps=(1, 1, 1, step),
        shape=(*site.get_shape(value)[:3], count),
    )


def _spread_angles(site: Site, place: int, half: int, *, flat: bool) -> Value:
    """Cosines or sines of each row, the same for every head."""
    cache, ids = site.get(place), site.find(3)
    emit = site.build.emit
    rows = cache if ids is None else emit("Gather", cache, ids, axis=0)
    batch, length, found = site.get_shape(rows)
    if found != half:
        raise site.refuse("there are not as many angles as pairs")
    shape = (batch, length, 1, half) if flat else (batch, 1, length, half)
    return emit("Reshape", rows, shape=shape)


def expand_rms_normalization(site: Site) -> tuple[Value, ...]:
    """RMSNormalization: x over the root of the mean of squares and ε, in float32; times scale."""
    value, scale = site.get(0), site.get(1)
    dtype, emit = site.require_float(value), site.build.emit
    if site.get_attribute("stash_type", FLOAT_STASH) != FLOAT_STASH:
        raise site.refuse("it is computed in float32")
    rank = len(site.get_shape(value))
    axis = site.get_axis(site.get_attribute("axis", -1), rank)
    wide = emit("Cast", value, dtype="float32")
    mean = emit_reduction(
        site, "ReduceMean", emit("Mul", wide, wide), tuple(range(axis, rank)), keep=True
    )
    epsilon = site.make_scalar(site.get_attribute("epsilon", 1e-5), wide)
    normal = emit("Div", wide, emit("Sqrt", emit("Add", mean, epsilon)))
    return (emit("Mul", emit("Cast", normal, dtype=dtype), scale),)


OPERATORS: Final[Mapping[str, tuple[Expansion, frozenset[int]]]] = MappingProxyType(
    {
        "Attention": (expand_attention, frozenset({23, 24, 25})),
        "RotaryEmbedding": (expand_rotary_embedding, frozenset({23})),
        "RMSNormalization": (expand_rms_normalization, frozenset({23})),
    }
)
"""Expansion of each operator of ``ai.onnx``, and the versions of its definition it is true of."""
