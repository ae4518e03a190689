"""`model check` on real models: admissible to the class exact, bounded, measured (PUB-1)."""

from __future__ import annotations

import json

import numpy as np
import pytest

from probatum.canon.graph.records import compute_canonical_digest
from tests.e2e.test_cli import Desk
from tests.models import MODELS, expand, read

pytestmark = pytest.mark.e2e

CHECKED = [
    model for model in MODELS if model.name in {"volatility", "silero", "magika", "forest", "mlp"}
]
BOUND = 48 * 1024


def list_words(model, folder):
    """Write the file, one request, and the words of the command."""
    (folder / "model.onnx").write_bytes(read(model))
    words = ["model", "check", "model.onnx"]
    for name, (low, high) in model.dims.items():
        words += ["--dim", f"{name}={low}..{high}"]
    for name, value in model.bind.items():
        words += ["--bind", f"{name}={value}"]
    for name, array in model.draw(np.random.default_rng(3)).items():
        np.save(folder / f"{name}.npy", array)
        words += ["--input", f"{name}=@{name}.npy"]
    return words


@pytest.mark.parametrize("model", CHECKED, ids=lambda model: model.name)
def test_a_real_model_is_admitted_and_measured(model, tmp_path):
    desk = Desk(tmp_path)
    exact = desk.ask(*list_words(model, tmp_path))["exact"]
    assert exact["admitted"], exact["report"]["reasons"]
    digest = compute_canonical_digest(expand(model).graph).hex()
    assert exact["report"]["digest"] == digest
    assert 0 < exact["report"]["bounds"]["opening_bytes"] <= BOUND
    measured = exact["measured"]
    assert measured["speed"]["ratio"] > 0, measured
    engine = [one for one in measured["distances"] if one["of"].startswith("ONNX Runtime")]
    floats = [one["distance"] for one in engine if one.get("distance") is not None]
    assert max(floats) <= model.far
    print(json.dumps({"model": model.name, **measured}))


def test_a_model_that_is_not_admissible_says_every_reason(tmp_path, find_model):
    desk = Desk(tmp_path)
    done = desk.run("model", "check", str(find_model("silero-vad").resolve() / "model.onnx"))
    assert done.returncode == 0, done.stderr
    for words in (
        "class exact: not admitted:",
        "the dim 'batch' of 'input' has no range",
        "the dim 'sequence' of 'input' has no range",
        "bind the input that decides it to a constant of the package",
    ):
        assert words in done.stdout
