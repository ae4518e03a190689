"""Small networks in canonical primitives, built by hand: a transformer, a convolution."""

from __future__ import annotations

import hashlib

import numpy as np

from probatum.canon.evaluate.evaluating import Evaluator
from probatum.canon.graph.records import (
    ENTRY,
    INPUT,
    WEIGHT,
    Attribute,
    CanonicalGraph,
    InputRecord,
    NodeRecord,
    OutputRecord,
    Ref,
    WeightRecord,
)


class Network:
    """Records as they are added; shapes by reference."""

    def __init__(self):
        self.inputs, self.weights, self.nodes, self.arrays = [], [], [], []
        self.shapes = {}

    def add_input(self, shape, dtype="float32"):
        self.inputs.append(InputRecord(name=f"x{len(self.inputs)}", dtype=dtype, shape=shape))
        return self._note(Ref(space=INPUT, number=len(self.inputs) - 1), shape)

    def add_weight(self, array):
        array = np.asarray(array, order="C")
        self.arrays.append(array)
        record = WeightRecord(dtype=str(array.dtype), shape=array.shape, root=bytes(32))
        self.weights.append(record)
        return self._note(Ref(space=WEIGHT, number=len(self.weights) - 1), array.shape)

    def add(self, operator, *reads, size=None, dtype="float32", **attributes):
        if size is None:
            size = np.broadcast_shapes(*(self.shapes[ref.space, ref.number] for ref in reads))
        record = NodeRecord(
            operator=operator,
            version=1,
            attributes=tuple(
                Attribute(name=name, value=value) for name, value in sorted(attributes.items())
            ),
            reads=reads,
            dtype=dtype,
            shape=tuple(size),
        )
        self.nodes.append(record)
        return self._note(Ref(space=ENTRY, number=len(self.nodes) - 1), tuple(size))

    def _note(self, ref, shape):
        self.shapes[ref.space, ref.number] = shape
        return ref

    def shape(self, ref):
        return self.shapes[ref.space, ref.number]

    def scalar(self, value):
        return self.add_weight(np.array(value, np.float32))

    def reduce(self, operator, x):
        return self.add(operator, x, size=(*self.shape(x)[:-1], 1))

    def reshape(self, x, shape):
        return self.add("Reshape", x, size=shape, shape=shape)

    def transpose(self, x, perm):
        size = tuple(self.shape(x)[axis] for axis in perm)
        return self.add("Transpose", x, size=size, perm=perm)

    def dot(self, x, y):
        one, two = self.shape(x), self.shape(y)
        batch = np.broadcast_shapes(one[:-2], two[:-2])
        return self.add("Dot", x, y, size=(*batch, one[-2], two[-2]))

    def finish(self, *outputs):
        return CanonicalGraph(
            dims=(),
            inputs=tuple(self.inputs),
            weights=tuple(self.weights),
            nodes=tuple(self.nodes),
            outputs=tuple(
                OutputRecord(name=f"y{number}", ref=ref) for number, ref in enumerate(outputs)
            ),
        )


