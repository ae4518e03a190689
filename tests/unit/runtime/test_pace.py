"""How many rows a run may have, learned from runs."""

import numpy as np
import pytest

from probatum.runtime.pace import ShortRuns, TriedRuns


def drive(pace, cost, waiting, runs):
    """Run as often with so many rows waiting; what each run had."""
    taken = []
    for _ in range(runs):
        rows = min(waiting, pace.choose())
        pace.learn(rows, cost(rows))
        taken.append(rows)
    return taken


@pytest.mark.parametrize("make", [ShortRuns, TriedRuns])
def test_the_first_run_is_of_one_row(make):
    assert make(most_rows=32, most_seconds=60).choose() == 1


def test_rows_that_cost_nothing_more_are_joined_soon():
    pace = TriedRuns(most_rows=32, most_seconds=0.5)
    taken = drive(pace, lambda rows: 0.001 + 1e-5 * rows, 100, 8)
    assert taken[:6] == [1, 2, 4, 8, 16, 32]
    assert set(taken[6:]) == {32}


def test_rows_that_get_dearer_together_run_alone_but_for_a_try_now_and_then():
    pace = TriedRuns(most_rows=32, most_seconds=0.5)
    taken = drive(pace, lambda rows: 0.03 * rows**1.3, 100, 1_000)
    assert np.mean(np.array(taken) == 1) > 0.9
    assert 1 < max(taken) <= 4


def test_a_change_of_cost_is_noticed():
    pace = TriedRuns(most_rows=32, most_seconds=0.5)
    drive(pace, lambda rows: 0.02 * rows**1.3, 100, 50)
    taken = drive(pace, lambda rows: 0.02, 100, 1_500)
    assert taken[-1] == 32


def test_joint_runs_stay_within_their_time():
    pace = TriedRuns(most_rows=32, most_seconds=0.1)
    taken = drive(pace, lambda rows: 0.04 + 0.01 * rows, 100, 50)
    assert max(taken) * 0.01 + 0.04 <= 0.2
    slow = TriedRuns(most_rows=32, most_seconds=0.1)
    assert drive(slow, lambda rows: 0.2 * rows, 100, 20) == [1] * 20


def test_single_runs_do_not_spoil_what_is_known():
    pace = TriedRuns(most_rows=32, most_seconds=0.5)
    drive(pace, lambda _: 0.001, 100, 10)
    drive(pace, lambda _: 0.001, 1, 2_000)
    assert drive(pace, lambda _: 0.001, 100, 1) == [32]


def drive_failing(pace, most, runs):
    """Joint runs of more than so many rows fail at their end; others cost less than rows alone."""
    taken = []
    for _ in range(runs):
        rows = min(100, pace.choose())
        taken.append(rows)
        if rows > most:
            pace.fail(rows, 0.01 + 1e-4 * rows)
            for _ in range(rows):
                pace.learn(1, 0.01)
        else:
            pace.learn(rows, 0.01 + 1e-4 * rows)
    return np.array(taken)


@pytest.mark.parametrize("most", [1, 2, 3, 7, 10])
def test_joint_runs_that_always_fail_are_tried_seldom(most):
    """Else a model whose joint answers are too large would be computed twice for ever."""
    taken = drive_failing(TriedRuns(most_rows=32, most_seconds=0.5), most, 1_000)
    assert np.mean(taken > most) < 0.02
    assert most / 2 <= np.median(taken) <= most


def test_a_joint_run_that_failed_once_is_tried_again():
    pace = TriedRuns(most_rows=32, most_seconds=0.5)
    drive(pace, lambda rows: 0.01, 100, 20)
    pace.fail(32, 0.01)
    assert drive(pace, lambda rows: 0.01, 100, 2_000)[-1] == 32
