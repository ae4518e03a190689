"""ONNX's own node cases: an expansion means what the operator means, or is refused by a code."""

from __future__ import annotations

import warnings
from collections import Counter

import numpy as np
import pytest

from probatum.canon.expand.expansion import expand_model
from probatum.canon.expand.loading import BODIES
from probatum.canon.expand.operators.table import ADMITTED
from probatum.canon.expand.values import make_known
from probatum.errors import Refusal
from tests.unit.canon.expand.plain import run_plainly

NAMES = {name for _, name in ADMITTED} | set(BODIES) | {"If", "Loop"}
EMPTY = frozenset({"test_reduce_max_empty_set", "test_reduce_min_empty_set"})
"""A greatest of nothing is not admitted where it is judged; here there is no judge."""


def collect():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.case.node import collect_testcases

        cases = collect_testcases(None)
    return [
        case
        for case in cases
        if {node.op_type for node in case.model.graph.node} <= NAMES
        and not case.name.startswith(tuple(EMPTY))
    ]


def run(case):
    """Expand and compute; what must be static is bound where that is what is missing."""
    inputs = case.data_sets[0][0]
    feeds = {
        info.name: np.asarray(value)
        for info, value in zip(case.model.graph.input, inputs, strict=False)
    }
    data = case.model.SerializeToString()
    try:
        return run_plainly(expand_model(data, ranges={}), feeds)
    except Refusal as refusal:
        if refusal.code != "canon.not-static":
            raise
    bound = {name: value for name, value in feeds.items() if value.dtype in (np.int64, np.bool_)}
    known = {name: make_known(str(value.dtype), value) for name, value in bound.items()}
    rest = {name: value for name, value in feeds.items() if name not in bound}
    return run_plainly(expand_model(data, ranges={}, bind=known), rest)


def test_every_case_agrees_or_is_refused_by_a_code():
    agreed, refused, wrong = Counter(), Counter(), []
    for case in collect():
        operator = case.model.graph.node[-1].op_type
        try:
            got = run(case)
        except Refusal as refusal:
            refused[refusal.code] += 1
            continue
        for info, array in zip(case.model.graph.output, case.data_sets[0][1], strict=False):
            have, want = got[info.name].astype(np.float64), np.asarray(array).astype(np.float64)
            loose = 2e-3 if "fp16" in case.name or "float16" in case.name else 1e-3
            close = np.allclose(have, want, rtol=loose, atol=1e-5, equal_nan=True)
            if have.shape != want.shape or not close:
                wrong.append(case.name)
        agreed[operator] += 1
    assert wrong == []
    assert sum(agreed.values()) > 700
    assert not {code for code in refused if not code.startswith("canon.")}
    # What is admitted is admitted in earnest: no operator is in the table only to be refused.
    assert {name for name in NAMES if agreed[name]} >= {
        "MatMul", "Conv", "LSTM", "TopK", "Gather", "Attention", "RotaryEmbedding",
    }  # fmt: skip


@pytest.mark.parametrize("operator", ["RandomNormal", "Multinomial", "NonMaxSuppression"])
def test_what_draws_or_depends_on_data_is_not_in_the_table(operator):
    assert ("ai.onnx", operator) not in ADMITTED