def make_transformer(layers, width, heads, tokens, *, batch=1, causal=False, seed=0):
    """Pre-norm blocks: two-pass LayerNorm, Softmax, Gelu with Erf; random weights.

    Weights are drawn in the order in which `benchmarks.canon_networks` draws them for ONNX.
    """
    rng = np.random.default_rng(seed)
    net = Network()
    x = net.add_input((batch, tokens, width))

    def normalise(x):
        centred = net.add("Sub", x, net.reduce("ReduceMean", x))
        variance = net.reduce("ReduceMean", net.add("Mul", centred, centred))
        deviation = net.add("Sqrt", net.add("Add", variance, net.scalar(1e-5)))
        scaled = net.add("Div", centred, deviation)
        gain = net.add_weight((1 + 0.1 * rng.standard_normal(width)).astype("f4"))
        shift = net.add_weight((0.1 * rng.standard_normal(width)).astype("f4"))
        return net.add("Add", net.add("Mul", scaled, gain), shift)

    def apply_linear(x, columns):
        rows = net.shape(x)[-1]
        matrix = net.add_weight((rng.standard_normal((columns, rows)) / rows**0.5).astype("f4"))
        shift = net.add_weight((0.1 * rng.standard_normal(columns)).astype("f4"))
        return net.add("Add", net.dot(x, matrix), shift)

    size = width // heads
    split = (batch, tokens, heads, size)
    for _ in range(layers):
        y = normalise(x)
        query = net.transpose(net.reshape(apply_linear(y, width), split), (0, 2, 1, 3))
        key = net.transpose(net.reshape(apply_linear(y, width), split), (0, 2, 1, 3))
        value = net.transpose(net.reshape(apply_linear(y, width), split), (0, 2, 3, 1))
        scores = net.add("Mul", net.dot(query, key), net.scalar(size**-0.5))
        if causal:
            mask = np.triu(np.full((tokens, tokens), -np.inf, np.float32), 1)
            scores = net.add("Add", scores, net.add_weight(mask))
        powers = net.add("Exp", net.add("Sub", scores, net.reduce("ReduceMax", scores)))
        shares = net.add("Div", powers, net.reduce("ReduceSum", powers))
        mixed = net.transpose(net.dot(shares, value), (0, 2, 1, 3))
        mixed = net.reshape(mixed, (batch, tokens, width))
        x = net.add("Add", x, apply_linear(mixed, width))
        y = apply_linear(normalise(x), 4 * width)
        gate = net.add("Add", net.add("Erf", net.add("Div", y, net.scalar(2**0.5))), net.scalar(1))
        y = net.add("Mul", net.add("Mul", net.scalar(0.5), y), gate)
        x = net.add("Add", x, apply_linear(y, width))
    return net.finish(normalise(x)), net.arrays


def make_convolutions(*, seed=0):
    """A few convolutions, a depthwise one, pools, a sigmoid."""
    rng = np.random.default_rng(seed)
    net = Network()
    x = net.add_input((2, 14, 15, 6))

    def convolve(x, maps, kernel, size, group=1, pad=1):
        channels = net.shape(x)[-1] // group
        weight = rng.standard_normal((maps, *kernel, channels)) / (kernel[0] * channels) ** 0.5
        return net.add(
            "Conv",
            x,
            net.add_weight(weight.astype("f4")),
            size=(2, *size, maps),
            strides=(1, 1),
            pads_begin=(pad, pad),
            pads_end=(pad, pad),
            dilations=(1, 1),
            group=(group,),
        )

    window = {
        "kernel": (2, 2),
        "strides": (2, 2),
        "pads_begin": (0, 0),
        "pads_end": (0, 1),
        "dilations": (1, 1),
    }
    x = net.add("Relu", convolve(x, 12, (3, 3), (14, 15)))
    x = convolve(x, 12, (3, 3), (14, 15), group=12)
    x = net.add("WindowMean", x, size=(2, 7, 8, 12), count_include_pad=(0,), **window)
    x = net.add("Sigmoid", convolve(x, 16, (1, 1), (7, 8), pad=0))
    x = net.add("WindowMax", x, size=(2, 3, 4, 16), **window)
    x = net.reshape(net.transpose(net.reshape(x, (2, 12, 16)), (0, 2, 1)), (32, 12))
    return net.finish(net.reduce("ReduceMean", x), net.add("Tanh", x)), net.arrays


def hash_entries(graph, arrays, x, **settings):
    """SHA-256 over all entries' bytes, and the outputs'."""
    digest = hashlib.sha256()
    evaluator = Evaluator(graph, arrays, **settings)
    outputs = evaluator.evaluate([x], sink=lambda _, array: digest.update(array.tobytes()))
    for output in outputs:
        digest.update(output.tobytes())
    evaluator.close()
    return digest.hexdigest()


def hash_networks(**settings):
    """One digest of everything that two networks compute."""
    rng = np.random.default_rng(99)
    found = []
    for graph, arrays in (
        make_transformer(2, 96, 3, 40, causal=True),
        make_convolutions(),
    ):
        x = rng.standard_normal(graph.inputs[0].shape).astype(np.float32)
        found.append(hash_entries(graph, arrays, x, **settings))
    return "".join(found)
