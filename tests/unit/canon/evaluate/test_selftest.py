from __future__ import annotations

import numpy as np
import pytest

from probatum.canon.evaluate import selftest
from probatum.canon.evaluate.evaluating import Evaluator
from probatum.errors import Fault
from tests.unit.canon.evaluate.networks import make_transformer


def test_this_machine_passes():
    selftest.check_arithmetic()


def test_a_blas_of_float32_is_refused(monkeypatch):
    def narrow(one, two):
        return (one.astype(np.float32) @ two.astype(np.float32)).astype(np.float64)

    monkeypatch.setattr(selftest.np, "matmul", narrow)
    with pytest.raises(Fault) as caught:
        selftest.check_arithmetic()
    assert caught.value.code == "canon.unsound-arithmetic"


def test_a_root_one_unit_off_is_refused(monkeypatch):
    root = np.sqrt
    monkeypatch.setattr(selftest.np, "sqrt", lambda x: np.nextafter(root(x), x))
    with pytest.raises(Fault):
        selftest.check_arithmetic()


def test_flushing_is_refused(monkeypatch):
    """A wide type's subnormals vanish when astype flushes them."""

    class Flushing:
        smallest_subnormal = 0.0
        tiny = 2.0**-126

    monkeypatch.setattr(selftest.np, "finfo", lambda _: Flushing)
    with pytest.raises(Fault, match="flushed"):
        selftest.check_arithmetic()


def test_nothing_is_evaluated_on_an_unsound_machine(monkeypatch):
    graph, arrays = make_transformer(1, 8, 1, 2)
    selftest.check_arithmetic_once.cache_clear()
    with monkeypatch.context() as patched:
        patched.setattr(selftest, "_is_blas_conventional", lambda: False)
        with pytest.raises(Fault):
            Evaluator(graph, arrays)
    Evaluator(graph, arrays)
