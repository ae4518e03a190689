"""ONNX files written by hand are what ONNX's own library reads and checks."""

from __future__ import annotations

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from models.onnxfile import FLOAT, INT64, Graph, Value, read_metadata


def make_model():
    graph = Graph(name="tiny", opset=17, ir_version=8)
    weights = np.arange(6, dtype="<f4").reshape(3, 2)
    graph.weigh("w", weights.shape, weights.tobytes())
    graph.hold("axis", (-1,), INT64)
    graph.hold("half", (0.5,), rank=0)
    product = graph.add("MatMul", ("x", "w"))
    scaled = graph.add("Mul", (product, "half"))
    total = graph.add("ReduceSum", (scaled, "axis"), keepdims=1)
    graph.add("Gemm", (total, "one"), "y", alpha=0.25, transB=1)
    graph.weigh("one", (1, 1), np.ones((1, 1), "<f4").tobytes())
    inputs = [Value(name="x", kind=FLOAT, shape=("n", 3))]
    outputs = [Value(name="y", kind=FLOAT, shape=("n", 1))]
    return graph.encode(inputs, outputs, producer="a test", doc="more than 127 bytes: " + "é" * 99)


def test_onnx_reads_what_was_written():
    model = onnx.load_from_string(make_model())
    onnx.checker.check_model(model, full_check=True)
    assert (model.ir_version, model.producer_name) == (8, "a test")
    assert [(each.domain, each.version) for each in model.opset_import] == [("", 17)]
    kinds = ["MatMul", "Mul", "ReduceSum", "Gemm"]
    assert [node.op_type for node in model.graph.node] == kinds
    held = {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}
    assert held["w"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert (held["axis"].tolist(), held["half"].tolist(), held["half"].shape) == ([-1], 0.5, ())
    gemm = {
        each.name: onnx.helper.get_attribute_value(each) for each in model.graph.node[3].attribute
    }
    assert gemm == {"alpha": 0.25, "transB": 1}


def test_the_engine_computes_it():
    session = onnxruntime.InferenceSession(make_model())
    assert session.get_inputs()[0].shape == ["n", 3]
    (answer,) = session.run(None, {"x": np.array([[1, 2, 3], [0, 0, 0]], np.float32)})
    assert answer.tolist() == [[(16 + 22) * 0.5 * 0.25], [0.0]]


def test_notes_are_read_and_damage_is_refused():
    model = onnx.load_from_string(make_model())
    for key, value in (("a", "first\nsecond"), ("b", "")):
        model.metadata_props.add(key=key, value=value)
    data = model.SerializeToString()
    assert read_metadata(data) == {"a": "first\nsecond", "b": ""}
    for damaged in (data[:-1], b"\xff" * 12, b"\x0b"):
        with pytest.raises(ValueError, match="no protobuf"):
            read_metadata(damaged)
