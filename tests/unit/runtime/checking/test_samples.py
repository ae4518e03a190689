"""Drawn requests fit the graph: dims are admitted, ids lie within their tables."""

from __future__ import annotations

import numpy as np
import pytest

from probatum.canon.expand.expansion import expand_model
from probatum.errors import Refusal
from probatum.runtime.checking.samples import draw_samples, order_inputs
from tests.unit.runtime.checking import nets


def test_ids_come_from_the_whole_table_and_masks_are_bits():
    graph = expand_model(nets.make_table(), ranges={"n": (1, 4), "s": (20, 30)}).graph
    samples = draw_samples(graph, 1)
    for ids, mask in samples:
        assert ids.shape == mask.shape == (4, 20)
        assert set(np.unique(mask)) == {0, 1}
    assert set(np.unique([ids for ids, _ in samples])) == {0, 1, 2, 3, 4}
    again = draw_samples(graph, 1)
    assert all(np.array_equal(a, b) for a, b in zip(samples[2], again[2], strict=True))


def test_a_given_request_is_put_in_order_or_refused():
    graph = expand_model(nets.make_table(), ranges={"n": (1, 4), "s": (1, 30)}).graph
    ids, mask = np.zeros((2, 3), np.int64), np.ones((2, 3), np.int64)
    assert order_inputs(graph, {"mask": mask, "ids": ids})[1] is mask
    with pytest.raises(Refusal, match="lacks ids"):
        order_inputs(graph, {"mask": mask})
