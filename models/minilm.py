"""Builds all-MiniLM-L6-v2 as an ONNX file from its published weights.

A BERT encoder of 6 layers, width 384, 12 heads (Wang et al. 2020, arXiv:2002.10957; Reimers and
Gurevych 2019, arXiv:1908.10084), then the mean over the tokens that the mask keeps, and length 1:
what the model card tells callers to do is in the graph, so an answer is an embedding. The weights
are moved, never changed. Operator set 20.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import sqrt

import numpy as np

from models.onnxfile import FLOAT, INT64, Graph, Value

__all__ = ["make"]

LAYERS, HEADS, WIDTH, HEAD, POSITIONS = 6, 12, 384, 32, 512
EPSILON = 1e-12
MASKED = -1e9
"""Added to the score of a token that is none: its weight becomes exactly 0."""


class _Weights:
    """A safetensors file: 8 bytes of length, a JSON table, and the tensors' bytes."""

    def __init__(self, data: bytes) -> None:
        size = int.from_bytes(data[:8], "little")
        self._table: dict[str, dict[str, list[int]]] = json.loads(data[8 : 8 + size])
        self._data = memoryview(data)[8 + size :]

    def read(self, name: str) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        entry = self._table[name]
        start, end = entry["data_offsets"]
        return np.frombuffer(self._data[start:end], "<f4").reshape(entry["shape"])


class _Builder:
    """The graph in the making, and the weights that it takes."""

    def __init__(self, weights: _Weights) -> None:
        self.weights = weights
        self.graph = Graph(name="all-MiniLM-L6-v2", opset=20, ir_version=9)

    def take(self, name: str, *, turned: bool = False) -> str:
        """Take a weight into the graph; a layer's matrix is turned, so that rows are inputs."""
        array = self.weights.read(name)
        array = np.ascontiguousarray(array.T) if turned else array
        return self.graph.weigh(name, array.shape, array.tobytes())

    def linear(self, x: str, name: str) -> str:
        weight = self.take(f"{name}.weight", turned=True)
        product = self.graph.add("MatMul", (x, weight))
        return self.graph.add("Add", (product, self.take(f"{name}.bias")))

    def norm(self, x: str, name: str) -> str:
        names = (x, self.take(f"{name}.weight"), self.take(f"{name}.bias"))
        return self.graph.add("LayerNormalization", names, axis=-1, epsilon=EPSILON)

    def embed(self) -> str:
        """Tokens, their positions, and the one segment that a sentence is."""
        add = self.graph.add
        words = add("Gather", (self.take("embeddings.word_embeddings.weight"), "input_ids"))
        length = add("Shape", ("input_ids",), start=1, end=2)
        table = self.take("embeddings.position_embeddings.weight")
        positions = add("Slice", (table, "zero", length))
        kinds = self.weights.read("embeddings.token_type_embeddings.weight")[:1]
        kind = self.graph.weigh("first_token_type", kinds.shape, kinds.tobytes())
        total = add("Add", (add("Add", (words, kind)), positions))
        return self.norm(total, "embeddings.LayerNorm")

    def split(self, x: str) -> str:
        """[n, s, width] to [n, heads, s, head]."""
        parts = self.graph.add("Reshape", (x, "by_head"))
        return self.graph.add("Transpose", (parts,), perm=(0, 2, 1, 3))

    def attend(self, x: str, penalty: str, name: str) -> str:
        add = self.graph.add
        query, key, value = (
            self.split(self.linear(x, f"{name}.self.{part}")) for part in ("query", "key", "value")
        )
        turned = add("Transpose", (key,), perm=(0, 1, 3, 2))
        scores = add("Mul", (add("MatMul", (query, turned)), "scale"))
        shares = add("Softmax", (add("Add", (scores, penalty)),), axis=-1)
        heads = add("Transpose", (add("MatMul", (shares, value)),), perm=(0, 2, 1, 3))
        mixed = self.linear(add("Reshape", (heads, "joined")), f"{name}.output.dense")
        return self.norm(add("Add", (mixed, x)), f"{name}.output.LayerNorm")

    def layer(self, x: str, penalty: str, number: int) -> str:
        add, name = self.graph.add, f"encoder.layer.{number}"
        x = self.attend(x, penalty, f"{name}.attention")
        wide = add("Gelu", (self.linear(x, f"{name}.intermediate.dense"),))
        narrow = self.linear(wide, f"{name}.output.dense")
        return self.norm(add("Add", (narrow, x)), f"{name}.output.LayerNorm")

    def pool(self, x: str, mask: str) -> None:
        """The mean over real tokens, at length 1."""
        add = self.graph.add
        kept = add("Unsqueeze", (mask, "two"))
        total = add("ReduceSum", (add("Mul", (x, kept)), "one"), keepdims=0)
        count = add("Max", (add("ReduceSum", (kept, "one"), keepdims=0), "tiny"))
        mean = add("Div", (total, count))
        length = add("Max", (add("ReduceL2", (mean, "one"), keepdims=1), "tiny"))
        add("Div", (mean, length), "embedding")


def make(sources: Mapping[str, bytes]) -> dict[str, bytes]:
    """Build the model.

    Args:
        sources: Holds `model.safetensors`.

    Returns:
        `model.onnx`: `input_ids` and `attention_mask`, int64 of shape (n, s), s at most 512, to
        `embedding`, float32 of shape (n, 384).
    """
    builder = _Builder(_Weights(sources["model.safetensors"]))
    graph = builder.graph
    for name, values in (
        ("zero", (0,)),
        ("one", (1,)),
        ("two", (2,)),
        ("one_two", (1, 2)),
        ("by_head", (0, 0, HEADS, HEAD)),
        ("joined", (0, 0, WIDTH)),
    ):
        graph.hold(name, values, INT64)
    constants = {"scale": 1 / sqrt(HEAD), "masked": MASKED, "unit": 1.0, "tiny": EPSILON}
    for name, value in constants.items():
        graph.hold(name, (value,), rank=0)
    mask = graph.add("Cast", ("attention_mask",), to=FLOAT)
    absent = graph.add("Sub", ("unit", graph.add("Unsqueeze", (mask, "one_two"))))
    penalty = graph.add("Mul", (absent, "masked"))
    x = builder.embed()
    for number in range(LAYERS):
        x = builder.layer(x, penalty, number)
    builder.pool(x, mask)
    inputs = [Value(name=n, kind=INT64, shape=("n", "s")) for n in ("input_ids", "attention_mask")]
    outputs = [Value(name="embedding", kind=FLOAT, shape=("n", WIDTH))]
    return {
        "model.onnx": graph.encode(
            inputs, outputs, producer="models/minilm.py", doc="all-MiniLM-L6-v2 with its pooling"
        )
    }
