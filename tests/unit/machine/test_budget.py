"""Nothing that others send makes a map grow without end."""

import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probatum.errors import Misuse, Refusal
from probatum.machine.budget import Held, Recent, RecentDigests
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


@given(st.integers(1, 9), st.lists(st.integers(0, 40), max_size=120))
def test_recent_digests_has_the_last_ones_and_never_twice_as_many(limit, numbers):
    held = RecentDigests(limit=limit)
    digests = [bytes([number]) * 32 for number in range(41)]
    order = {}
    for number in numbers:
        order.pop(number, None)
        order[number] = None
        held.put(digests[number])
        found = {number for number, digest in enumerate(digests) if digest in held}
        assert found <= order.keys()
        assert len(found) <= 2 * limit
        assert set(list(order)[-limit:]) <= found
    fresh = RecentDigests(limit=limit)
    for digest in digests:
        fresh.put(digest)
    assert all(digest in fresh for digest in digests[-limit:])


def test_recent_digests_takes_digests_alone():
    with pytest.raises(Misuse) as caught:
        RecentDigests(limit=3).put(b"short")
    assert caught.value.code == "budget.no-digest"


def test_recent_digests_are_small():
    tracemalloc.start()
    held = RecentDigests(limit=20_000)
    for number in range(100_000):
        held.put(number.to_bytes(32, "big"))
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert size < 20_000 * 100


def test_chance_is_drawn_per_purpose():
    moment = Moment(0, bytes(32))
    assert draw(moment, "a") == draw(moment, "a") != draw(moment, "b")
    assert draw(moment, "a") != draw(Moment(0, b"\1" + bytes(31)), "a")
