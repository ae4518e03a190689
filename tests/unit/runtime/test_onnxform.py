"""No ONNX file reaches outside itself, wherever the reference stands."""

import contextlib

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from probatum.errors import Refusal
from probatum.runtime.onnxform import check_self_contained


def external(name="w"):
    tensor = numpy_helper.from_array(np.ones(3, "float32"), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", "../secret"
    return tensor


def graph(nodes=(), weights=()):
    return helper.make_graph(list(nodes), "g", [], [], list(weights))


def model(inner, **rest):
    return helper.make_model(inner, **rest).SerializeToString()


def sparse():
    values, indices = external(), numpy_helper.from_array(np.zeros(3, "int64"))
    return helper.make_sparse_tensor(values, indices, [3])


def constant(**attributes):
    return helper.make_node("Constant", [], ["c"], **attributes)


def with_sparse_weight():
    inner = graph()
    inner.sparse_initializer.append(sparse())
    return model(inner)


def in_training():
    made = helper.make_model(graph())
    made.training_info.add().algorithm.CopyFrom(graph(weights=[external()]))
    return made.SerializeToString()


def in_function():
    opset = [helper.make_opsetid("", 21)]
    function = helper.make_function("d", "f", [], ["c"], [constant(value=external())], opset)
    return model(graph(), functions=[function])


def only_the_list():
    tensor = external()
    tensor.data_location = TensorProto.DEFAULT
    return model(graph(weights=[tensor]))


HIDDEN = {
    "weight": model(graph(weights=[external()])),
    "list-without-location": only_the_list(),
    "sparse-weight": with_sparse_weight(),
    "attribute": model(graph([constant(value=external())])),
    "attribute-list": model(graph([helper.make_node("X", [], [], many=[external()])])),
    "sparse-attribute": model(graph([constant(sparse_value=sparse())])),
    "branch": model(graph([helper.make_node("If", [], [], then=graph(weights=[external()]))])),
    "branches": model(graph([helper.make_node("X", [], [], all=[graph(weights=[external()])])])),
    "training": in_training(),
    "function": in_function(),
}


@pytest.mark.parametrize("place", sorted(HIDDEN))
def test_external_data_is_found_in_every_place(place):
    onnx.load_model_from_string(HIDDEN[place])  # It is a file that readers would take.
    with pytest.raises(Refusal) as caught:
        check_self_contained(HIDDEN[place])
    assert caught.value.code == "runtime.external-data"


def test_what_stands_alone_passes(linear, picker, slow):
    for data in (linear, picker, slow):
        check_self_contained(data)


def test_graphs_nested_without_end_are_refused():
    inner = b""
    for _ in range(500):
        # attribute.g of node.attribute of graph.node
        for key in (b"\x32", b"\x2a", b"\x0a"):
            inner = key + _size(len(inner)) + inner
    with pytest.raises(Refusal) as caught:
        check_self_contained(b"\x3a" + _size(len(inner)) + inner)
    assert caught.value.code == "runtime.not-onnx"


def _size(number):
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes((*out, number))


@pytest.mark.parametrize(
    "data",
    [b"", b"PK\x03\x04", b"\x80\x04\x95", b"\x7fELF", b"\x08\x0a", b"\x3a\x05", b"\xff" * 20],
)
def test_other_files_are_refused(data):
    with pytest.raises(Refusal) as caught:
        check_self_contained(data)
    assert caught.value.code == "runtime.not-onnx"


@given(st.binary(max_size=100))
def test_noise_is_refused_or_passes(data):
    with contextlib.suppress(Refusal):
        check_self_contained(data)


@given(st.sampled_from(sorted(HIDDEN)), st.data())
def test_changed_files_are_refused_or_pass(place, data):
    changed = bytearray(HIDDEN[place])
    changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(Refusal):
        check_self_contained(bytes(changed))
