"""The nightly run keeps to its budget, goes on where it stopped, and forgets no failure."""

from __future__ import annotations

import json
import sys

import pytest

from tools import nightly

TRUE = (sys.executable, "-c", "")
FALSE = (sys.executable, "-c", "raise SystemExit(1)")
SLOW = (sys.executable, "-c", "import time; time.sleep(60)")


@pytest.fixture
def state_path(tmp_path, monkeypatch):
    monkeypatch.setattr(nightly, "FOLDER", tmp_path)
    monkeypatch.setattr(nightly, "make_round", lambda _: None)
    return tmp_path / "state.json"


def give_tests(monkeypatch, **commands):
    steps = [nightly.Step(name=name, command=command) for name, command in commands.items()]
    monkeypatch.setattr(nightly, "list_nightly_tests", lambda _=0: steps)


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("45m", 2700), ("2h", 7200), ("1h30m", 5400)]
)
def test_budgets_are_read(text, seconds):
    assert nightly.parse_budget(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2 h", "-1h", "0s", "1.5h", "2hours"])
def test_what_is_no_budget_is_refused(text):
    with pytest.raises(ValueError, match="budget"):
        nightly.parse_budget(text)


def test_a_second_run_does_only_what_is_left(state_path, monkeypatch, capsys):
    give_tests(monkeypatch, a=TRUE, b=FALSE, c=TRUE)
    assert nightly.run_all(nightly.load_state(state_path, "s"), state_path, 60) == 1
    assert capsys.readouterr().out.endswith("2 passed, 1 failed\n")

    give_tests(monkeypatch, a=FALSE, b=TRUE, c=FALSE)  # a and c are done, so they do not run
    assert nightly.run_all(nightly.load_state(state_path, "s"), state_path, 60) == 0
    assert capsys.readouterr().out.endswith("1 passed, 0 failed\n")


def test_what_the_budget_cuts_short_is_left_and_no_failure(state_path, monkeypatch):
    give_tests(monkeypatch, a=TRUE, b=SLOW, c=TRUE)
    assert nightly.run_all(nightly.load_state(state_path, "s"), state_path, 1.0) == 0
    assert json.loads(state_path.read_text())["done"] == ["a"]


def test_rounds_go_on_with_the_next_number(state_path, monkeypatch):
    give_tests(monkeypatch)
    made = []

    def make_round(number):
        made.append(number)
        step = nightly.Step(name=f"round {number}", command=TRUE, round=number)
        return step if number % 3 else None

    monkeypatch.setattr(nightly, "make_round", make_round)
    nightly.run_all(nightly.load_state(state_path, "s"), state_path, 60)
    assert made == [1, 2, 3]
    monkeypatch.setattr(nightly, "make_round", made.append)
    nightly.run_all(nightly.load_state(state_path, "s"), state_path, 60)
    assert made[-1] == 3


def test_the_soaks_come_last_and_take_their_shares_of_the_budget():
    steps = nightly.list_nightly_tests(600)
    others, soaks = steps[: -len(nightly.SOAKS)], steps[-len(nightly.SOAKS) :]
    assert sorted(soak.name.partition("::")[0] for soak in soaks) == sorted(nightly.SOAKS.values())
    assert [soak.environment for soak in soaks] == [{"PROBATUM_SOAK_S": "150.0"}] * len(soaks)
    assert others
    assert not any(step.environment for step in others)


def test_other_source_starts_from_nothing(state_path):
    nightly.save_state(state_path, {"source": "old", "done": ["a"], "failed": ["b"], "round": 9})
    fresh = {"source": "new", "done": [], "failed": [], "round": 0}
    assert nightly.load_state(state_path, "new") == fresh
    state_path.write_text("{torn")
    assert nightly.load_state(state_path, "new") == fresh
