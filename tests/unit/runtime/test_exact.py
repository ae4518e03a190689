"""Canonical sessions: the right bits, within what the package admits, or nothing (EXACT-1)."""

import msgspec
import numpy as np
import pytest
from onnx import TensorProto, helper

from probatum.errors import Fault, Refusal
from probatum.protocol.manifests import Canonical, DimRange
from probatum.runtime.checking.cell import expand_confined
from probatum.runtime.checking.report import Question
from probatum.runtime.engine import Stop
from probatum.runtime.exact import ExactSession
from probatum.runtime.rechecking import find_difference
from probatum.runtime.worker import ComputePool
from tests.unit.runtime.models import array_of, make_manifest, make_model, tensor_of


@pytest.fixture(scope="module")
def model():
    nodes = [helper.make_node("Exp", ["x"], ["y"])]
    made = make_model(
        nodes, [("x", TensorProto.FLOAT, ["n", 2])], [("y", TensorProto.FLOAT, ["n", 2])]
    )
    return made.SerializeToString()


@pytest.fixture(scope="module")
def manifest(model):
    report, graph = expand_confined(Question(model=model, ranges={"n": (1, 4)}))
    assert graph
    canonical = Canonical(
        digest=report.digest,
        graph="model.onnx",
        dims=(DimRange(name="n", least=1, greatest=4),),
    )
    return make_manifest(model, "n", canonical=canonical)


X = np.array([[0.5, -1.25], [3, 88]], np.float32)


def test_answers_are_rounded_once(manifest, model):
    (y,) = ExactSession(manifest, model).run((tensor_of("x", X),))
    assert np.array_equal(array_of(y), np.exp(X.astype(np.float64)).astype(np.float32))


@pytest.mark.parametrize("rows", [0, 5])
def test_dims_beyond_the_package_s_are_refused(manifest, model, rows):
    with pytest.raises(Refusal) as caught:
        ExactSession(manifest, model).run((tensor_of("x", np.zeros((rows, 2), np.float32)),))
    assert caught.value.code == "schema.dim-out-of-range"


def test_a_package_of_another_digest_is_refused(manifest, model):
    other = msgspec.structs.replace(manifest.canonical, digest="0" * 64)
    with pytest.raises(Refusal) as caught:
        ExactSession(msgspec.structs.replace(manifest, canonical=other), model)
    assert caught.value.code == "runtime.other-canonical"


def test_other_bytes_and_no_meaning_are_refused(manifest, model):
    with pytest.raises(Refusal) as caught:
        ExactSession(manifest, model + b"\0")
    assert caught.value.code == "runtime.unverified"
    with pytest.raises(Refusal) as caught:
        ExactSession(msgspec.structs.replace(manifest, canonical=None), model)
    assert caught.value.code == "schema.not-exact"


def test_a_run_can_be_ended(manifest, model):
    stop = Stop()
    stop.stop()
    with pytest.raises(Fault) as caught:
        ExactSession(manifest, model).run((tensor_of("x", X),), stop)
    assert caught.value.code == "runtime.too-slow"


def test_a_pool_computes_both_classes(manifest, model):
    import queue

    outcomes = queue.Queue()
    session = ExactSession(manifest, model)
    pool = ComputePool(lambda _: (manifest, model))
    try:
        pool.submit(session.package, (tensor_of("x", X),), lambda one: outcomes.put(("f", one)))
        pool.submit_exact(
            session.package, (tensor_of("x", X),), lambda one: outcomes.put(("e", one))
        )
        found = dict(outcomes.get(timeout=20) for _ in range(2))
    finally:
        pool.close()
    assert found["e"] == session.run((tensor_of("x", X),))
    assert np.allclose(array_of(found["f"][0]), array_of(found["e"][0]), rtol=1e-6)


def test_the_first_element_that_differs_is_named_with_both_values():
    right = (tensor_of("a", X), tensor_of("b", X))
    changed = X.copy()
    changed[1, 0] = np.nextafter(np.float32(3), np.float32(4))
    found = find_difference(right, (tensor_of("a", X), tensor_of("b", changed)))
    assert (found.tensor, found.element) == ("b", (1, 0))
    assert found.right == "3.0 (0x40400000)"
    assert "0x40400001" in found.given
    assert find_difference(right, right) is None
    assert find_difference(right, right[:1]).tensor == "b"
    assert find_difference(
        (tensor_of("a", np.float32([0.0])),), (tensor_of("a", np.float32([-0.0])),)
    ).element == (0,)
