"""A trust file that lapses is told of before it does (`LIGHT-1`)."""

import pytest

from probatum.ops.inspect_trust import inspect_trust
from tests.factories import make_trust as make_key_trust
from tests.light_chain import LightChain, make_voters

DAY_MS = 86_400_000
TRUST = LightChain({0: make_voters(range(4))}).make_trust(3, trusting_period_ms=14 * DAY_MS)


@pytest.mark.parametrize(
    ("days", "status", "said"),
    [
        (0, "ok", "good for 14.0 days"),
        (9, "ok", "good for 5.0 days"),
        (10, "warn", "good for 4.0 days"),
        (14, "fail", "lapsed 0.0 days ago"),
        (20, "fail", "lapsed 6.0 days ago"),
    ],
)
def test_what_is_left_of_it(days, status, said):
    (finding,) = inspect_trust(TRUST, TRUST.time_ms + days * DAY_MS)
    assert (finding.check, finding.status) == ("trust file", status)
    assert said in finding.detail
    assert bool(finding.advice) == (status != "ok")


def test_a_key_never_lapses():
    assert inspect_trust(make_key_trust(), 1 << 60) == ()
