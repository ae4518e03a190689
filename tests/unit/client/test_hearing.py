"""Hearing a text on one's own thread."""

from __future__ import annotations

import threading

import pytest

from probatum.client.hearing import Hearing
from probatum.errors import Refusal


class Written:
    """Stands for the answer: a hearing hands on what it is given."""


@pytest.fixture
def answer(monkeypatch):
    monkeypatch.setattr("probatum.client.hearing.TextAnswer", Written)
    return Written()


def test_runs_come_in_order_and_then_the_answer(answer):
    def ask(hear):
        for run in ((1,), (2, 3), (4,)):
            assert hear(run) is False
        return answer

    hearing = Hearing(ask)
    assert list(hearing) == [(1,), (2, 3), (4,)]
    assert hearing.finish() is answer
    assert list(hearing) == []


def test_who_has_enough_is_heard_at_the_next_token(answer):
    said, told = threading.Event(), []

    def ask(hear):
        told.append(hear((1,)))
        assert said.wait(10)
        told.append(hear((2,)))
        return answer

    hearing = Hearing(ask)
    assert next(hearing) == (1,)
    hearing.end()
    said.set()
    assert hearing.finish() is answer
    assert told == [False, True]


def test_an_error_is_the_callers():
    def ask(hear):
        hear((1,))
        raise Refusal("text.too-long", "no")

    hearing = Hearing(ask)
    assert list(hearing) == [(1,)]
    for _ in range(2):
        with pytest.raises(Refusal) as caught:
            hearing.finish()
        assert caught.value.code == "text.too-long"
