"""Hostile files are refused by their bytes alone, each for its reason (PUB-1); honest ones pass."""

from __future__ import annotations

import threading
import time

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from probatum.errors import Fault
from probatum.runtime.admission import bounds
from probatum.runtime.admission.judge import list_reasons
from probatum.runtime.engine import Engine, EngineOptions, Stop
from tests.corpus import hostile
from tests.corpus.hostile import HOSTILE

BY_BYTES = sorted(name for name, each in HOSTILE.items() if not each.needs_engine)
BY_ENGINE = sorted(name for name, each in HOSTILE.items() if each.needs_engine)


def list_codes(data):
    return [reason.code for reason in list_reasons(data)]


def test_the_corpus_is_as_large_as_promised():
    assert len(HOSTILE) >= 30


@pytest.mark.parametrize("name", BY_BYTES)
def test_a_hostile_file_is_refused_for_its_reason_and_soon(name, capsys):
    data = HOSTILE[name].make()
    started = time.process_time()
    reasons = list_reasons(data)
    assert reasons[0].code == HOSTILE[name].code, [str(reason) for reason in reasons]
    assert time.process_time() - started < 20
    assert all(len(reason.message) < 500 and "\x1b" not in reason.message for reason in reasons)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("name", BY_ENGINE)
def test_what_only_the_engine_can_tell_passes_here(name):
    assert list_codes(HOSTILE[name].make()) == []


def test_small_models_pass(linear, picker, slow):
    for data in (linear, picker, slow):
        assert list_codes(data) == []


def test_a_function_within_bounds_passes():
    body = [hostile.node("Relu", ("x",), ("h",)), hostile.node("Tanh", ("h",))]
    inner = hostile.function("g", body, ["x"], ["y"])
    outer = hostile.function("f", [hostile.node("g", domain=hostile.LOCAL)], ["x"], ["y"])
    made = hostile.calling(inner, outer)
    onnx.checker.check_model(made)
    assert list_codes(hostile.dump(made)) == []


@pytest.mark.parametrize(
    "array",
    [
        np.ones((2, 3), "float32"),
        np.ones(0, "float32"),
        np.array(1.0),
        np.ones(3, "float16"),
        np.array([True, False]),
        np.ones(5, "int8"),
        np.ones(5, "uint64"),
        np.ones(2, "complex64"),
    ],
    ids=lambda array: f"{array.dtype}{array.shape}",
)
def test_honest_weights_pass_in_both_forms(array):
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    typed = helper.make_tensor("w", kind, array.shape, array.flatten())
    raw = helper.make_tensor("w", kind, array.shape, array.tobytes(), raw=True)
    assert list_codes(hostile.dump(hostile.model(weights=[typed]))) == []
    assert list_codes(hostile.dump(hostile.model(weights=[raw]))) == []


@pytest.mark.parametrize("count", [0, 1, 4, 5])
def test_elements_that_share_a_byte_are_counted(count):
    size = (count + 1) // 2
    right = TensorProto(name="w", data_type=TensorProto.INT4, dims=[count], raw_data=bytes(size))
    wrong = TensorProto(name="w", data_type=TensorProto.INT4, dims=[count], raw_data=bytes(9))
    assert list_codes(hostile.dump(hostile.model(weights=[right]))) == []
    assert list_codes(hostile.dump(hostile.model(weights=[wrong]))) == ["admission.wrong-size"]


def test_loops_that_work_pass():
    """Even the least that counts as work lets the engine look whether it is to end."""
    least = [hostile.node("Identity", ("before",), ("after",))]
    outputs = [hostile.value("on", [], TensorProto.BOOL), hostile.value("after", [])]
    made = hostile.idling(least, outputs)
    assert list_codes(made) == []
    engine, stop, said = Engine(made, EngineOptions()), Stop(), []
    feeds = {"x": np.zeros((1, 3), "float32"), "trips": np.array((1 << 63) - 1)}

    def run():
        with pytest.raises(Fault) as caught:
            engine.run(feeds, stop)
        said.append(caught.value.code)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    time.sleep(0.2)
    stop.stop()
    thread.join(10)
    assert said == ["runtime.too-slow"]


def test_a_set_may_be_imported_twice_in_one_version():
    """As skl2onnx does."""
    assert list_codes(hostile.dump(hostile.model(imports=[helper.make_opsetid("", 21)]))) == []


def test_a_weight_may_be_the_default_of_an_input():
    tensor = hostile.weight(np.ones(3, "float32"))
    inputs = [hostile.value("x"), hostile.value("w", [3])]
    made = hostile.model([hostile.node("Add", ("x", "w"))], inputs=inputs, weights=[tensor])
    assert list_codes(hostile.dump(made)) == []


def test_all_reasons_are_listed_up_to_a_bound():
    made = hostile.model([hostile.node("RandomNormalLike")], opset=9_000)
    made.ir_version = 1_000
    made.training_info.add()
    assert list_codes(hostile.dump(made)) == [
        "admission.unsupported-ir",
        "admission.unsupported-opset",
        "admission.training-info",
        "admission.random-operator",
    ]
    bad = [hostile.external(f"{i}") for i in range(100)]
    for number, tensor in enumerate(bad):
        tensor.name = f"w{number}"
    assert len(list_reasons(hostile.dump(hostile.model(weights=bad)))) == bounds.REASONS


def test_names_of_strangers_are_shown_short_and_escaped():
    reasons = list_reasons(HOSTILE["name-with-a-terminal-code"].make())
    assert "'\\x1b[2J'" in reasons[0].message
