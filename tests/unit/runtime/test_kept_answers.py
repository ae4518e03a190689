"""Answers kept for repeated questions: the same question's answer, whole, or none (EXACT-3)."""

import threading
import tracemalloc

import numpy as np
import pytest

from probatum.protocol.primitives import make_digest
from probatum.protocol.tensors import Tensor
from probatum.runtime.kept_answers import KeptAnswers, compute_question
from probatum.runtime.limits import PoolLimits
from tests.unit.runtime.models import tensor_of
from tests.unit.runtime.test_exact_joined import ROW_WISE, start  # noqa: F401 - a fixture

ONE, TWO = make_digest(b"\1" * 32), make_digest(b"\2" * 32)
KIB = 1_024


def answer(size, fill=0):
    return (tensor_of("y", np.full(size, fill, np.uint8)),)


def test_a_question_is_its_package_and_its_content():
    x = np.arange(6, dtype=np.float32)
    inputs = (tensor_of("x", x), tensor_of("z", x))
    same = compute_question(ONE, inputs)
    assert same == compute_question(ONE, (tensor_of("x", x.copy()), tensor_of("z", x)))
    others = [
        (TWO, inputs),
        (ONE, inputs[::-1]),
        (ONE, inputs[:1]),
        (ONE, (tensor_of("x", x.reshape(2, 3)), inputs[1])),
        (ONE, (tensor_of("x", x.view(np.int32)), inputs[1])),
        (ONE, (tensor_of("w", x), inputs[1])),
        (ONE, (tensor_of("x", -x), inputs[1])),
    ]
    assert len({same, *(compute_question(*one) for one in others)}) == len(others) + 1


def test_what_is_kept_is_found_and_bounded():
    kept = KeptAnswers(10 * KIB)
    questions = [make_digest(bytes([at]) * 32) for at in range(10)]
    for at, question in enumerate(questions):
        kept.keep(question, answer(2 * KIB, at))
        assert kept.find(questions[0]) == answer(2 * KIB, 0)  # told lately, so kept
        assert kept.held_bytes <= 10 * KIB
    found = [at for at, question in enumerate(questions) if kept.find(question) is not None]
    assert found == [0, 8, 9]
    kept.keep(questions[9], answer(1, 7))
    assert kept.find(questions[9]) == answer(1, 7)
    assert kept.held_bytes == 2 * 3 * KIB + KIB + 1
    assert kept.counts == (10 + 3 + 1, 7)


@pytest.mark.parametrize("tensors", [1, 8, 64])
def test_the_bound_holds_for_answers_of_many_tensors_without_elements(tensors):
    """Names and shapes take memory too: once they were counted as if there were one tensor."""
    kept = KeptAnswers(256 * KIB)

    def keep(number):
        kept.keep(
            make_digest(number.to_bytes(32, "big")),
            tuple(
                Tensor(
                    name=f"output {one}",
                    dtype="uint8",
                    shape=(0, *range(1_000, 1_007)),
                    data=b"",
                )
                for one in range(tensors)
            ),
        )

    tracemalloc.start()
    try:
        keep(0)
        before, _ = tracemalloc.get_traced_memory()
        for number in range(1, 400):
            keep(number)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert 0 < kept.held_bytes <= 256 * KIB
    assert after - before <= 256 * KIB


def test_what_is_too_large_or_never_kept_is_not():
    kept = KeptAnswers(2 * KIB)
    kept.keep(ONE, answer(2 * KIB))
    assert (kept.find(ONE), kept.held_bytes) == (None, 0)
    off = KeptAnswers(0)
    off.keep(ONE, answer(0))
    assert not off.is_on
    assert off.find(ONE) is None


def test_an_answer_that_changed_in_memory_is_not_told():
    kept = KeptAnswers(10 * KIB)
    kept.keep(ONE, answer(4, 1))
    _, seal = kept._answers[ONE]
    kept._answers[ONE] = (answer(4, 3), seal)
    assert kept.find(ONE) is None
    assert kept.held_bytes == 0


def test_threads_may_keep_and_find_at_once():
    kept = KeptAnswers(8 * KIB)
    questions = [make_digest(bytes([at]) * 32) for at in range(16)]
    wrong = []

    def work(seed):
        chance = np.random.default_rng(seed)
        for at in chance.integers(0, 16, 400):
            kept.keep(questions[at], answer(KIB, int(at)))
            if kept.find(questions[at]) not in (None, answer(KIB, int(at))):
                wrong.append(at)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert kept.held_bytes == sum(1_024 + KIB for _ in kept._answers) <= 8 * KIB


@pytest.mark.parametrize(("kept_bytes", "runs_made"), [(0, 4), (1 << 20, 2)])
def test_a_pool_computes_a_repeated_question_once_if_told_to_keep(start, kept_bytes, runs_made):  # noqa: F811
    runs = start(ROW_WISE, PoolLimits(kept_bytes=kept_bytes))
    runs.go.set()
    x = np.array([[1, 2, 3]], np.float32)
    for at, array in enumerate((x, x + 1, x, x + 1)):
        runs.ask(at, array)
        runs.wait(at + 1)
    runs.ask("wrong", np.zeros((9, 3), np.float32))
    runs.wait(5)
    assert runs.answers[0] == runs.answers[2] == runs.alone(x)
    assert runs.answers[1] == runs.answers[3] != runs.answers[0]
    assert runs.answers["wrong"].code == "schema.dim-out-of-range"
    assert runs.pool.get_counts() == {
        "exact_runs_total": runs_made,
        "exact_kept_answers_told_total": 4 - runs_made,
        "exact_kept_answers_missed_total": 2 if kept_bytes else 0,
    }
