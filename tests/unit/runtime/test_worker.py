"""The pool answers every job once, whatever the others are."""

import threading
import time

import numpy as np
import pytest

from probatum.errors import Fault, Refusal
from probatum.protocol.manifests import compute_package_digest, encode_manifest
from probatum.protocol.primitives import make_digest
from probatum.runtime.limits import PoolLimits, RequestLimits
from probatum.runtime.session import OnnxSession
from probatum.runtime.worker import ComputePool
from tests.unit.runtime.models import array_of, make_manifest, tensor_of


class Shelf:
    """Packages by digest, as a store would give them; counts how often it is asked."""

    def __init__(self):
        self.packages = {}
        self.loads = []

    def put(self, model, batch_dim=None):
        manifest = make_manifest(model, batch_dim)
        digest = compute_package_digest(encode_manifest(manifest))
        self.packages[digest] = (manifest, model)
        return digest

    def load(self, digest):
        self.loads.append(digest)
        if digest not in self.packages:
            raise Refusal("package.unknown", "not here")
        return self.packages[digest]


class Outcomes:
    """Gathers outcomes from the pool's threads."""

    def __init__(self):
        self.got = {}
        self.changed = threading.Condition()

    def slot(self, name):
        def done(outcome):
            with self.changed:
                assert name not in self.got, "answered twice"
                self.got[name] = outcome
                self.changed.notify_all()

        return done

    def wait(self, count, seconds=30):
        with self.changed:
            assert self.changed.wait_for(lambda: len(self.got) >= count, seconds)
            return self.got


@pytest.fixture
def shelf():
    return Shelf()


@pytest.fixture
def make_pool(shelf):
    pools = []

    def make(**settings):
        pools.append(ComputePool(shelf.load, **settings))
        return pools[-1]

    yield make
    for pool in pools:
        pool.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("compute-")]


@pytest.fixture
def busy(shelf, slow):
    """Keeps a pool's only thread busy until the pool is closed or the job's time is up."""
    digest = shelf.put(slow)

    def begin(pool, outcomes):
        pool.submit(digest, (tensor_of("k", np.array(1 << 40)),), outcomes.slot("busy"))
        deadline = time.monotonic() + 20
        while not pool._running:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    return begin


def rows(values):
    return (tensor_of("x", np.array(values, "float32").reshape(-1, 3)),)


def test_jobs_are_answered(make_pool, shelf, linear):
    digest = shelf.put(linear, "n")
    pool, outcomes = make_pool(threads=2), Outcomes()
    for i in range(50):
        pool.submit(digest, rows([i, 0, 0]), outcomes.slot(i))
    for i, (y,) in outcomes.wait(50).items():
        assert array_of(y).tolist() == [[1.0, i - 1.0]]
    assert shelf.loads == [digest]
    assert pool.count_waiting() == 0


def test_what_waits_is_joined_up_to_the_limit(make_pool, shelf, linear, picker, busy, monkeypatch):
    runs = []
    real = OnnxSession.run_checked

    def noting(session, tensors, dims, stop):
        runs.append(tensors[0].shape)
        return real(session, tensors, dims, stop)

    monkeypatch.setattr(OnnxSession, "run_checked", noting)
    digest, other = shelf.put(linear, "n"), shelf.put(picker, "n")
    pool = make_pool(
        request_limits=RequestLimits(seconds=0.5),
        pool_limits=PoolLimits(batch_rows=4, batch_seconds=60),
    )
    outcomes = Outcomes()
    pool.submit(digest, rows([0, 0, 0]), outcomes.slot("first"))  # Shows what a row takes.
    outcomes.wait(1)
    runs.clear()
    busy(pool, outcomes)
    for i in range(5):
        pool.submit(digest, rows([i, 0, 0]), outcomes.slot(i))
    pool.submit(other, (tensor_of("i", np.array([7])),), outcomes.slot("other"))
    pool.submit(digest, rows([[6, 0, 0]] * 9), outcomes.slot("large"))
    got = outcomes.wait(9)
    assert runs == [(), (4, 3), (1, 3), (1,), (9, 3)]
    assert isinstance(got["busy"], Fault)
    assert got["busy"].code == "runtime.too-slow"
    for i in range(5):
        assert array_of(got[i][0]).tolist() == [[1.0, i - 1.0]]
    assert array_of(got["other"][0]).tolist() == [7.0]
    assert got["large"][0].shape == (9, 2)


