"""The transformer of `tests.unit.canon.evaluate.networks` as an ONNX model of usual operators."""

from __future__ import annotations

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper


class _Builder:
    """Nodes and initialisers as they are added."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes, self.initialisers = [], []

    def draw(self, shape: tuple[int, ...], scale: float, around: float = 0.0) -> str:
        return self.keep((around + scale * self.rng.standard_normal(shape)).astype(np.float32))

    def keep(self, array: np.ndarray) -> str:
        name = f"w{len(self.initialisers)}"
        self.initialisers.append(numpy_helper.from_array(np.asarray(array, order="C"), name))
        return name

    def add(self, operator: str, *reads: str, **attributes: object) -> str:
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(reads), [name], **attributes))
        return name


def make_onnx_transformer(
    layers: int, width: int, heads: int, tokens: int, *, batch: int = 1, seed: int = 0
) -> bytes:
    """Make the model; weights are drawn in the same order as there."""
    net = _Builder(seed)

    def normalise(x: str) -> str:
        gain, shift = net.draw((width,), 0.1, 1.0), net.draw((width,), 0.1)
        return net.add("LayerNormalization", x, gain, shift, axis=-1, epsilon=1e-5)

    def apply_linear(x: str, rows: int, columns: int) -> str:
        matrix = (net.rng.standard_normal((columns, rows)) / rows**0.5).astype(np.float32)
        product = net.add("MatMul", x, net.keep(matrix.T))
        return net.add("Add", product, net.draw((columns,), 0.1))

    size = width // heads
    split = net.keep(np.array([batch, tokens, heads, size]))
    joined = net.keep(np.array([batch, tokens, width]))
    scale = net.keep(np.array(size**-0.5, np.float32))

    def apply_head(y: str, perm: list[int]) -> str:
        return net.add(
            "Transpose", net.add("Reshape", apply_linear(y, width, width), split), perm=perm
        )

    x = "x"
    for _ in range(layers):
        y = normalise(x)
        query, key = apply_head(y, [0, 2, 1, 3]), apply_head(y, [0, 2, 3, 1])
        value = apply_head(y, [0, 2, 1, 3])
        scores = net.add("Mul", net.add("MatMul", query, key), scale)
        mixed = net.add("MatMul", net.add("Softmax", scores, axis=-1), value)
        mixed = net.add("Reshape", net.add("Transpose", mixed, perm=[0, 2, 1, 3]), joined)
        x = net.add("Add", x, apply_linear(mixed, width, width))
        y = net.add("Gelu", apply_linear(normalise(x), width, 4 * width))
        x = net.add("Add", x, apply_linear(y, 4 * width, width))
    last = normalise(x)
    shape = [batch, tokens, width]
    graph = helper.make_graph(
        net.nodes,
        "transformer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(last, TensorProto.FLOAT, shape)],
        net.initialisers,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    return model.SerializeToString()


def open_session(model: bytes) -> onnxruntime.InferenceSession:
    """Open a model in ONNX Runtime, one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
