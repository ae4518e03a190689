"""`LINE-1`: the tree of parents, however deep, wide or unknown."""

import msgspec
import pytest

from probatum.hub.lineage import Known, trace_parents
from probatum.protocol.hashing import sha256
from probatum.protocol.manifests import Parent


@pytest.fixture
def family(package):
    """A way to know packages by number: each has the numbers below it as parents."""

    class Family:
        def __init__(self):
            self.children = {}
            self.asked = []

        def digest(self, number):
            return sha256(b"%d" % number)

        def parents(self, *numbers):
            return tuple(
                Parent(package=self.digest(n).hex(), relation="fine-tuned") for n in numbers
            )

        def find(self, digest):
            self.asked.append(digest)
            for number, parents in self.children.items():
                if self.digest(number) == digest:
                    manifest = msgspec.structs.replace(
                        package.manifest, parents=self.parents(*parents)
                    )
                    return Known(name=f"m{number}@1", manifest=manifest)
            return Known()

    return Family()


def draw(relatives):
    return [(r.known.name, draw(r.parents)) for r in relatives]


def test_a_tree_is_followed_to_its_roots_and_to_the_unknown(family):
    family.children = {1: (2, 3), 2: (4,), 3: ()}
    found = trace_parents(family.parents(1), family.find)
    assert draw(found) == [("m1@1", [("m2@1", [(None, [])]), ("m3@1", [])])]
    assert found[0].relation == "fine-tuned"
    assert not any(r.is_cut for r in (*found, *found[0].parents))


def test_whoever_stands_in_the_tree_twice_is_followed_once(family):
    family.children = {1: (3,), 2: (3,), 3: (4,)}
    found = trace_parents(family.parents(1, 2), family.find)
    assert draw(found) == [("m1@1", [("m3@1", [(None, [])])]), ("m2@1", [("m3@1", [])])]
    assert found[1].parents[0].is_cut
    assert len(family.asked) == len(set(family.asked)) == 4


def test_a_liar_that_answers_in_circles_gets_no_further(family):
    family.children = {1: (2,), 2: (1,)}
    found = trace_parents(family.parents(1), family.find)
    assert draw(found) == [("m1@1", [("m2@1", [("m1@1", [])])])]


def test_depth_and_width_are_bounded(family):
    family.children = {n: (n + 1,) for n in range(100)}
    relatives, depth = trace_parents(family.parents(0), family.find), 0
    while relatives:
        depth, last, relatives = depth + 1, relatives[0], relatives[0].parents
    assert (depth, last.is_cut) == (16, True)
    family.asked = []
    wide = range(1000, 1016)
    family.children = {n: tuple(range(n * 100, n * 100 + 16)) for n in wide}
    family.children |= {
        m: tuple(range(m * 100, m * 100 + 16)) for n in wide for m in family.children[n]
    }
    trace_parents(family.parents(*wide), family.find)
    assert len(family.asked) == 256
