"""Operators of transformers with open sizes: admitted, and what ONNX's reference computes."""

import numpy as np
import pytest
from onnx import TensorProto, helper
from onnx.reference import ReferenceEvaluator

from probatum.canon.expand.expansion import expand_model
from probatum.canon.primitives.admitting import admit_graph
from probatum.errors import Refusal
from tests.elements import compare

RANGES = {"b": (1, 4), "s": (1, 40), "past": (0, 40)}
KINDS = {"f": TensorProto.FLOAT, "i": TensorProto.INT64, "b": TensorProto.BOOL}


def make(operator, inputs, outputs, opset=24, **attributes):
    """A model of one node; inputs are (name, kind, shape), an empty name is left out."""
    node = helper.make_node(operator, [name for name, *_ in inputs], outputs, **attributes)
    graph = helper.make_graph(
        [node],
        "one",
        [
            helper.make_tensor_value_info(name, KINDS[kind], shape)
            for name, kind, shape in inputs
            if name
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs if name],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=11)


def draw(kind, shape, sizes, rng):
    bound = tuple(sizes.get(one, one) for one in shape)
    if kind == "f":
        return rng.standard_normal(bound).astype(np.float32)
    if kind == "b":
        return rng.random(bound) < 0.6
    return rng.integers(1, sizes["s"] + 1, bound)


def check(model, inputs, sizes, seed=0):
    """Expand with open sizes, admit, judge samples of the elements, compare with the reference."""
    expanded = expand_model(model.SerializeToString(), ranges=RANGES)
    admit_graph(expanded.graph)
    rng = np.random.default_rng(seed)
    feeds = {name: draw(kind, shape, sizes, rng) for name, kind, shape in inputs if name}
    judged, wrong, got = compare(expanded, tuple(feeds.values()), 300, rng)
    assert judged >= min(300, 100 * sizes.get("s", 3))
    assert wrong == []
    for have, want in zip(got, ReferenceEvaluator(model).run(None, feeds), strict=True):
        np.testing.assert_allclose(have, want, rtol=2e-5, atol=2e-6)


HEADS = [("q", "f", ["b", 4, "s", 8]), ("k", "f", ["b", 2, "s", 8]), ("v", "f", ["b", 2, "s", 6])]
FLAT = [("q", "f", ["b", "s", 32]), ("k", "f", ["b", "s", 16]), ("v", "f", ["b", "s", 12])]
PAST = [("pk", "f", ["b", 2, "past", 8]), ("pv", "f", ["b", 2, "past", 6])]
CACHED = ["y", "nk", "nv"]
GROUPS = {"q_num_heads": 4, "kv_num_heads": 2}
ATTENTION = {
    "plain": (HEADS, ["y"], {}),
    "causal": (HEADS, ["y"], {"is_causal": 1}),
    "flat": (FLAT, ["y"], {"is_causal": 1, **GROUPS}),
    "a mask": ([*HEADS, ("m", "b", ["s", "s"])], ["y"], {}),
    "a bias, causal": ([*HEADS, ("m", "f", ["b", 1, "s", "s"])], ["y"], {"is_causal": 1}),
    "a cache": ([*HEADS, ("", "", []), *PAST], CACHED, {"is_causal": 1}),
    "filled": ([*HEADS, *[("", "", [])] * 3, ("n", "i", ["b"])], ["y"], {"is_causal": 1}),
    "capped": (HEADS, ["y", "", "", "w"], {"softcap": 2.0, "qk_matmul_output_mode": 1}),
    "shares": (HEADS, ["y", "", "", "w"], {"is_causal": 1, "qk_matmul_output_mode": 3}),
    "a window": (HEADS, ["y"], {"left_window_size": 2, "right_window_size": 1}),
}


@pytest.mark.parametrize("name", ATTENTION)
@pytest.mark.parametrize("sizes", [{"b": 2, "s": 7, "past": 5}, {"b": 1, "s": 1, "past": 1}])
def test_attention(name, sizes):
    inputs, outputs, attributes = ATTENTION[name]
    opset = 25 if "left_window_size" in attributes else 24
    check(make("Attention", inputs, outputs, opset, **attributes), inputs, sizes)


def test_a_row_that_sees_nothing_is_zero():
    inputs = [*HEADS, ("m", "b", ["s", "s"])]
    expanded = expand_model(make("Attention", inputs, ["y"]).SerializeToString(), ranges=RANGES)
    rng = np.random.default_rng(1)
    sizes = {"b": 1, "s": 5}
    feeds = [draw(kind, shape, sizes, rng) for _, kind, shape in inputs]
    feeds[3][:] = True
    feeds[3][2] = False
    _, wrong, (y,) = compare(expanded, tuple(feeds), 200, rng)
    assert wrong == []
    assert (y[:, :, 2] == 0).all()
    assert (y[:, :, 3] != 0).all()


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("turned", [0, 4])
def test_rotary_embedding(interleaved, turned):
    half = (turned or 8) // 2
    inputs = [
        ("x", "f", ["b", "s", 24]),
        ("c", "f", [50, half]),
        ("d", "f", [50, half]),
        ("p", "i", ["b", "s"]),
    ]
    attributes = {"num_heads": 3, "interleaved": interleaved, "rotary_embedding_dim": turned}
    check(make("RotaryEmbedding", inputs, ["y"], **attributes), inputs, {"b": 2, "s": 7})


@pytest.mark.parametrize("axis", [-1, 1])
def test_rms_normalization(axis):
    shape = ["b", 6, 10]
    inputs = [("x", "f", shape), ("w", "f", shape[axis:])]
    model = make("RMSNormalization", inputs, ["y"], axis=axis, epsilon=1e-3)
    check(model, inputs, {"b": 3})


@pytest.mark.parametrize(
    ("operator", "inputs", "attributes", "code"),
    [
        ("Attention", FLAT, {}, "not-admitted"),
        ("Attention", [HEADS[0], ("k", "f", ["b", 3, "s", 8]), HEADS[2]], {}, "not-admitted"),
        ("Attention", [*HEADS, ("m", "f", ["s", 1])], {}, "not-admitted"),
        ("Attention", HEADS, {"scale": -1.0}, "bad-node"),
        ("RMSNormalization", [("x", "f", ["b", 4]), ("w", "f", [4])], {"stash_type": 11},
         "not-admitted"),
        ("RotaryEmbedding", [HEADS[0], *[(n, "f", ["b", "s", 3]) for n in "cd"]], {},
         "not-admitted"),
    ],
)  # fmt: skip
def test_what_is_not_admitted(operator, inputs, attributes, code):
    model = make(operator, inputs, ["y"], **attributes)
    with pytest.raises(Refusal) as caught:
        expand_model(model.SerializeToString(), ranges=RANGES)
    assert caught.value.code == f"canon.{code}"
