"""The machines of the exact act differ in all that may differ, and in no bit (CANON-4)."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from probatum.errors import Fault
from probatum.ops.demo import exact_acts


@pytest.fixture
def model(tmp_path):
    rng = np.random.default_rng(5)
    weights = [("w", rng.standard_normal((88, 1)).astype(np.float32))]
    graph = helper.make_graph(
        [
            helper.make_node("Flatten", ["prices"], ["flat"]),
            helper.make_node("MatMul", ["flat", "w"], ["sum"]),
            helper.make_node("Exp", ["sum"], ["volatility"]),
        ],
        "net",
        [helper.make_tensor_value_info("prices", TensorProto.FLOAT, ["n", 22, 4])],
        [helper.make_tensor_value_info("volatility", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(array, name) for name, array in weights],
    )
    opset = [helper.make_opsetid("", 17)]
    path = tmp_path / "model.onnx"
    made = helper.make_model(graph, opset_imports=opset, ir_version=9)
    path.write_bytes(made.SerializeToString())
    return path


def test_all_machines_give_the_same_bits(model):
    windows = np.random.default_rng(6).standard_normal((21, 22, 4)).astype(np.float32) / 8
    found = [exact_acts._evaluate(model, windows, each) for each in exact_acts.MACHINES]
    assert len({each.tobytes() for each in found}) == 1
    near = exact_acts._ask_engine(model.read_bytes(), windows, 8)
    assert near.shape == found[0].shape == (21,)
    np.testing.assert_allclose(found[0], near, rtol=1e-5)
    assert len({(each.batch, each.threads, each.k_chunk) for each in exact_acts.MACHINES}) == 3


def test_a_machine_that_fails_is_said(model):
    model.write_bytes(b"no model")
    with pytest.raises(Fault, match="gave no forecasts"):
        exact_acts._evaluate(model, np.zeros((1, 22, 4), np.float32), exact_acts.MACHINES[0])
