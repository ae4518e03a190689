from itertools import pairwise

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from probatum.canon.expand.expansion import expand_model
from probatum.canon.expand.loading import make_dim_name
from probatum.canon.expand.values import make_known
from probatum.canon.graph.records import compute_canonical_digest
from probatum.canon.graph.sizes import show_size
from probatum.errors import Refusal
from tests.unit.canon.expand.plain import run_plainly

FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64


def make(nodes, inputs, outputs, constants=None, opset=17):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(*one) for one in inputs],
        [helper.make_tensor_value_info(*one) for one in outputs],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in (constants or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = 10
    return model.SerializeToString()


def node(operator, inputs, outputs, **attributes):
    return helper.make_node(operator, inputs.split(), outputs.split(), **attributes)


def operators(expanded):
    return [record.operator for record in expanded.graph.nodes]


def get_refusal(data, **settings):
    with pytest.raises(Refusal) as caught:
        expand_model(data, **{"ranges": {}, **settings})
    return caught.value.code


F32 = np.float32


def test_what_is_known_is_folded_and_what_nobody_needs_is_left_out():
    data = make(
        [
            node("Transpose", "w", "wt", perm=[1, 0]),
            node("MatMul", "x wt", "y"),
            node("Exp", "x", "unused"),
        ],
        [("x", FLOAT, [2, 3])],
        [("y", FLOAT, [2, 4])],
        {"w": np.ones((4, 3), F32)},
    )
    expanded = expand_model(data, ranges={})
    assert operators(expanded) == ["Dot"]
    assert expanded.graph.weights[0].shape == (4, 3)


def test_equal_steps_are_one_entry_and_equal_weights_one_weight():
    data = make(
        [
            node("Add", "x a", "p"),
            node("Add", "x b", "q"),
            node("Exp", "p", "r"),
            node("Exp", "q", "s"),
            node("Mul", "r s", "y"),
        ],
        [("x", FLOAT, [2])],
        [("y", FLOAT, [2])],
        {"a": np.array([1.0], F32), "b": np.array([1.0], F32)},
    )
    expanded = expand_model(data, ranges={})
    assert operators(expanded) == ["Add", "Exp", "Mul"]
    assert len(expanded.graph.weights) == 1


def test_layouts_between_convolutions_cancel():
    data = make(
        [
            node("Conv", "x w b", "c", pads=[1, 1, 1, 1]),
            node("Relu", "c", "r"),
            node("Conv", "r w", "d", pads=[1, 1, 1, 1]),
            node("Add", "d x", "y"),
        ],
        [("x", FLOAT, [1, 4, 5, 5])],
        [("y", FLOAT, [1, 4, 5, 5])],
        {"w": np.full((4, 4, 3, 3), 0.1, F32), "b": np.arange(4, dtype=F32)},
    )
    expanded = expand_model(data, ranges={})
    assert operators(expanded).count("Transpose") == 2, "in at the front, out at the end"
    x = np.random.default_rng(0).normal(size=(1, 4, 5, 5)).astype(F32)
    assert run_plainly(expanded, {"x": x})["y"].shape == (1, 4, 5, 5)


def test_shapes_are_expressions_in_the_declared_dims():
    data = make(
        [node("Reshape", "x s", "y")],
        [("x", FLOAT, ["batch", "time", 6])],
        [("y", FLOAT, None)],
        {"s": np.array([0, -1, 2], np.int64)},
    )
    ranges = {"batch": (1, 8), "time": (1, 64)}
    graph = expand_model(data, ranges=ranges).graph
    assert [show_size(size) for size in graph.nodes[0].shape] == ["batch", "3*time", "2"]
    assert [(dim.name, dim.least, dim.greatest) for dim in graph.dims] == [
        ("batch", 1, 8),
        ("time", 1, 64),
    ]


def test_a_dim_of_one_value_is_a_number():
    data = make([node("Relu", "x", "y")], [("x", FLOAT, ["n", 2])], [("y", FLOAT, ["n", 2])])
    graph = expand_model(data, ranges={"n": (3, 3)}).graph
    assert graph.dims == ()
    assert graph.nodes[0].shape == (3, 2)


def test_one_file_has_one_digest_and_every_weight_counts():
    def digest(weight):
        data = make(
            [node("MatMul", "x w", "y")],
            [("x", FLOAT, [1, 2])],
            [("y", FLOAT, [1, 2])],
            {"w": weight},
        )
        return compute_canonical_digest(expand_model(data, ranges={}).graph)

    weight = np.eye(2, dtype=F32)
    assert digest(weight) == digest(weight)
    changed = weight.copy()
    changed[0, 1] = -0.0
    assert digest(changed) != digest(weight), "a sign of zero is another weight"


def test_every_output_is_an_entry_of_its_own():
    data = make(
        [
            node("Relu", "x", "a"),
            node("Identity", "a", "b"),
            node("Identity", "x", "c"),
            node("Identity", "w", "d"),
        ],
        [("x", FLOAT, [2])],
        [(name, FLOAT, [2]) for name in "abcd"],
        {"w": np.array([1, 2], F32)},
    )
    graph = expand_model(data, ranges={}).graph
    assert len({output.ref.number for output in graph.outputs}) == 4
    assert {output.ref.space for output in graph.outputs} == {2}


def branches(opset=17):
    def graph(operator):
        out = helper.make_tensor_value_info("o_" + operator, FLOAT, [2])
        return helper.make_graph([node(operator, "x", "o_" + operator)], operator, [], [out])

    choose = helper.make_node(
        "If", ["c"], ["y"], then_branch=graph("Exp"), else_branch=graph("Neg")
    )
    equal = node("Equal", "rate wanted", "c")
    inputs = [("x", FLOAT, [2]), ("rate", INT, [])]
    return make([equal, choose], inputs, [("y", FLOAT, [2])], {"wanted": np.int64(16000)}, opset)


@pytest.mark.parametrize(("rate", "operator"), [(16000, "Exp"), (8000, "Neg")])
def test_a_bound_input_decides_a_branch(rate, operator):
    expanded = expand_model(branches(), ranges={}, bind={"rate": make_known("int64", rate)})
    assert operators(expanded) == [operator]
    assert [record.name for record in expanded.graph.inputs] == ["x"]


def test_a_branch_that_the_request_decides_is_refused():
    assert get_refusal(branches()) == "canon.not-static"


@pytest.mark.parametrize(
    ("nodes", "inputs", "settings", "code"),
    [
        ([node("RandomNormal", "", "y", shape=[2])], [], {}, "canon.unknown-operator"),
        ([node("Relu", "x", "y")], [("x", FLOAT, ["n"])], {}, "canon.dim-without-range"),
        (
            [node("Reshape", "x s", "y")],
            [("x", FLOAT, [4]), ("s", INT, [1])],
            {},
            "canon.not-static",
        ),
        (
            [node("Split", "x", "y z", axis=0)],
            [("x", FLOAT, ["n"])],
            {"ranges": {"n": (1, 9)}},
            "canon.dim-must-be-fixed",
        ),
        (
            [node("MaxPool", "x", "y", kernel_shape=[2], ceil_mode=1)],
            [("x", FLOAT, [1, 1, 5])],
            {},
            "canon.not-admitted",
        ),
        ([node("Relu", "x", "y")], [("x", TensorProto.STRING, [1])], {}, "canon.bad-dtype"),
        ([node("Nothing", "x", "y")], [("x", FLOAT, [1])], {}, "canon.unknown-operator"),
    ],
)
def test_what_has_no_canonical_meaning_is_refused_with_its_reason(nodes, inputs, settings, code):
    outputs = [(name, FLOAT, None) for name in nodes[-1].output]
    assert get_refusal(make(nodes, inputs, outputs), **settings) == code


def test_a_slice_whose_end_depends_on_dims_is_decided_or_refused():
    def data(end):
        return make(
            [node("Slice", "x a b", "y")],
            [("x", FLOAT, ["n"])],
            [("y", FLOAT, None)],
            {"a": np.array([0], np.int64), "b": np.array([end], np.int64)},
        )

    fits = expand_model(data(4), ranges={"n": (4, 9)}).graph
    assert fits.nodes[0].shape == (4,)
    assert get_refusal(data(4), ranges={"n": (2, 9)}) == "canon.shape-undecided"


def test_names_of_dims_are_names():
    assert make_dim_name("batch", "x", 0) == "batch"
    assert make_dim_name("", "x", 1) == "x_1"
    assert make_dim_name("p2o.Dim.0", "x", 0) == "p2o_Dim_0"
    assert make_dim_name("1st", "x", 0) == "_1st"


def test_garbage_is_refused():
    for junk in (b"", b"\x00" * 40, b"not a model"):
        code = get_refusal(junk)
        assert code.startswith("canon."), code
    with pytest.raises(Refusal):
        expand_model(onnx.ModelProto().SerializeToString() + b"\xff\xff\xff", ranges={})


@pytest.mark.parametrize(
    ("operator", "constants"),
    [
        ("Expand", {"c": np.ones(1, np.float32), "s": np.array([1 << 36, 2])}),
        ("ConstantOfShape", {"s": np.array([1 << 36, 2])}),
        ("Add", {"c": np.ones((1 << 16, 1), np.int64), "s": np.ones((1, 1 << 16), np.int64)}),
        ("Range", {"c": np.array(0), "s": np.array(1 << 38), "t": np.array(1)}),
    ],
)
def test_a_few_bytes_never_become_terabytes(operator, constants):
    nodes = [helper.make_node(operator, list(constants), ["y"])]
    expanded = expand_model(make(nodes, [], [("y", FLOAT, None)], constants), ranges={})
    assert sum(one.nbytes for one in expanded.weights) < 1 << 21
    assert len(expanded.graph.nodes) == 1


def test_what_doubles_again_and_again_stays_nodes_in_the_end():
    names = ["c", *(f"c{at}" for at in range(36)), "y"]
    nodes = [helper.make_node("Concat", [one, one], [two], axis=0) for one, two in pairwise(names)]
    expanded = expand_model(
        make(nodes, [], [("y", FLOAT, None)], {"c": np.ones(1, np.float32)}), ranges={}
    )
    assert expanded.graph.nodes[-1].shape == (1 << 37,)


def make_loop(depth):
    """A loop of loops: v goes round and round."""
    info = helper.make_tensor_value_info
    node = helper.make_node("Identity", ["v"], ["w"])
    if depth:
        node = helper.make_node("Loop", ["M", "", "v"], ["w"], body=make_loop(depth - 1))
    return helper.make_graph(
        [helper.make_node("Identity", ["on"], ["still"]), node],
        "body",
        [info("i", INT, []), info("on", TensorProto.BOOL, []),
         info("v", FLOAT, [2])],
        [info("still", TensorProto.BOOL, []), info("w", FLOAT, [2])],
    )  # fmt: skip


def test_loops_within_loops_end():
    nodes = [helper.make_node("Loop", ["M", "", "x"], ["y"], body=make_loop(3))]
    data = make(nodes, [("x", FLOAT, [2])], [("y", FLOAT, None)], {"M": np.array(1024)})
    with pytest.raises(Refusal, match=r"canon\.not-admitted.*steps"):
        expand_model(data, ranges={})


@pytest.mark.parametrize("operator", ["Loop", "If"])
@pytest.mark.parametrize("count", [np.array(1), np.array([], np.int64)])
def test_a_loop_or_choice_without_what_it_needs_is_refused(operator, count):
    inputs = ["M", "", "x"] if operator == "Loop" else ["M"]
    data = make(
        [helper.make_node(operator, inputs, ["y"])], [("x", FLOAT, [2])], [("y", FLOAT, None)],
        {"M": count},
    )  # fmt: skip
    with pytest.raises(Refusal, match=r"canon\."):
        expand_model(data, ranges={})


def test_what_a_primitive_refuses_is_said_of_the_files_node():
    data = make(
        [node("Concat", "x y", "z", axis=1, name="join")],
        [("x", FLOAT, ["rows", 2]), ("y", FLOAT, ["others", 2])],
        [("z", FLOAT, ["rows", 4])],
    )
    with pytest.raises(Refusal) as caught:
        expand_model(data, ranges={"rows": (1, 4), "others": (1, 4)})
    assert caught.value.code == "canon.wrong-operands"
    assert caught.value.message.startswith("Concat 'join': ")
    assert "[rows, 2], [others, 2]" in caught.value.message
    assert "different names" in caught.value.hint
    with pytest.raises(Refusal) as caught:
        expand_model(data, ranges={"rows": (1, 1), "others": (2, 2)})
    assert "[1, 2], [2, 2]" in caught.value.message
    assert caught.value.hint == ""
