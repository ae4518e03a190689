"""A survey lists every reason at once, and each once; what is admissible is expanded (PUB-1)."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, helper

from probatum.canon.expand.expansion import expand_model
from probatum.canon.expand.surveying import survey_model
from probatum.canon.expand.values import make_known
from probatum.canon.graph.records import compute_canonical_digest


def make_file(nodes, inputs, outputs=("y",)):
    graph = helper.make_graph(
        nodes,
        "net",
        [helper.make_tensor_value_info(*told) for told in inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs],
    )
    opset = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString()


X = ("x", TensorProto.FLOAT, ["batch", 4])


def list_codes(survey):
    return [reason.code for reason in survey.reasons]


def test_all_reasons_are_listed_and_what_follows_from_them_is_not():
    nodes = [
        helper.make_node("RandomNormalLike", ["x"], ["a"]),
        helper.make_node("RandomNormalLike", ["x"], ["b"]),
        helper.make_node("Add", ["a", "b"], ["c"]),
        helper.make_node("NonZero", ["c"], ["d"]),
        helper.make_node("Reshape", ["x", "s"], ["e"]),
        helper.make_node("Relu", ["x"], ["y"]),
    ]
    data = make_file(nodes, [X, ("s", TensorProto.INT64, [2])])
    survey = survey_model(data, ranges={"sequence": (1, 4)}, bind={})
    assert list_codes(survey) == [
        "canon.dim-without-range",
        "canon.no-such-dim",
        "canon.unknown-operator",
        "canon.unknown-operator",
        "canon.not-static",
    ]
    assert "RandomNormalLike" in survey.reasons[2].message
    assert "NonZero" in survey.reasons[3].message
    assert survey.expanded is None


def test_an_admissible_file_is_expanded_as_ever():
    nodes = [helper.make_node("Reshape", ["x", "s"], ["y"])]
    data = make_file(nodes, [X, ("s", TensorProto.INT64, [2])])
    bind = {"s": make_known("int64", np.array([-1, 2]))}
    survey = survey_model(data, ranges={"batch": (1, 8)}, bind=bind)
    assert survey.reasons == ()
    plain = expand_model(data, ranges={"batch": (1, 8)}, bind=bind)
    assert compute_canonical_digest(survey.expanded.graph) == compute_canonical_digest(plain.graph)


def test_what_is_bound_is_there_and_what_is_no_file_is_said():
    data = make_file([helper.make_node("Relu", ["x"], ["y"])], [X])
    bind = {"z": make_known("int64", 1)}
    survey = survey_model(data, ranges={"batch": (1, 8)}, bind=bind)
    assert list_codes(survey) == ["canon.no-such-input"]
    assert list_codes(survey_model(b"\xff\xff", ranges={}, bind={})) == ["canon.bad-model"]


def test_a_loop_whose_body_cannot_be_expanded_gives_the_body_s_reason_alone():
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["more"], ["go"]),
            helper.make_node("RandomNormalLike", ["held"], ["next"]),
        ],
        "body",
        [
            helper.make_tensor_value_info("at", TensorProto.INT64, []),
            helper.make_tensor_value_info("more", TensorProto.BOOL, []),
            helper.make_tensor_value_info("held", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("go", TensorProto.BOOL, []),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    nodes = [
        helper.make_node("Constant", [], ["n"], value_int=3),
        helper.make_node("Loop", ["n", "", "x"], ["y"], body=body),
    ]
    survey = survey_model(make_file(nodes, [X]), ranges={"batch": (1, 8)}, bind={})
    assert list_codes(survey) == ["canon.unknown-operator"]
