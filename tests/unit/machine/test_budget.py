"""Nothing that others send makes a map grow without end."""

import pytest

from probatum.errors import Refusal
from probatum.machine.budget import Held, Recent
from probatum.machine.events import Moment
from probatum.machine.machine import draw


def test_held_work_is_never_forgotten_for_new_work():
    held = Held(limit=2, code="test.busy")
    held.add("a", 1)
    held.add("b", 2)
    with pytest.raises(Refusal) as caught:
        held.add("c", 3)
    assert caught.value.code == "test.busy"
    held.add("a", 9)
    assert (held.get("a"), held.remove("b"), len(held)) == (9, 2, 1)
    held.add("c", 3)
    assert dict(held.items()) == {"a": 9, "c": 3}


def test_recent_forgets_the_oldest_by_weight():
    recent = Recent(limit=10, weigh=len)
    recent.put("a", "x" * 4)
    recent.put("b", "x" * 4)
    recent.put("c", "x" * 4)
    assert (recent.get("a"), recent.get("b"), len(recent)) == (None, "xxxx", 2)
    recent.put("d", "x" * 11)
    assert (recent.get("d"), len(recent)) == (None, 2)
    recent.put("b", "x")
    recent.put("e", "x" * 5)
    assert len(recent) == 3


def test_chance_is_drawn_per_purpose():
    moment = Moment(0, bytes(32))
    assert draw(moment, "a") == draw(moment, "a") != draw(moment, "b")
    assert draw(moment, "a") != draw(Moment(0, b"\1" + bytes(31)), "a")
