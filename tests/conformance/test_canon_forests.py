"""Forests as scikit-learn grows them when nobody limits their depth (`CANON-9`)."""

from __future__ import annotations

import numpy as np
import pytest
from skl2onnx import to_onnx
from sklearn.datasets import make_classification
from sklearn.ensemble import ExtraTreesRegressor, RandomForestClassifier

import probatum.runtime  # noqa: F401 - switches the engine's telemetry off before it is imported
from probatum.canon.expand.expansion import expand_model
from probatum.canon.graph.binding import bind_dims, bind_graph
from probatum.canon.primitives.bounds import bound_opening
from tests.elements import compare

ort = pytest.importorskip("onnxruntime")

FORESTS = {
    "classifier": RandomForestClassifier(10, random_state=0),
    "regressor": ExtraTreesRegressor(5, random_state=0),
}


@pytest.mark.parametrize("name", FORESTS)
def test_a_forest_of_any_depth_is_exact_and_its_openings_are_small(name):
    features, labels = make_classification(6_000, 20, flip_y=0.3, random_state=0)
    features = features.astype(np.float32)
    forest = FORESTS[name].fit(features, labels)
    assert max(tree.get_depth() for tree in forest.estimators_) > 20
    options = {} if name == "regressor" else {"zipmap": False}
    data = to_onnx(forest, features[:1], options=options or None).SerializeToString()
    expanded = expand_model(data, ranges={"X_0": (1, 64)})
    x = features[:64]
    bound = bind_graph(expanded.graph, bind_dims(expanded.graph, (x.shape,)))
    trees = [node for node in bound.nodes if node.operator == "TreeEnsemble"]
    assert all(bound_opening(node) < 16 * 1024 for node in trees)
    judged, wrong, outputs = compare(expanded, [x], 200, np.random.default_rng(0))
    assert judged >= 64, "a regressor has no more elements"
    assert wrong == []
    session = ort.InferenceSession(data, providers=["CPUExecutionProvider"])
    for have, want in zip(outputs, session.run(None, {"X": x}), strict=True):
        np.testing.assert_allclose(have.reshape(want.shape), want, rtol=1e-5, atol=1e-6)
