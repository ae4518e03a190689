"""One trace root, whatever computes it: threads, chunks, kernels of the BLAS, code of numpy.

`CANON-2` on real models: the root covers every bit of every tensor (`CANON-5`).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from probatum.canon.evaluate.evaluating import Evaluator
from probatum.canon.evaluate.tracing import Tracer
from probatum.canon.graph.binding import bind_dims, bind_graph
from probatum.canon.trace.roots import ZERO_SALT
from tests.corpus.trained import MAKERS, train
from tests.models import MODELS, expand
from tests.unit.canon.evaluate.test_same_bits import list_wide_code

ROOT = Path(__file__).resolve().parents[2]
LIGHT = [model for model in MODELS if model.name != "residual"]


def compute_roots(**settings):
    """Compute the trace root of each model."""
    roots = {}
    for model in LIGHT:
        expanded, feeds = expand(model), model.draw(np.random.default_rng(7))
        graph = expanded.graph
        inputs = [feeds[record.name] for record in graph.inputs]
        bound = bind_graph(graph, bind_dims(graph, tuple(one.shape for one in inputs)))
        names = {output.ref.number: output.name for output in graph.outputs}
        tracer = Tracer(bound, names, ZERO_SALT)
        evaluator = Evaluator(graph, expanded.weights, **settings)
        evaluator.evaluate(inputs, sink=tracer)
        evaluator.close()
        roots[model.name] = tracer.compute_root().hex()
    return roots


@pytest.fixture(scope="module")
def expected():
    return compute_roots()


@pytest.mark.parametrize("settings", [{"threads": 2}, {"k_chunk": 64}, {"kept_bytes": 0}], ids=str)
def test_how_it_is_computed_changes_no_bit(expected, settings):
    assert compute_roots(**settings) == expected


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
    assert json.loads(done.stdout) == expected


@pytest.mark.parametrize("model", [model for model in MODELS if model.rows], ids=lambda m: m.name)
def test_a_row_has_the_same_bits_alone_and_among_others(model):
    expanded, feeds = expand(model), model.draw(np.random.default_rng(8))
    inputs = [feeds[record.name][:8] for record in expanded.graph.inputs]
    evaluator = Evaluator(expanded.graph, expanded.weights)
    together = evaluator.evaluate(inputs)
    for row in range(len(inputs[0])):
        alone = evaluator.evaluate([one[row : row + 1] for one in inputs])
        for whole, part in zip(together, alone, strict=True):
            assert whole[row : row + 1].tobytes() == part.tobytes()
    evaluator.close()


if __name__ == "__main__":
    print(json.dumps(compute_roots()))
