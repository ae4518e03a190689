"""ai.onnx.ml against ONNX Runtime: exact values, so the distance is the engine's own."""

import numpy as np
import pytest
from onnx import TensorProto, helper

import probatum.runtime  # noqa: F401 - switches the engine's telemetry off before it is imported
from probatum.canon.evaluate.evaluating import evaluate
from probatum.canon.expand.expansion import expand_model
from probatum.errors import Refusal

ort = pytest.importorskip("onnxruntime")

X = np.random.default_rng(3).normal(size=(9, 3)).astype(np.float32)


def make(nodes, outputs):
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3])],
        [helper.make_tensor_value_info(name, kind, None) for name, kind in outputs],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets)
    model.ir_version = 8
    return model.SerializeToString()


def node(operator, inputs, outputs, **attributes):
    return helper.make_node(
        operator, inputs.split(), outputs.split(), domain="ai.onnx.ml", **attributes
    )


def compare(data):
    expanded = expand_model(data, ranges={"n": (1, 16)})
    got = evaluate(expanded.graph, expanded.weights, (X,))
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    for have, want in zip(got, session.run(None, {"x": X}), strict=True):
        assert have.dtype == want.dtype
        np.testing.assert_allclose(have.reshape(want.shape), want, rtol=2e-6, atol=2e-7)


SCORES = [("label", TensorProto.INT64), ("scores", TensorProto.FLOAT)]


@pytest.mark.parametrize("transform", ["NONE", "SOFTMAX", "LOGISTIC"])
def test_a_linear_classifier_of_any_labels(transform):
    classifier = node(
        "LinearClassifier",
        "x",
        "label scores",
        coefficients=list(np.linspace(-1, 1, 12)),
        intercepts=[0.1, -0.2, 0.3, 0.0],
        classlabels_ints=[7, 3, 5, 11],
        post_transform=transform,
    )
    compare(make([classifier], SCORES))


@pytest.mark.parametrize("norm", ["L1", "L2", "MAX"])
def test_scaled_then_normalised(norm):
    nodes = [
        node("Scaler", "x", "s", offset=[0.1, 0.2, 0.3], scale=[1.5, 0.5, 2.0]),
        node("Normalizer", "s", "y", norm=norm),
    ]
    compare(make(nodes, [("y", TensorProto.FLOAT)]))


def test_a_regression_of_two_targets():
    regressor = node(
        "LinearRegressor",
        "x",
        "y",
        coefficients=[1.0, 2, 3, -1, -2, -3],
        intercepts=[1.0, 2],
        targets=2,
    )
    compare(make([regressor], [("y", TensorProto.FLOAT)]))


def stump(tree, feature, threshold, mode="BRANCH_LEQ"):
    """A tree of one comparison: nodes 0, 1, 2."""
    return {
        "nodes_treeids": [tree] * 3,
        "nodes_nodeids": [0, 1, 2],
        "nodes_featureids": [feature, 0, 0],
        "nodes_values": [threshold, 0.0, 0.0],
        "nodes_modes": [mode, "LEAF", "LEAF"],
        "nodes_truenodeids": [1, 0, 0],
        "nodes_falsenodeids": [2, 0, 0],
        "nodes_missing_value_tracks_true": [0, 0, 0],
    }


def join(*trees):
    return {name: [item for tree in trees for item in tree[name]] for name in trees[0]}


FOREST = join(stump(0, 0, 0.1), stump(1, 2, -0.3), stump(2, 1, float(X[0, 1])))


@pytest.mark.parametrize("mode", ["BRANCH_LEQ", "BRANCH_LT", "BRANCH_GTE", "BRANCH_GT"])
def test_a_forest_adds_its_leaves_up(mode):
    forest = join(*(stump(tree, tree, float(X[0, tree]), mode) for tree in range(3)))
    regressor = node(
        "TreeEnsembleRegressor",
        "x",
        "y",
        n_targets=1,
        target_treeids=[0, 0, 1, 1, 2, 2],
        target_nodeids=[1, 2] * 3,
        target_ids=[0] * 6,
        target_weights=[0.1, 0.2, -0.3, 0.4, 0.5, -0.6],
        base_values=[0.25],
        **forest,
    )
    compare(make([regressor], [("y", TensorProto.FLOAT)]))


@pytest.mark.parametrize(("transform", "sign"), [("NONE", 1), ("LOGISTIC", -1)])
def test_a_forest_of_two_classes_may_keep_one_score(transform, sign):
    classifier = node(
        "TreeEnsembleClassifier",
        "x",
        "label scores",
        classlabels_int64s=[4, 9],
        class_treeids=[0, 0, 1, 1, 2, 2],
        class_nodeids=[1, 2] * 3,
        class_ids=[0] * 6,
        class_weights=[0.1, 0.3, sign * 0.2, 0.33, 0.0, 0.3],
        post_transform=transform,
        **FOREST,
    )
    compare(make([classifier], SCORES))


def test_a_forest_of_three_classes():
    classifier = node(
        "TreeEnsembleClassifier",
        "x",
        "label scores",
        classlabels_int64s=[0, 1, 2],
        class_treeids=[0, 0, 0, 1, 1, 2, 2],
        class_nodeids=[1, 2, 2, 1, 2, 1, 2],
        class_ids=[0, 1, 2, 2, 0, 1, 2],
        class_weights=[0.5, 0.3, 0.2, 0.33, 0.1, 0.3, 0.7],
        **FOREST,
    )
    compare(make([classifier], SCORES))


@pytest.mark.parametrize(
    "change",
    [
        {"nodes_truenodeids": [0, 0, 0]},
        {"nodes_falsenodeids": [1, 0, 0]},
        {"nodes_falsenodeids": [99, 0, 0]},
        {"nodes_modes": ["BRANCH_MAYBE", "LEAF", "LEAF"]},
        {"nodes_nodeids": [0, 1, 1]},
        {"nodes_values": [0.0]},
    ],
)
def test_a_malformed_tree_is_refused(change):
    tree = {**stump(0, 0, 0.5), **change}
    regressor = node(
        "TreeEnsembleRegressor", "x", "y", n_targets=1, target_treeids=[0, 0],
        target_nodeids=[1, 2], target_ids=[0, 0], target_weights=[1.0, 2.0], **tree,
    )  # fmt: skip
    with pytest.raises(Refusal) as caught:
        expand_model(make([regressor], [("y", TensorProto.FLOAT)]), ranges={"n": (1, 4)})
    assert caught.value.code in {"canon.not-admitted", "canon.bad-node"}
