"""The same bits of every tensor, whatever computes it: threads, chunks, batches, BLAS, vector code.

`CANON-2` and `CANON-4` on real models. One root covers every bit of every tensor of an evaluation
(`CANON-5`); and each row of each tensor is hashed alone and among eight.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from probatum.canon.evaluate.evaluating import Evaluator
from probatum.canon.evaluate.tracing import Tracer
from probatum.canon.graph.binding import bind_dims, bind_graph
from probatum.canon.trace.roots import ZERO_SALT
from tests.corpus.trained import MAKERS, train
from tests.models import MODELS, expand
from tests.unit.canon.evaluate.test_same_bits import list_wide_code

ROOT = Path(__file__).resolve().parents[2]
BATCH = 8
LIGHT = [model for model in MODELS if model.name != "residual"]
BATCHED = [model for model in MODELS if model.rows or model.name == "silero-16k-op15"]
BATCH_AXES = {"state": 1}
"""Of inputs whose rows do not lie in the first dim."""


def evaluate(evaluator, graph, feeds, sink):
    return evaluator.evaluate([feeds[record.name] for record in graph.inputs], sink=sink)


def compute_root(evaluator, graph, feeds):
    """Compute the trace root of an evaluation."""
    shapes = tuple(feeds[record.name].shape for record in graph.inputs)
    bound = bind_graph(graph, bind_dims(graph, shapes))
    names = {output.ref.number: output.name for output in graph.outputs}
    tracer = Tracer(bound, names, ZERO_SALT)
    evaluate(evaluator, graph, feeds, tracer)
    return tracer.compute_root().hex()


def draw_rows(model):
    """Draw `BATCH` rows; the inputs of each alone are slices of these."""
    rng, parts = np.random.default_rng(8), []
    while sum(len(next(iter(part.values()))) for part in parts) < BATCH:
        parts.append(model.draw(rng))
    feeds = {
        name: np.concatenate([part[name] for part in parts], axis=BATCH_AXES.get(name, 0))
        for name in parts[0]
    }
    return {name: take_rows(name, array, 0, BATCH) for name, array in feeds.items()}


def take_rows(name, array, start, end):
    axis = BATCH_AXES.get(name, 0)
    return np.ascontiguousarray(np.take(array, range(start, end), axis=axis))


def keep_tensors(evaluator, graph, feeds):
    kept = {}
    evaluate(evaluator, graph, feeds, lambda number, array: kept.update({number: np.array(array)}))
    return kept


def hash_rows(evaluator, graph, feeds):
    """Hash every tensor, row by row: evaluated together, and each row by itself."""
    together = keep_tensors(evaluator, graph, feeds)
    hashes = {"together": [], "alone": []}
    for row in range(BATCH):
        given = {name: take_rows(name, array, row, row + 1) for name, array in feeds.items()}
        alone = keep_tensors(evaluator, graph, given)
        assert alone.keys() == together.keys()
        one, among = hashlib.sha256(), hashlib.sha256()
        for number, array in alone.items():
            one.update(array.tobytes())
            among.update(cut_row(together[number], array.shape, row).tobytes())
        hashes["alone"].append(one.hexdigest())
        hashes["together"].append(among.hexdigest())
    return hashes


def cut_row(whole, shape, row):
    """Cut a row's part out of a tensor: along the one axis that the batch makes eight times longer.

    A tensor without such an axis is the same for all rows.
    """
    longer = [axis for axis, size in enumerate(shape) if whole.shape[axis] != size]
    if not longer:
        return whole
    (axis,) = longer
    size = shape[axis]
    assert whole.shape[axis] == BATCH * size
    return np.take(whole, range(row * size, (row + 1) * size), axis=axis)


def compute_all(**settings):
    """Compute the trace root of each model, and the rows' hashes of those that have rows."""
    found = {}
    for model in LIGHT:
        expanded = expand(model)
        evaluator = Evaluator(expanded.graph, expanded.weights, **settings)
        feeds = model.draw(np.random.default_rng(7))
        found[model.name] = {"root": compute_root(evaluator, expanded.graph, feeds)}
        if model in BATCHED:
            found[model.name] |= hash_rows(evaluator, expanded.graph, draw_rows(model))
        evaluator.close()
    return found


@pytest.fixture(scope="module")
def expected():
    return compute_all()


@pytest.mark.parametrize("model", BATCHED, ids=lambda model: model.name)
def test_every_tensor_has_the_same_bits_with_batch_1_and_8(expected, model):
    found = expected[model.name]
    assert len(set(found["alone"])) > 1, "rows differ, or this shows nothing"
    assert found["together"] == found["alone"]


@pytest.mark.nightly
@pytest.mark.parametrize("settings", [{}, {"threads": 2, "k_chunk": 64}], ids=str)
def test_pictures_have_the_same_bits_with_batch_1_and_8(settings):
    model = next(one for one in MODELS if one.name == "residual")
    expanded = expand(model)
    evaluator = Evaluator(expanded.graph, expanded.weights, **settings)
    found = hash_rows(evaluator, expanded.graph, draw_rows(model))
    evaluator.close()
    assert len(set(found["alone"])) == BATCH
    assert found["together"] == found["alone"]


@pytest.mark.parametrize(
    "settings",
    [{"threads": 2}, {"k_chunk": 64}, {"kept_bytes": 0}, {"compiled": False}],
    ids=str,
)
def test_how_it_is_computed_changes_no_bit(expected, settings):
    assert compute_all(**settings) == expected


@pytest.mark.parametrize("kernels", ["haswell", "nehalem", "no wide code"])
def test_what_it_is_computed_with_changes_no_bit(expected, kernels, tmp_path):
    environment = {
        "haswell": {"OPENBLAS_CORETYPE": "Haswell", "OPENBLAS_NUM_THREADS": "2"},
        "nehalem": {"OPENBLAS_CORETYPE": "Nehalem"},
        "no wide code": {"NPY_DISABLE_CPU_FEATURES": list_wide_code()},
    }[kernels]
    for name in MAKERS:
        (tmp_path / f"{name}.onnx").write_bytes(train(name))
    done = subprocess.run(
        [sys.executable, "-m", "tests.conformance.test_canon_machines"],
        cwd=ROOT,
        env={**os.environ, **environment, "PROBATUM_TRAINED": str(tmp_path)},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    told = json.loads(done.stdout)
    if "OPENBLAS_CORETYPE" in environment:
        assert told["blas"] == [environment["OPENBLAS_CORETYPE"]], "the BLAS took what it was told"
    else:
        assert told["wide"] == "", "numpy left out what it was told to"
    assert told["found"] == expected


if __name__ == "__main__":
    blas = sorted({one["architecture"] for one in threadpool_info() if one["user_api"] == "blas"})
    print(json.dumps({"found": compute_all(), "blas": blas, "wide": list_wide_code()}))