def test_one_bad_request_does_not_hurt_those_joined_with_it(make_pool, shelf, picker, busy):
    digest = shelf.put(picker, "n")
    limits = PoolLimits(batch_seconds=60)
    pool = make_pool(request_limits=RequestLimits(seconds=0.3), pool_limits=limits)
    outcomes = Outcomes()
    pool.submit(digest, (tensor_of("i", np.array([0])),), outcomes.slot(0))
    outcomes.wait(1)
    busy(pool, outcomes)
    for i in (1, 2, 99, 3):
        pool.submit(digest, (tensor_of("i", np.array([i])),), outcomes.slot(i))
    pool.submit(digest, (tensor_of("i", np.array([5], "int32")),), outcomes.slot("dtype"))
    got = outcomes.wait(7)
    assert [float(array_of(got[i][0])[0]) for i in (1, 2, 3)] == [1.0, 2.0, 3.0]
    assert got[99].code == "runtime.refused-input"
    assert got["dtype"].code == "schema.wrong-dtype"


def test_a_model_that_may_not_be_batched_runs_alone(make_pool, shelf, linear, busy):
    digest = shelf.put(linear)
    pool, outcomes = make_pool(request_limits=RequestLimits(seconds=0.3)), Outcomes()
    busy(pool, outcomes)
    for i in range(3):
        pool.submit(digest, rows([i, 0, 0]), outcomes.slot(i))
    got = outcomes.wait(4)
    assert [got[i][0].shape for i in range(3)] == [(1, 2)] * 3


def test_a_full_queue_refuses(make_pool, shelf, linear, busy):
    digest = shelf.put(linear, "n")
    for limits in (PoolLimits(jobs=2), PoolLimits(waiting_bytes=24)):
        pool, outcomes = make_pool(pool_limits=limits), Outcomes()
        busy(pool, outcomes)
        for i in range(2):
            pool.submit(digest, rows([i, 0, 0]), outcomes.slot(i))
        with pytest.raises(Refusal) as caught:
            pool.submit(digest, rows([9, 0, 0]), outcomes.slot("third"))
        assert caught.value.code == "runtime.busy"
        pool.close()
        got = outcomes.wait(3)
        assert {got[i].code for i in range(2)} == {"runtime.closing"}
        assert "third" not in got
        with pytest.raises(Refusal) as caught:
            pool.submit(digest, rows([9, 0, 0]), outcomes.slot("late"))
        assert caught.value.code == "runtime.closing"


def test_what_no_model_could_take_is_refused_at_once(make_pool, shelf, linear):
    digest = shelf.put(linear, "n")
    pool = make_pool(request_limits=RequestLimits(input_bytes=11))
    with pytest.raises(Refusal) as caught:
        pool.submit(digest, rows([0, 0, 0]), Outcomes().slot(0))
    assert caught.value.code == "runtime.too-large"


def test_a_package_that_cannot_be_had_is_each_jobs_answer(make_pool, shelf, linear, picker):
    pool, outcomes = make_pool(), Outcomes()
    unknown, liar = make_digest(bytes(32)), make_digest(b"\1" * 32)
    shelf.packages[liar] = shelf.packages[shelf.put(linear, "n")]
    pool.submit(unknown, rows([0, 0, 0]), outcomes.slot("unknown"))
    pool.submit(liar, rows([0, 0, 0]), outcomes.slot("liar"))
    got = outcomes.wait(2)
    assert got["unknown"].code == "package.unknown"
    assert got["liar"].code == "runtime.unverified"
    with pytest.raises(Refusal):
        pool.warm(unknown)


