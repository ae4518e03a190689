"""Distances are what they say: of the greatest element, and of bits."""

from __future__ import annotations

import numpy as np
import pytest

from probatum.errors import Refusal
from probatum.protocol.tensors import Tensor
from probatum.runtime.checking.admitting import admit_model
from probatum.runtime.checking.measuring import ENGINE, compare, measure_model
from probatum.runtime.checking.report import Question
from tests.unit.runtime.checking import nets


def measure(data, ranges, **told):
    question = Question(model=data, ranges=ranges, **told)
    report, expanded = admit_model(question)
    assert report.is_admitted, report.reasons
    return measure_model(question, expanded)


def test_a_distance_is_of_the_greatest_element_over_all_samples():
    truth = [np.array([0.5, -4, 0], np.float32), np.array([1, 1], np.float32)]
    found = [np.array([0.5, -4, 0.002], np.float32), np.array([1, 1.001], np.float32)]
    one = compare("b", "y", truth, found)
    assert one.distance == pytest.approx(0.001, rel=1e-3)
    assert one.equal == 3 / 5


def test_zeros_of_two_signs_are_other_bits_at_no_distance():
    one = compare("b", "y", [np.array([0.0, 0.0])], [np.array([0.0, -0.0])])
    assert (one.distance, one.equal) == (0, 0.5)


def test_what_is_not_finite_on_one_side_has_no_distance():
    infinite = [np.array([1, np.inf], np.float32)]
    assert compare("b", "y", infinite, [np.array([1, 2], np.float32)]).distance is None
    assert compare("b", "y", infinite, infinite).distance == 0
    labels = compare("b", "y", [np.array([1, 2, 3])], [np.array([1, 2, 4])])
    assert (labels.distance, round(labels.equal, 3)) == (None, 0.667)


def test_a_model_is_measured_on_drawn_samples_that_a_seed_decides():
    one = measure(nets.make_linear(), {"batch": (1, 4)}, seed=3)
    two = measure(nets.make_linear(), {"batch": (1, 4)}, seed=3)
    assert one.distances == two.distances
    assert one.shapes == {"x": (4, 3)}
    assert one.samples == 3
    assert one.is_drawn
    assert one.speed.ratio > 0
    by = {(each.of, each.output): each for each in one.distances}
    assert by[ENGINE, "y"].distance < 1e-5
    assert 1e-6 < by["float16 weights", "y"].distance < by["bfloat16 weights", "y"].distance
    assert by["int8 weights, by channel", "best"].distance is None


def test_a_given_request_counts_and_must_be_one_of_this_model():
    x = np.array([[1, 2, 3]], np.float32)
    tensor = Tensor(name="x", dtype="float32", shape=(1, 3), data=x.tobytes())
    one = measure(nets.make_linear(), {"batch": (1, 4)}, inputs=(tensor,))
    assert (one.samples, one.is_drawn, one.shapes) == (1, False, {"x": (1, 3)})
    other = Tensor(name="x", dtype="float32", shape=(3, 1), data=x.tobytes())
    with pytest.raises(Refusal, match="x"):
        measure(nets.make_linear(), {"batch": (1, 4)}, inputs=(other,))


def test_what_would_take_long_is_not_measured():
    one = measure(nets.make_linear(), {"batch": (1 << 33, 1 << 33)})
    assert one.speed is None
    assert "too large" in one.note
