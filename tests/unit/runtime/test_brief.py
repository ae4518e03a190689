"""Which runs take moments: by their size, until one surprises."""

from probatum.protocol.primitives import make_digest
from probatum.runtime.brief import BriefRuns

ONE, OTHER = make_digest(b"1" * 32), make_digest(b"2" * 32)
MOMENT, LONGER, FAR = 0.000_1, 0.001, 0.1


def test_as_much_as_went_through_in_moments_is_brief():
    runs = BriefRuns()
    assert not runs.is_brief(ONE, 1)
    runs.learn(ONE, 100, MOMENT)
    runs.learn(ONE, 50, MOMENT)
    assert runs.is_brief(ONE, 100)
    assert not runs.is_brief(ONE, 101)
    assert not runs.is_brief(OTHER, 1)


def test_a_run_that_took_longer_lowers_what_is_brief_until_a_brief_one_raises_it():
    runs = BriefRuns()
    runs.learn(ONE, 100, MOMENT)
    runs.learn(ONE, 101, FAR)
    assert runs.is_brief(ONE, 100)
    runs.learn(ONE, 60, LONGER)
    assert runs.is_brief(ONE, 59)
    assert not runs.is_brief(ONE, 60)
    runs.learn(ONE, 80, MOMENT)
    assert runs.is_brief(ONE, 80)


def test_a_model_whose_runs_are_not_told_by_their_size_is_never_brief_again():
    runs = BriefRuns()
    runs.learn(ONE, 100, MOMENT)
    runs.learn(ONE, 100, FAR)
    runs.learn(ONE, 100, MOMENT)
    assert not runs.is_brief(ONE, 0)
