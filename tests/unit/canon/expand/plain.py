"""A canonical graph computed plainly: float64 and numpy, good to about 1e-6 and no better.

Only shows that an expansion means what the operator means; bits are `canon.evaluate`'s matter.
"""

from __future__ import annotations

import itertools
import math

import numpy as np

from probatum.canon.expand.numbering import Expanded
from probatum.canon.graph.binding import bind_dims, bind_graph
from probatum.canon.graph.records import ENTRY, INPUT

_erf = np.vectorize(math.erf, otypes=[np.float64])

BINARY = {
    "Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Max": np.maximum, "Min": np.minimum,
    "Pow": np.power, "Equal": np.equal, "Less": np.less, "LessOrEqual": np.less_equal,
    "Greater": np.greater, "GreaterOrEqual": np.greater_equal, "And": np.logical_and,
    "Or": np.logical_or, "Xor": np.logical_xor, "Mod": np.mod,
    "BitAnd": np.bitwise_and, "BitOr": np.bitwise_or, "BitXor": np.bitwise_xor,
}  # fmt: skip
UNARY = {
    "BitNot": np.invert,
    "Neg": np.negative, "Abs": np.abs, "Sign": np.sign, "Floor": np.floor, "Ceil": np.ceil,
    "Round": np.rint, "Sqrt": np.sqrt, "Exp": np.exp, "Log": np.log, "Tanh": np.tanh,
    "Sin": np.sin, "Cos": np.cos, "Not": np.logical_not, "IsNan": np.isnan, "Erf": _erf,
    "Relu": lambda x: np.maximum(x, 0), "Sigmoid": lambda x: 1 / (1 + np.exp(-x)),
}  # fmt: skip


def _windows(node, x):
    """Yield each output position and the kernel positions that lie inside, channels last."""
    kernel = node.get_ints("kernel")
    for place in itertools.product(*(range(size) for size in node.output.shape[1:-1])):
        inside = []
        for offset in itertools.product(*(range(size) for size in kernel)):
            at = tuple(
                p * s + o * d - b
                for p, s, o, d, b in zip(
                    place, node.get_ints("strides"), offset, node.get_ints("dilations"),
                    node.get_ints("pads_begin"), strict=True,
                )
            )  # fmt: skip
            if all(0 <= a < n for a, n in zip(at, x.shape[1:-1], strict=True)):
                inside.append((offset, at))
        yield place, inside


def _conv(node, x, w):
    group = node.get_int("group")
    out = np.zeros(node.output.shape)
    width, rows = w.shape[-1], w.shape[0] // group
    shown = type(node)(
        operator="", version=1, reads=(), inputs=(), output=node.output,
        attributes={**node.attributes, "kernel": w.shape[1:-1]},
    )  # fmt: skip
    for place, inside in _windows(shown, x):
        for offset, at in inside:
            pixel = x[(slice(None), *at)]
            tap = w[(slice(None), *offset)]
            for g in range(group):
                part = pixel[:, g * width : (g + 1) * width] @ tap[g * rows : (g + 1) * rows].T
                out[(slice(None), *place, slice(g * rows, (g + 1) * rows))] += part
    return out


def _pool(node, x):
    out = np.zeros(node.output.shape)
    for place, inside in _windows(node, x):
        taken = np.stack([x[(slice(None), *at)] for _, at in inside])
        where = (slice(None), *place)
        if node.operator == "WindowMax":
            out[where] = taken.max(0)
        else:
            counted = math.prod(node.get_ints("kernel"))
            out[where] = taken.sum(0) / (
                counted if node.get_int("count_include_pad") else len(inside)
            )
    return out


def _pad(node, x, value):
    begins, shape = node.get_ints("begins"), node.get_ints("shape")
    pads = [(b, n - b - s) for b, n, s in zip(begins, shape, x.shape, strict=True)]
    mode = node.get_word("mode")
    return np.pad(x, pads, mode, **({"constant_values": value} if mode == "constant" else {}))


