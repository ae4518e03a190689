"""Small ONNX files whose canonical values can be told by hand."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper, numpy_helper

WEIGHTS = np.array([[1, 2], [3, 4.0001], [-0.3, 1e-9]], np.float32)


def dump(nodes, inputs, outputs, weights=()):
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(*told) for told in inputs],
        [helper.make_tensor_value_info(*told) for told in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


def make_linear():
    """Write y = softmax(x·w), and which is the greatest."""
    return dump(
        [
            helper.make_node("MatMul", ["x", "w"], ["a"]),
            helper.make_node("Softmax", ["a"], ["y"]),
            helper.make_node("ArgMax", ["y"], ["best"], axis=1, keepdims=0),
        ],
        [("x", TensorProto.FLOAT, ["batch", 3])],
        [("y", TensorProto.FLOAT, ["batch", 2]), ("best", TensorProto.INT64, ["batch"])],
        [("w", WEIGHTS)],
    )


def make_table():
    """Write rows of a table, chosen by ids, where a mask says so."""
    return dump(
        [
            helper.make_node("Gather", ["table", "ids"], ["rows"]),
            helper.make_node("Cast", ["mask"], ["m"], to=TensorProto.FLOAT),
            helper.make_node("Unsqueeze", ["m", "last"], ["wide"]),
            helper.make_node("Mul", ["rows", "wide"], ["y"]),
        ],
        [("ids", TensorProto.INT64, ["n", "s"]), ("mask", TensorProto.INT64, ["n", "s"])],
        [("y", TensorProto.FLOAT, ["n", "s", 2])],
        [
            ("table", np.arange(10, dtype=np.float32).reshape(5, 2)),
            ("last", np.array([-1], np.int64)),
        ],
    )


def make_foreign():
    """Write what is no primitive, twice, and a shape that data decide."""
    return dump(
        [
            helper.make_node("Hardmax", ["x"], ["a"]),
            helper.make_node("Hardmax", ["a"], ["b"]),
            helper.make_node("Reshape", ["x", "s"], ["c"]),
            helper.make_node("Celu", ["x"], ["y"]),
        ],
        [("x", TensorProto.FLOAT, ["batch", 3]), ("s", TensorProto.INT64, [2])],
        [("y", TensorProto.FLOAT, ["batch", 3]), ("b", TensorProto.FLOAT, ["batch", 3])],
    )


def make_bomb(depth=4):
    """Write loops within loops: 1,024 rounds each, of a carried sum that no shape tells."""
    info = helper.make_tensor_value_info
    nodes = [helper.make_node("Add", ["held0", "held0"], ["next0"])]
    for level in range(depth):
        body = helper.make_graph(
            [helper.make_node("Identity", [f"more{level}"], [f"go{level}"]), *nodes],
            f"body{level}",
            [
                info(f"at{level}", TensorProto.INT64, []),
                info(f"more{level}", TensorProto.BOOL, []),
                info(f"held{level}", TensorProto.INT64, []),
            ],
            [
                info(f"go{level}", TensorProto.BOOL, []),
                info(f"next{level}", TensorProto.INT64, []),
            ],
        )
        count, held, result = f"n{level}", f"held{level + 1}", f"next{level + 1}"
        nodes = [
            helper.make_node("Constant", [], [count], value_int=1024),
            helper.make_node("Loop", [count, "", held], [result], body=body),
        ]
    nodes = [
        helper.make_node("Constant", [], [f"held{depth}"], value_int=0),
        *nodes,
        helper.make_node("Add", ["x", f"next{depth}"], ["y"]),
    ]
    return dump(nodes, [("x", TensorProto.INT64, [1])], [("y", TensorProto.INT64, [1])])
