"""Writes a very small ONNX model, y = x·w + b: ``python docs/howto/make_net.py net.onnx``."""

from __future__ import annotations

import sys

import onnx
from onnx import TensorProto, helper

x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])
y = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 2])
w = helper.make_tensor("w", TensorProto.FLOAT, [2, 2], [1, 2, 3, 4])
b = helper.make_tensor("b", TensorProto.FLOAT, [2], [0.5, 0.25])
node = helper.make_node("Gemm", ["x", "w", "b"], ["y"])
graph = helper.make_graph([node], "linear", [x], [y], [w, b])
opset = helper.make_opsetid("", 17)
onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), sys.argv[1])
