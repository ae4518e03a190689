"""Whole real models: every sampled element of every tensor is what the judge says, bit for bit.

`CANON-4` on what people run, and beside it the distance to ONNX Runtime. ``PROBATUM_ELEMENTS`` asks
for more elements (nightly). Models come by `models/fetch.py`; one that cannot be had is skipped by
name.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

import probatum.runtime  # noqa: F401 - switches the engine's telemetry off before it is imported
from probatum.canon.expand.expansion import expand_model
from probatum.canon.expand.values import make_known
from tests.elements import compare

ort = pytest.importorskip("onnxruntime")

ROOT = Path(__file__).resolve().parents[2]
TRAINED = ROOT / "tests" / "corpus" / "trained"
ELEMENTS = int(os.environ.get("PROBATUM_ELEMENTS", "600"))
LOADED = 1.5e-6
"""How far ONNX Runtime may be off, as a share of the largest output; magika cancels (see below)."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model, the values of its dims that are admitted, and how its inputs are drawn."""

    name: str
    draw: object
    dims: dict[str, tuple[int, int]]
    bind: dict[str, int] = field(default_factory=dict)
    far: float = LOADED
    recipe: str = ""


def ids(rng):
    tokens = rng.integers(0, 30_000, (2, 24))
    mask = np.ones_like(tokens)
    mask[1, 17:] = 0
    return {"input_ids": tokens, "attention_mask": mask}


def prices(rng):
    steps = np.cumsum(rng.normal(0, 0.01, (5, 22, 4)), axis=1)
    return {"prices": (100 * np.exp(steps)).astype(np.float32)}


def sound(rng):
    """A window of noise, with half a window of silence: its spectrum has exact zeros."""
    wave = rng.normal(0, 0.1, (1, 576)).astype(np.float32)
    wave[:, 200:] = 0
    state = rng.normal(0, 0.1, (2, 1, 128)).astype(np.float32)
    return {"input": wave, "state": state}


def features(count, low, high):
    return lambda rng: {"X": rng.uniform(low, high, (64, count)).astype(np.float32)}


MODELS = [
    Model(name="logistic", draw=features(30, 0, 30), dims={"X_0": (1, 64)}),
    Model(name="mlp", draw=features(64, 0, 16), dims={"X_0": (1, 64)}),
    Model(name="forest", draw=features(30, 0, 30), dims={"X_0": (1, 64)}),
    Model(name="volatility", recipe="sp500-volatility", draw=prices, dims={"n": (1, 16)}),
    Model(
        name="silero",
        recipe="silero-vad",
        draw=sound,
        dims={"batch": (1, 1), "sequence": (576, 576)},
        bind={"sr": 16_000},
        far=2e-5,
    ),
    Model(
        name="magika",
        recipe="magika",
        draw=lambda rng: {"bytes": rng.integers(0, 256, (2, 2048)).astype(np.int32)},
        dims={"unk__214": (1, 16)},
        # Its file takes a variance as the mean of squares less the square of the mean.
        far=1e-4,
    ),
    Model(name="minilm", recipe="all-minilm-l6-v2", draw=ids, dims={"n": (1, 64), "s": (1, 256)}),
    Model(
        name="residual",
        recipe="open-nsfw",
        draw=lambda rng: {"input_0": rng.uniform(0, 255, (1, 224, 224, 3)).astype(np.float32)},
        dims={"batch": (1, 8)},
        far=1e-5,
    ),
]


def read(model):
    if not model.recipe:
        return (TRAINED / f"{model.name}.onnx").read_bytes()
    path = ROOT / ".cache" / "models" / model.recipe / "model.onnx"
    if not path.is_file():
        command = [sys.executable, str(ROOT / "models" / "fetch.py"), model.recipe]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"{model.recipe} cannot be had: {done.stderr.strip()[-200:]}")
    return path.read_bytes()


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_every_sampled_element_is_what_the_judge_says(model):
    rng = np.random.default_rng(20)
    data, feeds = read(model), model.draw(rng)
    bound = {name: make_known("int64", value) for name, value in model.bind.items()}
    expanded = expand_model(data, ranges=model.dims, bind=bound)
    inputs = [feeds[record.name] for record in expanded.graph.inputs]
    judged, wrong, outputs = compare(expanded, inputs, ELEMENTS, rng)
    assert wrong == []
    assert judged >= 250, "the forest has 448 elements in all"
    given = feeds | {name: np.array(value) for name, value in model.bind.items()}
    options = ort.SessionOptions()
    options.log_severity_level = 4
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    for have, want in zip(outputs, session.run(None, given), strict=True):
        assert have.shape == want.shape
        scale = max(1e-30, float(np.abs(want).max()))
        distance = float(np.abs(have.astype(np.float64) - want.astype(np.float64)).max())
        assert distance <= model.far * scale
