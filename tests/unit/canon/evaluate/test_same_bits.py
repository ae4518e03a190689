"""CANON-4: threads, chunks, batches, BLAS kernels and vector code change no bit of any entry."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from probatum.canon.evaluate.evaluating import Evaluator
from tests.unit.canon.evaluate.networks import hash_networks, make_transformer

PROGRAM = "from tests.unit.canon.evaluate.networks import hash_networks; print(hash_networks())"


@pytest.fixture(scope="module")
def here():
    return hash_networks()


@pytest.mark.parametrize(
    "settings",
    [{"threads": 2}, {"k_chunk": 64}, {"k_chunk": 17}, {"kept_bytes": 0}, {"compiled": False}],
    ids=str,
)
def test_no_setting_changes_a_bit(here, settings):
    assert hash_networks(**settings) == here


def list_wide_code():
    """What numpy may be told to leave out."""
    from numpy._core import _multiarray_umath as numpy_core

    found = numpy_core.__cpu_features__
    return " ".join(
        name
        for name in numpy_core.__cpu_dispatch__
        if found.get(name) and ("AVX512" in name or name == "X86_V4")
    )


@pytest.mark.parametrize(
    "environment",
    [
        {"OPENBLAS_CORETYPE": "Haswell"},
        {"OPENBLAS_CORETYPE": "Nehalem", "OPENBLAS_NUM_THREADS": "2"},
        {"NPY_DISABLE_CPU_FEATURES": "wide"},
    ],
    ids=str,
)
def test_no_machine_changes_a_bit(here, environment):
    if "NPY_DISABLE_CPU_FEATURES" in environment:
        environment = {"NPY_DISABLE_CPU_FEATURES": list_wide_code()}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.strip() == here


def test_batch_of_eight_is_eight_times_one():
    rng = np.random.default_rng(1)
    x = rng.standard_normal((8, 24, 48)).astype(np.float32)
    graph, arrays = make_transformer(1, 48, 3, 24, batch=8)
    (together,) = Evaluator(graph, arrays).evaluate([x])
    graph, arrays = make_transformer(1, 48, 3, 24)
    alone = Evaluator(graph, arrays)
    for number in range(8):
        (one,) = alone.evaluate([x[number : number + 1]])
        assert one[0].tobytes() == together[number].tobytes()