def _slice(node, x):
    for axis, (start, step, size) in enumerate(
        zip(node.get_ints("starts"), node.get_ints("steps"), node.get_ints("shape"), strict=True)
    ):
        x = np.take(x, start + step * np.arange(size), axis=axis)
    return x


def _scatter(node, data, indices, updates):
    out = data.copy()
    np.put_along_axis(out, np.where(indices < 0, indices + data.shape[-1], indices), updates, -1)
    return out


def _scatter_nd(node, data, indices, updates):
    out = data.copy()
    for place in np.ndindex(indices.shape[:-1]):
        out[tuple(indices[place])] = updates[place]
    return out


def _topk(node, x):
    back = np.flip(x, -1)
    if node.get_int("largest"):
        order = x.shape[-1] - 1 - np.flip(np.argsort(back, axis=-1, kind="stable"), -1)
    else:
        order = np.argsort(x, axis=-1, kind="stable")
    return order[..., : node.get_int("k")]


def _arg(find):
    def run(node, x):
        if node.get_int("select_last"):
            return x.shape[-1] - 1 - find(np.flip(x, -1), axis=-1, keepdims=True)
        return find(x, axis=-1, keepdims=True)

    return run


def _divide(a, b):
    return np.divide(a, b) if a.dtype.kind == "f" else np.trunc(a / b).astype(a.dtype)


SPECIAL = {
    "Div": lambda n, a, b: _divide(a, b),
    "Reshape": lambda n, x: x.reshape(n.get_ints("shape")),
    "Transpose": lambda n, x: x.transpose(n.get_ints("perm")),
    "Slice": _slice,
    "Concat": lambda n, *xs: np.concatenate(xs, axis=n.get_int("axis")),
    "Expand": lambda n, x: np.broadcast_to(x, n.get_ints("shape")),
    "Pad": _pad,
    "Gather": lambda n, x, i: np.take(x, i, axis=n.get_int("axis")),
    "GatherElements": lambda n, x, i: np.take_along_axis(x, i, n.get_int("axis")),
    "Where": lambda n, c, a, b: np.where(c, a, b),
    "Iota": lambda n: n.get_int("start") + n.get_int("step") * np.arange(n.get_int("shape")),
    "Cast": lambda n, x: x,
    "Dot": lambda n, a, b: a @ np.swapaxes(b, -1, -2),
    "Conv": _conv,
    "WindowMax": _pool,
    "WindowMean": _pool,
    "ReduceSum": lambda n, x: x.sum(-1, keepdims=True),
    "ReduceMean": lambda n, x: x.mean(-1, keepdims=True),
    "ReduceMax": lambda n, x: x.max(-1, keepdims=True),
    "ReduceMin": lambda n, x: x.min(-1, keepdims=True),
    "ArgMax": _arg(np.argmax),
    "ArgMin": _arg(np.argmin),
    "TopK": _topk,
    "ScatterElements": _scatter,
    "ScatterND": _scatter_nd,
}


def run_plainly(expanded: Expanded, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Compute the outputs; every tensor is rounded to its type, not exactly."""
    graph = expanded.graph
    arrays = [inputs[record.name] for record in graph.inputs]
    bound = bind_graph(graph, bind_dims(graph, tuple(one.shape for one in arrays)))
    entries: list[np.ndarray] = []
    spaces = {INPUT: arrays, 1: list(expanded.weights), ENTRY: entries}
    with np.errstate(all="ignore"):
        for node in bound.nodes:
            reads = [spaces[ref.space][ref.number] for ref in node.reads]
            reads = [x.astype(np.float64) if x.dtype == np.float32 else x for x in reads]
            if node.operator in BINARY:
                result = BINARY[node.operator](*reads)
            elif node.operator in UNARY:
                result = UNARY[node.operator](*reads)
            else:
                result = SPECIAL[node.operator](node, *reads)
            result = np.asarray(result).astype(np.dtype(node.output.dtype))
            assert result.shape == node.output.shape, (node.operator, result.shape, node.output)
            entries.append(result)
    return {one.name: spaces[one.ref.space][one.ref.number] for one in graph.outputs}
