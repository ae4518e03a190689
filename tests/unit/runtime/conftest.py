"""Three small models."""

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.unit.runtime.models import make_model


@pytest.fixture(scope="session")
def linear():
    """y = x·w + b with x float32[n, 3], y float32[n, 2]."""
    weights = [
        ("w", np.arange(6, dtype="float32").reshape(3, 2)),
        ("b", np.array([1, -1], "float32")),
    ]
    nodes = [helper.make_node("Gemm", ["x", "w", "b"], ["y"])]
    free = [("x", TensorProto.FLOAT, ["rows", 3])]
    return make_model(
        nodes, free, [("y", TensorProto.FLOAT, ["rows", 2])], weights
    ).SerializeToString()


@pytest.fixture(scope="session")
def picker():
    """y = table[i] with i int64[n]: fails where an index is out of the table's range."""
    nodes = [helper.make_node("Gather", ["table", "i"], ["y"])]
    weights = [("table", np.arange(10, dtype="float32"))]
    inputs = [("i", TensorProto.INT64, ["n"])]
    return make_model(nodes, inputs, [("y", TensorProto.FLOAT, ["n"])], weights).SerializeToString()


@pytest.fixture(scope="session")
def slow():
    """Counts to k in a loop: as slow as one likes."""
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["go"], ["go_on"]),
            helper.make_node("Add", ["sum", "one"], ["more"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("at", TensorProto.INT64, []),
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("sum", TensorProto.INT64, []),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("more", TensorProto.INT64, []),
        ],
        [numpy_helper.from_array(np.array(1), "one")],
    )
    nodes = [helper.make_node("Loop", ["k", "yes", "zero"], ["y"], body=body)]
    weights = [("yes", np.array(True)), ("zero", np.array(0))]
    inputs = [("k", TensorProto.INT64, [])]
    return make_model(nodes, inputs, [("y", TensorProto.INT64, [])], weights).SerializeToString()
