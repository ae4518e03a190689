"""Whole real models: every sampled element of every tensor is what the judge says, bit for bit.

`CANON-4` on what people run, and beside it the distance to ONNX Runtime.
"""

from __future__ import annotations

import numpy as np
import pytest

import probatum.runtime  # noqa: F401 - switches the engine's telemetry off before it is imported
from tests.elements import compare
from tests.models import MODELS, expand, read

ort = pytest.importorskip("onnxruntime")


each_model = pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)


@each_model
def test_every_sampled_element_is_what_the_judge_says(model):
    check(model, elements=600, seed=20)


@pytest.mark.nightly
@each_model
def test_twenty_thousand_elements_are_what_the_judge_says(model):
    for seed in range(3):
        check(model, elements=20_000, seed=seed)


def check(model, *, elements, seed):
    """Judge elements of every tensor of one evaluation; compare the outputs with the engine's."""
    rng = np.random.default_rng(seed)
    expanded, feeds = expand(model), model.draw(rng)
    inputs = [feeds[record.name] for record in expanded.graph.inputs]
    judged, wrong, outputs = compare(expanded, inputs, elements, rng)
    assert wrong == []
    assert judged >= 250, "the forest has 448 elements in all"
    given = feeds | {name: np.array(value) for name, value in model.bind.items()}
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(read(model), options, providers=["CPUExecutionProvider"])
    for have, want in zip(outputs, session.run(None, given), strict=True):
        assert have.shape == want.shape
        scale = max(1e-30, float(np.abs(want).max()))
        distance = float(np.abs(have.astype(np.float64) - want.astype(np.float64)).max())
        assert distance <= model.far * scale
