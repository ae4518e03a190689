"""The model that request paths are measured with: a perceptron 256-512-10, and a question to it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import helper, numpy_helper

from probatum.hub.build import PackageFacts, build_package
from probatum.runtime.schema import read_schema

NAME = "mlp"
_generator = np.random.default_rng(5)
BODY = json.dumps(
    {
        "inputs": [
            {
                "name": "x",
                "shape": [1, 256],
                "datatype": "FP32",
                "data": [round(float(value), 4) for value in _generator.normal(size=256)],
            }
        ]
    }
).encode()


def make_onnx() -> bytes:
    generator = np.random.default_rng(7)
    weights = {
        "w1": generator.normal(size=(256, 512)).astype("float32"),
        "b1": generator.normal(size=512).astype("float32"),
        "w2": generator.normal(size=(512, 10)).astype("float32"),
        "b2": generator.normal(size=10).astype("float32"),
    }
    nodes = [
        helper.make_node("Gemm", ["x", "w1", "b1"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w2", "b2"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["n", 256])],
        [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)])
    model.ir_version = 10
    return bytes(model.SerializeToString())


def make_package(folder: Path) -> Path:
    model = make_onnx()
    schema = read_schema(model)
    facts = PackageFacts(
        name=NAME,
        version="1",
        task="benchmark",
        licence="Apache-2.0",
        description="A perceptron with random weights.",
        inputs=schema.inputs,
        outputs=schema.outputs,
    )
    return build_package(facts, model, folder).folder
