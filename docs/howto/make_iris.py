"""Writes a classifier of irises as ONNX: ``python docs/howto/make_iris.py FOLDER``.

It is the model that `probatum model init --sklearn`'s train.py makes, written by hand: a
logistic regression on the four measurements of Fisher's irises, scaling folded into its fifteen
numbers, which scikit-learn learned.
"""

from __future__ import annotations

import sys
from pathlib import Path

import onnx
from onnx import TensorProto, helper

WEIGHTS = [
    [-1.1013, 0.4585, 0.6428],
    [2.3477, -0.8023, -1.5454],
    [-0.9506, -0.0262, 0.9768],
    [-2.1482, -0.9627, 3.111],
]
OFFSETS = [5.1574, 2.7898, -7.9472]
KINDS = ["setosa", "versicolor", "virginica"]

folder = Path(sys.argv[1])
graph = helper.make_graph(
    [
        helper.make_node("Gemm", ["X", "weights", "offsets"], ["scores"]),
        helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
    ],
    "iris",
    [helper.make_tensor_value_info("X", TensorProto.FLOAT, ["n", 4])],
    [
        helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 3]),
    ],
    [
        helper.make_tensor(
            "weights", TensorProto.FLOAT, [4, 3], [each for row in WEIGHTS for each in row]
        ),
        helper.make_tensor("offsets", TensorProto.FLOAT, [3], OFFSETS),
    ],
)
made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
onnx.save(made, folder / "model.onnx")
(folder / "labels.txt").write_text("".join(f"{kind}\n" for kind in KINDS))
