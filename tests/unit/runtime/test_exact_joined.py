"""Exact requests joined: the bits are those of each alone, whoever else is there (EXACT-2)."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
from msgspec.structs import replace as replace_struct
from onnx import TensorProto, helper

from probatum.errors import Fault
from probatum.protocol.manifests import BoundInput, Canonical, DimRange, TensorSpec
from probatum.runtime.batching import join, split
from probatum.runtime.checking.admitting import admit_model
from probatum.runtime.checking.report import Question
from probatum.runtime.exact import ExactSession
from probatum.runtime.limits import PoolLimits, RequestLimits
from probatum.runtime.worker import ComputePool
from tests.models import MODELS, read
from tests.unit.runtime.models import make_manifest, make_model, tensor_of


def make_exact(model, ranges, bind=(), batch_dim=None):
    """Make a manifest of class exact as the graph has it."""
    report, expanded = admit_model(Question(model=model, ranges=ranges, bind=bind))
    assert expanded is not None, report
    graph = expanded.graph

    def call(size):
        return size if isinstance(size, int) else size.terms[0].factors[0]

    types = {2: graph.nodes, 1: graph.weights, 0: graph.inputs}
    return make_manifest(
        model,
        inputs=tuple(
            TensorSpec(name=one.name, dtype=one.dtype, shape=tuple(map(call, one.shape)))
            for one in graph.inputs
        ),
        outputs=tuple(
            TensorSpec(name=one.name, dtype=types[one.ref.space][one.ref.number].dtype, shape=())
            for one in graph.outputs
        ),
        bound=tuple(
            BoundInput(name=one.name, dtype=one.dtype, shape=one.shape, data=one.data.hex())
            for one in bind
        ),
        canonical=Canonical(
            digest=report.digest,
            graph="model.onnx",
            dims=tuple(
                DimRange(name=name, least=low, greatest=high)
                for name, (low, high) in sorted(ranges.items())
            ),
        ),
        batch_dim=batch_dim,
    )


ROWS = (1, 2, 1)
FIXED = {"silero-op16", "silero-openvino", "silero-sequence"}
"""Files that have one row, or admit one number of them."""
JOINED = [model for model in MODELS if model.name not in FIXED]


@pytest.mark.parametrize("model", JOINED, ids=lambda model: model.name)
def test_real_models_answer_the_same_bits_joined_and_alone(model):
    if model.name == "silero":  # its state has rows on its second axis
        model = replace(model, dims={**model.dims, "batch": (1, 8)})
    data = read(model)
    bind = tuple(tensor_of(name, np.array(value)) for name, value in model.bind.items())
    session = ExactSession(make_exact(data, model.dims, bind), data)
    joining = session.joining
    assert joining is not None
    rng = np.random.default_rng(7)
    rows = ROWS if model.name != "residual" else (1, 1)
    requests = [[] for _ in rows]
    for spec, axis in zip(session.manifest.inputs, joining.inputs, strict=True):
        drawn = [model.draw(rng)[spec.name] for _ in range(2)]
        pool = np.concatenate(drawn * 2, axis=axis)
        ends = np.cumsum((0, *rows))
        for at, request in enumerate(requests):
            part = np.take(pool, range(ends[at], ends[at + 1]), axis=axis)
            if part.dtype == np.float32 and at == 1:
                part.flat[0] = np.nan  # one request's NaN is nobody else's
            request.append(tensor_of(spec.name, part))
    requests = [tuple(request) for request in requests]
    together = session.run(join(requests, joining.inputs))
    alone = [session.run(request) for request in requests]
    assert list(split(together, rows, joining.outputs)) == alone


LIKE_OTHERS = [helper.make_node("ReduceMax", ["x", "axes"], ["m"], keepdims=1),
               helper.make_node("Sub", ["x", "m"], ["y"])]  # fmt: skip
ROW_WISE = [helper.make_node("Exp", ["x"], ["y"])]


def make_rows(nodes):
    return make_model(
        nodes,
        [("x", TensorProto.FLOAT, ["n", 3])],
        [("y", TensorProto.FLOAT, ["n", 3])],
        [("axes", np.array([0]))] if nodes is LIKE_OTHERS else [],
    ).SerializeToString()


def test_a_publisher_s_word_joins_nothing():
    """The manifest says that rows are independent; they are not, and each is answered alone."""
    model = make_rows(LIKE_OTHERS)
    liar = make_exact(model, {"n": (1, 8)}, batch_dim="n")
    assert liar.batch_dim == "n"
    assert ExactSession(liar, model).joining is None
    modest = make_rows(ROW_WISE)
    assert ExactSession(make_exact(modest, {"n": (1, 8)}), modest).joining.dim == "n"


@pytest.mark.parametrize("shape", [(2, 3), ("k", 3)])
def test_a_manifest_that_does_not_name_the_rows_is_answered_alone(shape):
    """Nothing told how many rows a request has: every answer was an internal fault."""
    model = make_rows(ROW_WISE)
    honest = make_exact(model, {"n": (1, 8)})
    manifest = replace_struct(honest, inputs=(replace_struct(honest.inputs[0], shape=shape),))
    session = ExactSession(manifest, model)
    assert session.joining is None
    x, got, told = np.ones((2, 3), np.float32), [], threading.Event()
    pool = ComputePool(lambda _: (manifest, model))
    try:
        pool.submit_exact(
            session.package, (tensor_of("x", x),), lambda one: (got.append(one), told.set())
        )
        assert told.wait(20)
    finally:
        pool.close()
    assert got == [session.run((tensor_of("x", x),))]


class Runs:
    """A pool whose runs are noted, and held back until it is told."""

    def __init__(self, monkeypatch, manifest, model, **settings):
        self.shapes, self.answers, self.fail_above, self.poison = [], {}, None, None
        self.go, self.changed = threading.Event(), threading.Condition()
        real = ExactSession.run_checked

        def noting(session, tensors, dims, stop):
            self.go.wait(20)
            self.shapes.append(tensors[0].shape)
            if self.fail_above is not None and dims["n"] > self.fail_above:
                raise Fault("test.broken", "too many")
            if self.poison is not None and self.poison in tensors[0].data:
                raise ZeroDivisionError("a bug that one request meets")
            return real(session, tensors, dims, stop)

        monkeypatch.setattr(ExactSession, "run_checked", noting)
        self.session = ExactSession(manifest, model)
        self.pool = ComputePool(lambda _: (manifest, model), **settings)

    def ask(self, name, array):
        def done(outcome):
            with self.changed:
                self.answers[name] = outcome
                self.changed.notify_all()

        self.pool.submit_exact(self.session.package, (tensor_of("x", array),), done)

    def wait(self, count):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.answers) >= count, 20)

    def alone(self, array):
        self.go.set()
        return self.session.run((tensor_of("x", array),))


@pytest.fixture
def start(monkeypatch):
    started = []

    def make(nodes, limits=None, **settings):
        model = make_rows(nodes)
        manifest = make_exact(model, {"n": (1, 8)})
        limits = limits or PoolLimits(exact_seconds=60)
        started.append(Runs(monkeypatch, manifest, model, pool_limits=limits, **settings))
        return started[-1]

    yield make
    for runs in started:
        runs.go.set()
        runs.pool.close()


def fill(runs, count):
    """Ask so often while the pool is held back, after it has learned what runs take."""
    arrays = np.random.default_rng(3).normal(0, 3, (count, 1, 3)).astype(np.float32)
    runs.go.set()
    for size in (1, 2, 4):
        runs.ask(f"warm {size}", np.full((size, 3), 1, np.float32))
        deadline = time.monotonic() + 20
        while f"warm {size}" not in runs.answers:
            assert time.monotonic() < deadline
            time.sleep(0.001)
    runs.go.clear()
    runs.shapes.clear()
    runs.ask("held", np.zeros((1, 3), np.float32))
    while runs.pool.count_waiting():
        time.sleep(0.001)
    for at, array in enumerate(arrays):
        runs.ask(at, array)
    return arrays


def test_what_waits_is_joined_within_what_the_package_admits(start):
    runs = start(ROW_WISE)
    arrays = fill(runs, 12)
    runs.go.set()
    runs.wait(16)
    assert sum(shape[0] for shape in runs.shapes) == 13
    assert 1 < max(shape[0] for shape in runs.shapes) <= 8
    for at, array in enumerate(arrays):
        assert runs.answers[at] == runs.alone(array)


def test_rows_that_look_at_one_another_run_alone(start):
    runs = start(LIKE_OTHERS)
    arrays = fill(runs, 5)
    runs.go.set()
    runs.wait(9)
    assert runs.shapes == [(1, 3)] * 6
    for at, array in enumerate(arrays):
        assert runs.answers[at] == runs.alone(array)


def test_a_joint_run_that_fails_is_made_again_one_by_one(start):
    runs = start(ROW_WISE)
    arrays = fill(runs, 4)
    runs.fail_above = 1
    runs.ask("beyond", np.zeros((9, 3), np.float32))
    runs.ask("dtype", np.zeros((1, 3), np.float64))
    runs.go.set()
    runs.wait(10)
    assert max(shape[0] for shape in runs.shapes) > 1
    assert runs.answers["beyond"].code == "schema.dim-out-of-range"
    assert runs.answers["dtype"].code == "schema.wrong-dtype"
    for at, array in enumerate(arrays):
        assert runs.answers[at] == runs.alone(array)


def test_a_bug_that_one_request_meets_is_not_the_others_outcome(start):
    runs = start(ROW_WISE)
    arrays = fill(runs, 4)
    runs.poison = arrays[1].tobytes()
    runs.go.set()
    runs.wait(8)
    assert max(shape[0] for shape in runs.shapes) > 1
    assert runs.answers[1].code == "runtime.broken"
    runs.poison = None
    for at in (0, 2, 3):
        assert runs.answers[at] == runs.alone(arrays[at])


def test_answers_too_large_together_are_not_computed_twice_for_ever(start):
    """Two rows are more than one answer may be: after some tries, requests run alone."""
    runs = start(ROW_WISE, request_limits=RequestLimits(output_bytes=12))
    runs.go.set()
    for at in range(40):
        runs.go.clear()
        runs.ask((at, 0), np.full((1, 3), at, np.float32))
        while runs.pool.count_waiting():
            time.sleep(0.001)
        for more in (1, 2):
            runs.ask((at, more), np.full((1, 3), at + more, np.float32))
        runs.go.set()
        runs.wait(3 * (at + 1))
    assert all(isinstance(outcome, tuple) for outcome in runs.answers.values())
    assert 1 <= sum(shape[0] > 1 for shape in runs.shapes) <= 20  # times of such runs vary


def test_waiting_for_a_turn_is_no_running_time(start):
    """Two threads and one session: the second's time limit begins with its own run."""
    limits = RequestLimits(seconds=0.5)
    runs = start(ROW_WISE, threads=2, request_limits=limits)
    for name in ("first", "second"):
        runs.ask(name, np.zeros((1, 3), np.float32))
    time.sleep(0.3)
    assert len(runs.pool._running) == 1
    runs.go.set()
    runs.wait(2)
    assert all(isinstance(outcome, tuple) for outcome in runs.answers.values())
