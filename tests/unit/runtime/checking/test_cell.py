"""Checking happens in a process that may do nothing else, and always ends in a report (PUB-1)."""

from __future__ import annotations

import time

import numpy as np
import pytest

from probatum.errors import Fault
from probatum.protocol.tensors import Tensor
from probatum.runtime.checking import cell
from probatum.runtime.checking.report import Question
from probatum.runtime.sandbox.process import End
from tests.unit.runtime.checking import nets


def make_end(said=b"", *, is_late=False, status=0):
    return End(
        doing="checking", said=said, seconds=1.0, is_late=is_late, is_babbling=False, status=status
    )


def test_a_model_is_admitted_bounded_and_measured():
    question = Question(model=nets.make_table(), ranges={"n": (1, 2), "s": (1, 8)})
    report, measured = cell.check_exactness(question)
    assert report.is_admitted
    assert measured.speed is not None, measured.note
    assert {each.distance for each in measured.distances} == {0.0, measured.distances[-1].distance}


def test_a_bound_input_is_given_to_the_engine_too():
    mask = np.array([[1, 0]], np.int64)
    bind = (Tensor(name="mask", dtype="int64", shape=(1, 2), data=mask.tobytes()),)
    ranges = {"n": (1, 1), "s": (2, 2)}
    question = Question(model=nets.make_table(), ranges=ranges, bind=bind)
    report, measured = cell.check_exactness(question)
    assert report.is_admitted
    assert list(measured.shapes) == ["ids"]
    assert measured.distances[0].equal == 1.0


def test_reasons_come_back_and_nothing_is_measured():
    report, measured = cell.check_exactness(Question(model=nets.make_foreign(), ranges={}))
    assert len(report.reasons) == 4
    assert measured is None


def test_a_file_that_expands_without_end_is_ended(monkeypatch):
    monkeypatch.setattr(cell, "_SECONDS", 1.0)
    began = time.monotonic()
    report, measured = cell.check_exactness(Question(model=nets.make_bomb(), ranges={}))
    assert [reason.code for reason in report.reasons] == ["admission.too-slow"]
    assert measured is None
    assert time.monotonic() - began < 20


def test_how_a_process_ended_is_said():
    question = Question(model=b"", ranges={})
    report, measured = cell._read(make_end(is_late=True), question)
    assert [reason.code for reason in report.reasons] == ["admission.too-slow"]
    assert measured is None
    report, measured = cell._read(make_end(b"{}\n", status=-9), question)
    assert report.is_admitted
    assert "ended the process" in measured.note
    with pytest.raises(Fault, match="no report"):
        cell._read(make_end(b"nonsense\n", status=1), question)