def test_the_least_recently_used_session_makes_room(make_pool, shelf, linear, picker):
    first, second = shelf.put(linear, "n"), shelf.put(picker, "n")
    room = 3 * max(len(linear), len(picker)) + 10
    pool = make_pool(pool_limits=PoolLimits(session_bytes=room))
    for digest in (first, first, second, first):
        pool.warm(digest)
    assert shelf.loads == [first, second, first]
    assert pool._sessions.held_bytes <= room
    small = make_pool(pool_limits=PoolLimits(session_bytes=10))
    with pytest.raises(Refusal) as caught:
        small.warm(first)
    assert caught.value.code == "runtime.too-large"


def test_a_bug_in_a_loader_is_an_answer_too(make_pool, shelf):
    def broken(digest):
        raise KeyError(digest)

    pool, outcomes = make_pool(), Outcomes()
    pool._sessions._load = broken
    for i in range(2):
        pool.submit(make_digest(bytes(32)), rows([0, 0, 0]), outcomes.slot(i))
        assert outcomes.wait(i + 1)[i].code == "runtime.broken"


@pytest.fixture
def generous(monkeypatch):
    """Let whatever a test computes take moments, however busy the machine."""
    monkeypatch.setattr("probatum.runtime.brief._BRIEF_S", 0.04)


@pytest.mark.usefixtures("generous")
def test_what_takes_moments_is_answered_on_the_spot(make_pool, shelf, linear):
    digest = shelf.put(linear, "n")
    pool, outcomes = make_pool(), Outcomes()
    assert pool.answer(digest, rows([0, 0, 0])) is None  # Nobody knows yet.
    pool.submit(digest, rows([5, 0, 0]), outcomes.slot("first"))
    first = outcomes.wait(1)["first"]
    while (told := pool.answer(digest, rows([5, 0, 0]))) is None:
        time.sleep(0.001)  # Its thread has told the outcome and not yet taken its leave.
    assert told == first
    assert pool.answer(digest, rows([[5, 0, 0]] * 2)) is None
    refused = pool.answer(digest, ())
    assert isinstance(refused, Refusal)
    assert refused.code == "schema.missing-tensor"
    assert shelf.loads == [digest]


@pytest.mark.usefixtures("generous")
def test_what_is_asked_of_a_busy_or_a_closed_pool_waits_its_turn(make_pool, shelf, linear, busy):
    digest = shelf.put(linear, "n")
    pool, outcomes = make_pool(request_limits=RequestLimits(seconds=0.5)), Outcomes()
    pool.submit(digest, rows([0, 0, 0]), outcomes.slot("first"))
    outcomes.wait(1)
    busy(pool, outcomes)
    assert pool.answer(digest, rows([0, 0, 0])) is None
    outcomes.wait(2)
    pool.close()
    refused = pool.answer(digest, rows([0, 0, 0]))
    assert isinstance(refused, Refusal)
    assert refused.code == "runtime.closing"


@pytest.mark.usefixtures("generous")
def test_a_run_that_surprises_is_ended_and_the_last_on_the_spot(make_pool, shelf, slow):
    digest = shelf.put(slow)
    pool, outcomes = make_pool(), Outcomes()
    pool.submit(digest, (tensor_of("k", np.array(1)),), outcomes.slot("first"))
    outcomes.wait(1)
    begun = time.monotonic()
    while pool._running:
        time.sleep(0.001)
    assert pool.answer(digest, (tensor_of("k", np.array(1 << 40)),)) is None
    assert time.monotonic() - begun < 10  # A request may take thirty seconds.
    assert pool.answer(digest, (tensor_of("k", np.array(1)),)) is None
