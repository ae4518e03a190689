"""The finder of held maps finds them wherever a machine keeps them."""

from __future__ import annotations

from dataclasses import dataclass

from probatum.machine.budget import Held
from probatum.storm.checkers.memory import find_held


def make_held(size=0):
    held = Held(limit=10, code="toy.full")
    for at in range(size):
        held.add(at, at)
    return held


@dataclass(slots=True)
class Slotted:
    held: object
    other: object = None


class Plain:
    def __init__(self, **more):
        self.__dict__.update(more)


Slotted.__module__ = Plain.__module__ = "probatum.toy"


def test_maps_are_found_through_attributes_slots_and_collections():
    one, two, three, four = (make_held(size) for size in range(4))
    thing = Plain(a=one, b=Slotted(two), c=[{"x": Slotted(three)}], d=(Plain(e=four),))
    found = dict(find_held(thing))
    assert found == {".a": one, ".b.held": two, ".c[0]['x'].held": three, ".d[0].e": four}


def test_a_map_is_found_once_and_circles_end():
    held = make_held()
    thing = Plain(a=held, b=held)
    thing.me = thing
    assert [way for way, _ in find_held(thing)] == [".a"]


def test_what_is_not_of_this_project_is_left_alone():
    class Stranger:
        def __init__(self):
            self.held = make_held()

    assert list(find_held(Plain(a=Stranger()))) == []
