"""Joined and split again, requests get what they would have got alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probatum.errors import Fault
from probatum.protocol.manifests import TensorSpec
from probatum.protocol.tensors import check_tensor
from probatum.runtime.batching import (
    choose_rows,
    compute_batch_key,
    find_joining,
    is_batchable,
    join,
    split,
)
from probatum.runtime.session import OnnxSession
from tests.unit.runtime.models import array_of, make_manifest, tensor_of


@given(
    st.lists(st.integers(1, 5), min_size=1, max_size=6),
    st.sampled_from(["int32", "float64"]),
    st.integers(0, 3),
    st.sampled_from([0, 2]),
)
def test_split_undoes_join(rows, dtype, axis, empty):
    chance = np.random.default_rng(sum(rows))
    around = (2, empty, 3)
    arrays = [
        (
            chance.integers(0, 9, (*around[:axis], count, *around[axis:])).astype(dtype),
            chance.integers(0, 9, (count,)).astype("uint8"),
        )
        for count in rows
    ]
    requests = [(tensor_of("a", a), tensor_of("b", b)) for a, b in arrays]
    axes = (axis, 0)
    assert len({compute_batch_key(request, axes) for request in requests}) == 1
    joined = join(requests, axes)
    for tensor, parts, at in zip(joined, zip(*arrays, strict=True), axes, strict=True):
        check_tensor(tensor)
        assert np.array_equal(array_of(tensor), np.concatenate(parts, axis=at))
    assert list(split(joined, rows, axes)) == requests


def test_a_joint_answer_with_other_rows_is_a_fault():
    outputs = (tensor_of("y", np.zeros((3, 2), "float32")),)
    with pytest.raises(Fault) as caught:
        split(outputs, [1, 1], (0,))
    assert caught.value.code == "runtime.broken-schema"


def test_what_differs_in_more_than_rows_is_not_joined():
    def compute(array, name="x", axis=0):
        return compute_batch_key((tensor_of(name, array),), (axis,))

    key = compute(np.zeros((2, 3), "float32"))
    assert key == compute(np.zeros((9, 3), "float32"))
    assert key != compute(np.zeros((2, 3), "float32"), name="z")
    assert key != compute(np.zeros((2, 4), "float32"))
    assert key != compute(np.zeros((2, 3), "float64"))
    assert key != compute(np.zeros((3, 2), "float32"), axis=1)
    assert compute(np.zeros((0, 3), "float32")) is None
    assert compute(np.array(1, "float32")) is None
    pair = (tensor_of("x", np.zeros(2)), tensor_of("z", np.zeros(3)))
    assert compute_batch_key(pair, (0, 0)) is None
    assert compute_batch_key(pair, (0,)) is None


def test_requests_are_joined_only_where_the_manifest_allows_it(linear):
    assert is_batchable(make_manifest(linear, "n"))
    assert not is_batchable(make_manifest(linear))
    for shape in ((3,), (), (3, "n"), ("n", "n")):
        odd = (TensorSpec(name="y", dtype="float32", shape=shape),)
        assert not is_batchable(make_manifest(linear, "n", outputs=odd))
        assert find_joining(make_manifest(linear, "n", outputs=odd), 8) is None
    found = find_joining(make_manifest(linear, "n"), 8)
    assert (found.dim, found.inputs, found.outputs, found.most_rows) == ("n", (0,), (0,), 8)


def test_a_joint_run_is_the_runs_alone(linear):
    manifest = make_manifest(linear, "n")
    session = OnnxSession(manifest, linear)
    chance = np.random.default_rng(1)
    requests = [
        (tensor_of("x", chance.standard_normal((n, 3)).astype("float32")),) for n in (1, 4, 2)
    ]
    for request, answer in zip(
        requests, split(session.run(join(requests, (0,))), [1, 4, 2], (0,)), strict=True
    ):
        (alone,) = session.run(request)
        np.testing.assert_allclose(array_of(answer[0]), array_of(alone), rtol=1e-6)


def test_only_short_rows_are_joined():
    def choose(seconds):
        return choose_rows(seconds, most_rows=32, most_seconds=0.002)

    assert [choose(s) for s in (None, 0.005, 0.0011, 0.001, 0.0001, 1e-5, 0.0)] == [
        *(1, 1, 1, 2, 20, 32, 32)
    ]
