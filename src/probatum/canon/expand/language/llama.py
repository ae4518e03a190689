"""The canonical graph of a llama-type language model, with the rule of its tokens (`TEXT-1`).

One evaluation is a prefill of prompt and answer together: it gives the rule's choice at every place
of the answer. Only roots of weights are needed, never their elements. Read `choosing` next.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import Final

import numpy as np

from probatum.canon.expand.builder import Builder
from probatum.canon.expand.language.choosing import Rule, emit_choice, emit_end
from probatum.canon.expand.language.weights import list_llama_weights
from probatum.canon.expand.numbering import number_graph
from probatum.canon.expand.values import Array, Computed, Known, Value, make_known
from probatum.canon.graph.records import (
    INPUT,
    WEIGHT,
    CanonicalGraph,
    DimRecord,
    InputRecord,
    NodeRecord,
    Ref,
    WeightRecord,
)
from probatum.canon.graph.sizes import Size, make_dim
from probatum.canon.graph.types import TensorType
from probatum.canon.primitives.maps.noise import NONCE_WORDS
from probatum.errors import Misuse
from probatum.protocol.manifests import TextModel
from probatum.protocol.primitives import Root

__all__ = ["GRAPH_INPUTS", "GRAPH_OUTPUTS", "LlamaGraph", "build_llama_graph"]

PROMPT: Final = make_dim("p")
ANSWER: Final = make_dim("a")
ROWS: Final[Size] = PROMPT + ANSWER - 1
"""Tokens that are read: all but the answer's last."""

GRAPH_INPUTS: Final = (
    InputRecord(name="prompt", dtype="int64", shape=(PROMPT,)),
    InputRecord(name="answer", dtype="int64", shape=(ANSWER,)),
    InputRecord(name="limit", dtype="int64", shape=(1,)),
    InputRecord(name="temperature", dtype="float32", shape=(1,)),
    InputRecord(name="top_k", dtype="int64", shape=(1,)),
    InputRecord(name="choice", dtype="int64", shape=(1,)),
    InputRecord(name="nonce", dtype="int64", shape=(NONCE_WORDS,)),
)
GRAPH_OUTPUTS: Final = ("chosen", "ended")


@dataclass(frozen=True, slots=True, kw_only=True)
class LlamaGraph:
    """A canonical graph, and the few weights that no file holds.

    Attributes:
        graph: Its first weight records are `list_llama_weights`, in that order.
        constants: Elements of the records after those: an epsilon, a scale, the stop tokens.
    """

    graph: CanonicalGraph
    constants: tuple[Array, ...]


def build_llama_graph(
    text: TextModel,
    roots: tuple[Root, ...],
    *,
    prompts: tuple[int, int],
    answers: tuple[int, int],
) -> LlamaGraph:
    """Build the graph of a model.

    Args:
        text: Its sizes and stop tokens.
        roots: Of the weights, in the order of `list_llama_weights` (`compute_weight_root`).
        prompts: Least and greatest admitted length of a prompt, the dim p.
        answers: Of an answer, the dim a.

    Raises:
        Refusal: `canon.*` where sizes do not fit one another.
        Misuse: `canon.wrong-weights` if there are more or fewer roots than weights.
    """
    specs = list_llama_weights(text)
    if len(roots) != len(specs):
        raise Misuse("canon.wrong-weights", f"{len(specs)} weights, and {len(roots)} roots")
    build = Builder({"p": prompts, "a": answers})
    given = {
        record.name: Computed(
            is_input=True, number=number, type=TensorType(record.dtype, record.shape)
        )
        for number, record in enumerate(GRAPH_INPUTS)
    }
    # To the builder a weight of the file is one more input: it is not to look into it.
    weights = {
        spec.name: Computed(
            is_input=True, number=len(GRAPH_INPUTS) + number, type=TensorType("float32", spec.shape)
        )
        for number, spec in enumerate(specs)
    }
    logits = _Llama(build, text, weights).emit_logits(given["prompt"], given["answer"])
    rule = Rule(
        temperature=given["temperature"],
        top_k=given["top_k"],
        choice=given["choice"],
        nonce=given["nonce"],
    )
    outputs = (
        emit_choice(build, text, logits, rule),
        emit_end(build, text, given["answer"], given["limit"]),
    )
    dims = (
        DimRecord(name="a", least=answers[0], greatest=answers[1]),
        DimRecord(name="p", least=prompts[0], greatest=prompts[1]),
    )
    expanded = number_graph(
        build, dims, GRAPH_INPUTS, tuple(zip(GRAPH_OUTPUTS, outputs, strict=True))
    )
    stored = tuple(
        WeightRecord(dtype="float32", shape=spec.shape, root=root)
        for spec, root in zip(specs, roots, strict=True)
    )
    return LlamaGraph(graph=_name_weights(expanded.graph, stored), constants=expanded.weights)


def _name_weights(graph: CanonicalGraph, stored: tuple[WeightRecord, ...]) -> CanonicalGraph:
    """Turn the inputs after the last one into the first weights."""

    def turn(ref: Ref) -> Ref:
        if ref.space == WEIGHT:
            return Ref(space=WEIGHT, number=len(stored) + ref.number)
        if ref.space == INPUT and ref.number >= len(GRAPH_INPUTS):
            return Ref(space=WEIGHT, number=ref.number - len(GRAPH_INPUTS))
        return ref

    def turn_node(node: NodeRecord) -> NodeRecord:
        return NodeRecord(
            operator=node.operator,
            version=node.version,
            attributes=node.attributes,
            reads=tuple(turn(ref) for ref in node.reads),
            dtype=node.dtype,
            shape=node.shape,
        )

    return CanonicalGraph(
        dims=graph.dims,
        inputs=graph.inputs,
        weights=stored + graph.weights,
        nodes=tuple(turn_node(node) for node in graph.nodes),
        outputs=graph.outputs,
    )


