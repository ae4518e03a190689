"""The page of operators says what the source does, and distances are as they were (CANON-1)."""

from __future__ import annotations

import numpy as np
import pytest

from probatum.canon.expand.loading import BODIES
from probatum.canon.expand.operators.table import ADMITTED
from tools import operators
from tools.operator_cases import CASES

ROUNDED_ONCE = {"LeakyRelu", "PRelu", "ThresholdedRelu", "ReduceL1"}


def test_the_page_is_up_to_date():
    written = operators.PAGE.read_text(encoding="utf-8")
    assert written == operators.write_page(), (
        "docs/spec/operators/expansions.md is behind; .venv/bin/python tools/operators.py writes it"
    )


def test_every_body_of_several_roundings_is_measured():
    measured = {case.operator for case in CASES}
    assert set(BODIES) - ROUNDED_ONCE <= measured
    assert measured <= set(BODIES) | {name for _, name in ADMITTED}


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.operator} {case.told}")
def test_usual_inputs_cost_a_few_units_at_most(case):
    """A larger distance is an expansion that cancels, and wants another one."""
    assert operators.measure(case, case.random) < 4


@pytest.mark.parametrize("operator", sorted(set(BODIES)))
def test_defaults_of_a_body_are_written_out(operator):
    """A node that leaves an attribute out means its default."""
    x = np.linspace(-3, 3, 64, dtype=np.float32)
    inputs = (x, np.array([0.25], np.float32)) if operator == "PRelu" else (x,)
    case = operators.Case(
        operator=operator, exact=lambda *_: np.ones(64), random=inputs, hard=inputs, why=""
    )
    if operator.startswith("Reduce"):
        case = operators.Case(
            operator=operator, exact=lambda *_: np.ones(1), random=inputs, hard=inputs, why=""
        )
    assert operators.measure(case, inputs) >= 0
