"""The first token that is wrong, and why; cancellations that receipts name (`TEXT-1`)."""

import msgspec
import pytest

from probatum.evidence.texts import TextFault, find_text_fault
from probatum.protocol.prefixes import Cancellation
from probatum.protocol.texts import Text
from probatum.storm.text_model import MODEL
from tests.unit.nodes.giver import party

RIGHT = (5, 9, 9, 4, 0)
STATED = Cancellation(
    request_id="0" * 26,
    request_digest="0" * 64,
    by=party("gateway", "gateway"),
    seen=2,
    reason="enough",
)


def find(ids, *, ended=True, chosen=None, limit=8, cancelled=None):
    chosen = chosen if chosen is not None else (*RIGHT, 7, 7, 7, 7, 7)[: len(ids)]
    return find_text_fault(MODEL, limit, Text(ids=ids, ended=ended), chosen, cancelled)


@pytest.mark.parametrize(
    ("ids", "changes"),
    [
        (RIGHT, {}),
        ((5, 9, 9), {"limit": 3}),
        ((5, 9, 9), {"ended": False, "cancelled": STATED}),
        ((5, 9), {"ended": False, "cancelled": STATED}),
        (RIGHT, {"cancelled": STATED}),
    ],
)
def test_what_is_right(ids, changes):
    assert find(ids, **changes) is None


@pytest.mark.parametrize(
    ("ids", "changes", "fault"),
    [
        ((5, 8, 9, 4, 0), {}, TextFault(place=1, why="other choice", right=9, given=8)),
        ((5, 0), {}, TextFault(place=1, why="ended too early", right=9, given=0)),
        ((5, 9, 9), {}, TextFault(place=3, why="ended too early")),
        ((5, 9, 9, 4, 6), {}, TextFault(place=4, why="ended too late", right=0, given=6)),
        ((*RIGHT, 7), {}, TextFault(place=5, why="ended too late", given=7)),
        ((5, 9, 9, 4), {"limit": 3}, TextFault(place=3, why="ended too late", given=4)),
        (RIGHT, {"ended": False}, TextFault(place=5, why="ended too late")),
        (
            RIGHT,
            {"ended": False, "cancelled": STATED},
            TextFault(place=5, why="ended too late"),
        ),
        ((5, 9, 9), {"ended": False}, TextFault(place=3, why="not ended")),
        (
            (5,),
            {"ended": False, "cancelled": STATED},
            TextFault(place=1, why="lacks what was heard"),
        ),
        ((5, 99, 9), {"chosen": (5,)}, TextFault(place=1, why="other choice", given=99)),
        (
            (5, 9, 9, 4),
            {"chosen": (5, 9), "limit": 2},
            TextFault(place=2, why="ended too late", given=9),
        ),
    ],
)
def test_the_first_fault_is_named(ids, changes, fault):
    assert find(ids, **changes) == fault


def test_the_earliest_of_two_faults_counts():
    assert find((8, 9, 9, 4, 0, 3)).place == 0
    assert find(RIGHT, cancelled=msgspec.structs.replace(STATED, seen=9)) is None