class _Llama:
    """Emits the layers; every method takes and gives rows of tokens."""

    def __init__(self, build: Builder, text: TextModel, weights: dict[str, Computed]) -> None:
        self._build = build
        self._text = text
        self._weights = weights
        epsilon = np.array(text.norm_epsilon_bits, np.uint32).view(np.float32)
        self._epsilon = Known("float32", epsilon)
        self._scale = make_known("float32", 1 / sqrt(text.head_width))
        self._least = make_known("float32", -np.inf)
        emit = build.emit
        half = text.head_width // 2
        # Angles of the rows, one for all heads; and who may see whom.
        self._angles = tuple(
            emit(
                "Reshape",
                emit("Slice", weights[name], starts=(0, 0), steps=(1, 1), shape=(ROWS, half)),
                shape=(ROWS, 1, half),
            )
            for name in ("rope.cos", "rope.sin")
        )
        places = emit("Iota", dtype="int64", start=0, step=1, shape=(ROWS,))
        self._seen = emit(
            "LessOrEqual",
            emit("Reshape", places, shape=(1, ROWS)),
            emit("Reshape", places, shape=(ROWS, 1)),
        )

    def emit_logits(self, prompt: Value, answer: Value) -> Value:
        """Emit the logits [a, V] of each place of the answer."""
        emit, text = self._build.emit, self._text
        read = emit("Slice", answer, starts=0, steps=1, shape=(ANSWER - 1,))
        ids = emit("Concat", prompt, read, axis=0)
        table = self._weights["model.embed_tokens.weight"]
        x = emit("Gather", table, ids, axis=0)
        for layer in range(text.layers):
            prefix = f"model.layers.{layer}."
            h = self._norm(x, prefix + "input_layernorm")
            x = emit("Add", x, self._attend(h, prefix + "self_attn."))
            h = self._norm(x, prefix + "post_attention_layernorm")
            x = emit("Add", x, self._feed(h, prefix + "mlp."))
        last = emit("Slice", x, starts=(PROMPT - 1, 0), steps=(1, 1), shape=(ANSWER, text.width))
        head = table if text.is_tied else self._weights["lm_head.weight"]
        return emit("Dot", self._norm(last, "model.norm"), head)

    def _project(self, x: Value, name: str) -> Value:
        """Multiply by a matrix; what is added to that, if something is, is added rounded."""
        emit = self._build.emit
        product = emit("Dot", x, self._weights[f"{name}.weight"])
        bias = self._weights.get(f"{name}.bias")
        return product if bias is None else emit("Add", product, bias)

    def _norm(self, x: Value, name: str) -> Value:
        """X over the root of its mean square and epsilon, times a weight."""
        emit = self._build.emit
        mean = emit("ReduceMean", emit("Mul", x, x))
        root = emit("Sqrt", emit("Add", mean, self._epsilon))
        return emit("Mul", emit("Div", x, root), self._weights[f"{name}.weight"])

    def _rotate(self, x: Value, heads: int) -> Value:
        """Turn the two halves of each head by the row's angles: [s, heads, d]."""
        emit, half = self._build.emit, self._text.head_width // 2
        cosine, sine = self._angles
        split = emit("Reshape", x, shape=(ROWS, heads, 2 * half))
        one, two = (
            emit("Slice", split, starts=(0, 0, at), steps=(1, 1, 1), shape=(ROWS, heads, half))
            for at in (0, half)
        )
        turned = (
            emit("Sub", emit("Mul", one, cosine), emit("Mul", two, sine)),
            emit("Add", emit("Mul", two, cosine), emit("Mul", one, sine)),
        )
        return emit("Concat", *turned, axis=2)

    def _attend(self, h: Value, prefix: str) -> Value:
        """Attention: heads of queries that share keys are rows of one product."""
        emit, text = self._build.emit, self._text
        kv, width = text.kv_heads, text.head_width
        group = text.heads // kv
        q = emit("Mul", self._rotate(self._project(h, prefix + "q_proj"), text.heads), self._scale)
        k = self._rotate(self._project(h, prefix + "k_proj"), kv)
        v = emit("Reshape", self._project(h, prefix + "v_proj"), shape=(ROWS, kv, width))
        q = emit("Reshape", q, shape=(ROWS, kv, group, width))
        q = emit("Transpose", q, perm=(1, 2, 0, 3))
        q = emit("Reshape", q, shape=(kv, group * ROWS, width))
        scores = emit("Dot", q, emit("Transpose", k, perm=(1, 0, 2)))
        scores = emit("Reshape", scores, shape=(kv, group, ROWS, ROWS))
        scores = emit("Where", self._seen, scores, self._least)
        powers = emit("Exp", emit("Sub", scores, emit("ReduceMax", scores)))
        shares = emit("Div", powers, emit("ReduceSum", powers))
        shares = emit("Reshape", shares, shape=(kv, group * ROWS, ROWS))
        mixed = emit("Dot", shares, emit("Transpose", v, perm=(1, 2, 0)))
        mixed = emit("Reshape", mixed, shape=(kv, group, ROWS, width))
        mixed = emit("Transpose", mixed, perm=(2, 0, 1, 3))
        mixed = emit("Reshape", mixed, shape=(ROWS, text.heads * width))
        return self._project(mixed, prefix + "o_proj")

    def _feed(self, h: Value, prefix: str) -> Value:
        """The gated feed-forward net."""
        emit = self._build.emit
        gate = self._project(h, prefix + "gate_proj")
        up = self._project(h, prefix + "up_proj")
        swish = emit("Mul", gate, emit("Sigmoid", gate))
        return self._project(emit("Mul", swish, up), prefix + "down_proj")
