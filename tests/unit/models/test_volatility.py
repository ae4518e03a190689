"""The volatility forecast: learned by the recipe, better than its baselines, as its card says."""

from __future__ import annotations

import json

import numpy as np
import onnx
import onnxruntime
import pytest

from models import volatility


@pytest.fixture(scope="module")
def folder(find_model):
    return find_model("sp500-volatility")


@pytest.fixture(scope="module")
def prices(folder):
    return volatility.read_prices((folder / "sp500.csv.gz").read_bytes())


def test_it_beats_its_baselines_on_days_that_it_never_saw(prices):
    learned = volatility.fit(prices)
    assert len(prices) == 5031
    assert (learned.trained_days, learned.tested_days) == (4007, 1002)
    assert learned.r2 > learned.har_r2 + 0.02
    assert learned.har_r2 > learned.naive_r2 + 0.15
    found = (learned.r2, learned.har_r2, learned.naive_r2)
    assert found == pytest.approx((0.509, 0.481, 0.305), abs=0.0006)


def test_the_har_baseline_is_the_published_one(prices):
    """On Parkinson's variance, a linear HAR made with other tools has .474, naive .286."""
    levels = np.log(np.log(prices[:, 1] / prices[:, 2]) ** 2 / (4 * np.log(2)))
    windows = np.lib.stride_tricks.sliding_window_view(levels, 22)[:-1]
    terms = np.stack((windows[:, -1], windows[:, -5:].mean(1), windows.mean(1)), 1)
    targets, cut = levels[22:], (len(levels) - 22) * 4 // 5
    table = np.column_stack((terms, np.ones(len(terms))))
    weights = np.linalg.lstsq(table[:cut], targets[:cut], rcond=None)[0]
    r2 = volatility.compute_r2(table[cut:] @ weights, targets[cut:])
    naive = volatility.compute_r2(terms[cut:, 0], targets[cut:])
    assert (r2, naive) == pytest.approx((0.474, 0.286), abs=0.0006)


def test_the_same_table_makes_the_same_files(folder):
    made = volatility.make({"sp500.csv.gz": (folder / "sp500.csv.gz").read_bytes()})
    assert sorted(made) == ["README.md", "facts.json", "model.onnx"]
    assert made == {name: (folder / name).read_bytes() for name in made}


def test_the_graph_computes_what_was_fitted(folder, prices):
    model = (folder / "model.onnx").read_bytes()
    onnx.checker.check_model(onnx.load_from_string(model), full_check=True)
    facts = json.loads((folder / "facts.json").read_bytes())
    windows, _ = volatility.compute_targets(prices)
    session = onnxruntime.InferenceSession(model)
    found, percent = session.run(None, {"prices": windows.astype(np.float32)})
    wanted = volatility.compute_terms(windows) @ facts["weights"] + facts["constant"]
    np.testing.assert_allclose(found[:, 0], wanted, atol=2e-4)
    np.testing.assert_allclose(percent[:, 0], 100 * np.sqrt(252 * np.exp(wanted)), rtol=2e-4)


def test_days_that_stand_still_have_a_forecast(folder):
    session = onnxruntime.InferenceSession((folder / "model.onnx").read_bytes())
    still = np.full((1, 22, 4), 1000.0, np.float32)
    found, _ = session.run(None, {"prices": still})
    assert np.isfinite(found).all()
    assert np.isfinite(volatility.compute_terms(still.astype(np.float64))).all()
