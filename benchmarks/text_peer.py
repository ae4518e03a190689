"""A llama as an ONNX model of opset 23 over a file of weights, with its cache as tensors.

What the decoder is compared with: the same weights, float32, in ONNX Runtime.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnxruntime
from onnx import TensorProto, helper

from probatum.protocol.manifests import TextModel
from probatum.protocol.safetensors import PREFIX_BYTES, StoredTensor, decode_head, read_size

WEIGHTS_NAME = "model.safetensors"


def make_session(
    weights: Path, text: TextModel, folder: Path, *, threads: int, rows: int | None = None
) -> onnxruntime.InferenceSession:
    """Open the model.

    Args:
        weights: A safetensors file.
        text: Its sizes.
        folder: Where the model and a copy of the weights may lie.
        threads: Of a run.
        rows: How many of the last rows get logits; absent for all.
    """
    # Neither kind of link: a package whose file has two names is refused by whoever else opens it.
    if not (folder / WEIGHTS_NAME).exists():
        shutil.copyfile(weights, folder / WEIGHTS_NAME)
    path = folder / f"model-{rows}.onnx"
    if not path.exists():
        path.write_bytes(_Graph(weights, text).build(rows))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


class Peer:
    """Texts of one length that ONNX Runtime reads, with what it keeps of them."""

    def __init__(self, session: onnxruntime.InferenceSession, text: TextModel, count: int) -> None:
        self.session, self.text, self.count, self.length = session, text, count, 0
        empty = np.zeros((count, text.kv_heads, 0, text.head_width), np.float32)
        self.cache = [onnxruntime.OrtValue.ortvalue_from_numpy(empty)] * (2 * text.layers)
        self.outputs = [one.name for one in session.get_outputs()]

    def read(self, tokens: np.ndarray) -> np.ndarray:
        """Read tokens [count, s]: the logits."""
        places = np.broadcast_to(self.length + np.arange(tokens.shape[1]), tokens.shape)
        make = onnxruntime.OrtValue.ortvalue_from_numpy
        feed = {"ids": make(tokens), "places": make(np.ascontiguousarray(places, np.int64))}
        for number, one in enumerate(self.cache):
            feed[f"past{number}"] = one
        logits, *self.cache = self.session.run_with_ort_values(self.outputs, feed)
        self.length += tokens.shape[1]
        return logits.numpy()


class _Graph:
    """Nodes and initialisers as they are added."""

    def __init__(self, weights: Path, text: TextModel) -> None:
        with weights.open("rb") as stream:
            head = stream.read(read_size(stream.read(PREFIX_BYTES)))
        self.stored = {one.name: one for one in decode_head(head, weights.stat().st_size)}
        self.text = text
        self.nodes, self.initialisers, self.known = [], [], set()

    def weight(self, name: str) -> str:
        if name not in self.known:
            self.known.add(name)
            self.initialisers.append(_refer(self.stored[name]))
        return name

    def add(self, operator: str, *reads: str, outputs: int = 1, **attributes: object) -> list[str]:
        names = [f"t{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(operator, list(reads), names, **attributes))
        return names

    def one(self, operator: str, *reads: str, **attributes: object) -> str:
        return self.add(operator, *reads, **attributes)[0]

    def project(self, x: str, name: str) -> str:
        flipped = self.one("Transpose", self.weight(name), perm=[1, 0])
        return self.one("MatMul", x, flipped)

    def norm(self, x: str, name: str) -> str:
        epsilon = float(np.array([self.text.norm_epsilon_bits], np.uint32).view(np.float32)[0])
        return self.one("RMSNormalization", x, self.weight(name), axis=-1, epsilon=epsilon)

    def turn(self, x: str, heads: int) -> str:
        tables = self.weight("rope.cos"), self.weight("rope.sin")
        return self.one("RotaryEmbedding", x, *tables, "places", num_heads=heads)

    def build(self, rows: int | None) -> bytes:
        text = self.text
        outputs = []
        x = self.one("Gather", self.weight("model.embed_tokens.weight"), "ids", axis=0)
        for layer in range(text.layers):
            prefix = f"model.layers.{layer}."
            h = self.norm(x, prefix + "input_layernorm.weight")
            q, k, v = (self.project(h, f"{prefix}self_attn.{one}_proj.weight") for one in "qkv")
            mixed, *present = self.add(
                "Attention",
                *(self.turn(q, text.heads), self.turn(k, text.kv_heads), v, ""),
                *(f"past{2 * layer}", f"past{2 * layer + 1}"),
                outputs=3,
                is_causal=1,
                q_num_heads=text.heads,
                kv_num_heads=text.kv_heads,
            )
            outputs += present
            x = self.one("Add", x, self.project(mixed, prefix + "self_attn.o_proj.weight"))
            h = self.norm(x, prefix + "post_attention_layernorm.weight")
            gate, up = (self.project(h, f"{prefix}mlp.{one}_proj.weight") for one in ("gate", "up"))
            gated = self.one("Mul", self.one("Mul", gate, self.one("Sigmoid", gate)), up)
            x = self.one("Add", x, self.project(gated, prefix + "mlp.down_proj.weight"))
        if rows is not None:
            for name, value in (("first", -rows), ("last", 1 << 40), ("axis", 1)):
                self.initialisers.append(helper.make_tensor(name, TensorProto.INT64, [1], [value]))
            x = self.one("Slice", x, "first", "last", "axis")
        head = "model.embed_tokens.weight" if text.is_tied else "lm_head.weight"
        logits = self.project(self.norm(x, "model.norm.weight"), head)
        past = [None, text.kv_heads, None, text.head_width]
        graph = helper.make_graph(
            self.nodes,
            "llama",
            [
                helper.make_tensor_value_info("ids", TensorProto.INT64, ["b", "s"]),
                helper.make_tensor_value_info("places", TensorProto.INT64, ["b", "s"]),
                *(
                    helper.make_tensor_value_info(f"past{number}", TensorProto.FLOAT, past)
                    for number in range(2 * text.layers)
                ),
            ],
            [
                helper.make_tensor_value_info(name, TensorProto.FLOAT, None)
                for name in (logits, *outputs)
            ],
            self.initialisers,
        )
        opset = helper.make_opsetid("", 23)
        return helper.make_model(graph, opset_imports=[opset], ir_version=11).SerializeToString()


def _refer(stored: StoredTensor) -> TensorProto:
    """Refer to a tensor where it lies."""
    tensor = TensorProto(
        name=stored.name,
        data_type=TensorProto.FLOAT,
        dims=stored.shape,
        data_location=TensorProto.EXTERNAL,
    )
    facts = {"location": WEIGHTS_NAME, "offset": stored.begin, "length": stored.size}
    for key, value in facts.items():
        tensor.external_data.add(key=key, value=str(value))
    return tensor
