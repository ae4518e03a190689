"""Random graphs: where rows are proven independent, joined rows are the rows alone (EXACT-2).

Every entry of which something is proven is compared, not the outputs alone. A round of
`make nightly` draws other graphs, and more.
"""

from math import prod

import numpy as np
import pytest

from probatum.canon.evaluate.evaluating import Evaluator
from probatum.canon.evaluate.values import get_bits
from probatum.canon.graph.records import INPUT
from probatum.canon.graph.sizes import bind_size, make_dim
from probatum.canon.primitives.joining.layouts import Rows
from probatum.canon.primitives.joining.proving import follow_rows
from probatum.canon.primitives.joining.rules import RULES
from probatum.canon.primitives.maps.elementwise import ElementMap
from probatum.canon.primitives.registry import PRIMITIVES, get_newest
from probatum.errors import Refusal
from tests.property.test_canon_graphs import Maker

GRAPHS, MORE = 100, 1_200
"""Graphs of one test, in every run and in a round of many."""
SHARES = 5
NODES = 10
ROWS = (2, 3, 5)
MOVES = ("split", "merge", "same", "turn", "crop", "frame", "choice", "spread", "patch")
NAMES = sorted(
    key[0] for key, one in PRIMITIVES.items() if key in RULES or isinstance(one, ElementMap)
)


class RowMaker(Maker):
    """Draws graphs of which all inputs have rows, and moves of rows more often than others."""

    def __init__(self, seed):
        super().__init__(seed)
        self.n = int(self.draw(ROWS))
        self.dims = {"n": self.n}
        self.types, self.inputs = [], []
        for _ in range(3):
            dtype = self.draw(("float32", "float32", "float64", "int64", "int32", "bool"))
            self.add(self.inputs, INPUT, dtype, (make_dim("n"), *self.draw_shape(least=1)))

    def has_rows(self, kind):
        return any(not isinstance(size, int) for size in kind.shape)

    def step(self):
        """Add a node: a map, one that has a rule, or one of those that move rows about."""
        if self.flip(0.5):
            name = self.draw(NAMES)
            if (name, 1) not in RULES:
                return self.add_map(name)
            return getattr(self, f"add_{name.lower()}")(name)
        return getattr(self, f"make_{self.draw(MOVES)}")()

    def pick(self):
        """Pick a tensor with rows."""
        return self.draw([one for one in self.types if self.has_rows(one[1])])

    def make_merge(self):
        """[n, a, b] to [n*a, b], or any two neighbours."""
        one = self.pick()
        shape = one[1].shape
        if len(shape) < 2:
            raise Refusal("test.nothing-fits", "no axes to merge")
        at = int(self.rng.integers(0, len(shape) - 1))
        self.node(
            "Reshape", [one], shape=(*shape[:at], shape[at] * shape[at + 1], *shape[at + 2 :])
        )

    def make_split(self):
        """[n*a, b] to [n, a, b], [n, a*b] to [a, n, b] and whatever else has as many elements."""
        one = self.pick()
        n = make_dim("n")
        try:
            rest = prod(bind_size(size, {"n": 1}) for size in one[1].shape)
        except Refusal:
            rest = 1
        sizes = [n, *[size for size in (2, 3, 4, 7) if rest % size == 0][:2]]
        sizes.append(rest // prod(sizes[1:]) if rest % prod(sizes[1:]) == 0 else rest)
        self.rng.shuffle(sizes)
        self.node("Reshape", [one], shape=tuple(sizes))

    def make_same(self):
        """A map of two tensors of one type: rows meet rows."""
        one = self.pick()
        others = [two for two in self.types if two[1] == one[1]]
        self.node(self.draw(("Add", "Mul", "Max", "Equal")), [one, self.draw(others)])

    def make_turn(self):
        one = self.pick()
        perm = tuple(int(axis) for axis in self.rng.permutation(len(one[1].shape)))
        self.node("Transpose", [one], perm=perm)

    def make_crop(self):
        """A slice that may leave the rows as they are."""
        one = self.pick()
        shape = one[1].shape
        whole = [self.flip(0.8) for _ in shape]
        starts = tuple(0 if keep else int(self.rng.integers(-1, 3)) for keep in whole)
        steps = tuple(1 if keep else self.draw((1, 2, -1)) for keep in whole)
        sizes = tuple(
            size if keep or self.flip() else int(self.rng.integers(1, 4))
            for keep, size in zip(whole, shape, strict=True)
        )
        self.node("Slice", [one], starts=starts, steps=steps, shape=sizes)

    def make_frame(self):
        one = self.pick()
        shape = one[1].shape
        whole = [self.flip(0.8) for _ in shape]
        begins = tuple(0 if keep else int(self.rng.integers(-1, 3)) for keep in whole)
        sizes = tuple(
            size if keep else size + int(self.rng.integers(0, 3))
            for keep, size in zip(whole, shape, strict=True)
        )
        pad = self.get((one[1].dtype,), shape=())
        mode = self.draw(("constant", "edge", "reflect"))
        self.node("Pad", [one, pad], begins=begins, mode=mode, shape=sizes)

    def make_choice(self):
        """Elements of a tensor at places that it holds itself."""
        one = self.pick()
        axis = int(self.rng.integers(0, len(one[1].shape)))
        indices = self.node("Cast", [one], "int64")
        self.node("GatherElements", [one, indices], axis=axis)

    def make_spread(self):
        one = self.pick()
        indices = self.node("Cast", [one], "int32")
        self.node("ScatterElements", [one, indices, one])

    def make_patch(self):
        """One slice of a tensor in the place of another."""
        one = self.pick()
        places = [self.get(("int64",), shape=shape) for shape in ((), (1,))]
        taken = self.node("Gather", [one, places[0]], axis=0)
        self.node("ScatterND", [one, places[1], taken])


def draw_graph(seed):
    maker = RowMaker(seed)
    for _ in range(4 * NODES):
        if len(maker.nodes) < NODES:
            try:
                maker.step()
            except Refusal:
                continue
    return maker


def evaluate(maker, graph, inputs):
    """Evaluate every entry."""
    entries = {}
    evaluator = Evaluator(graph, [one[2] for one in maker.weights])
    evaluator.evaluate(inputs, sink=lambda at, array: entries.update({at: array.copy()}))
    evaluator.close()
    return entries


def cut(array, rows, dims, count, row):
    """Cut one row out of a joint tensor."""
    each = bind_size(rows.each, dims)
    assert array.shape[rows.axis] == count * each
    return np.take(array, range(row * each, (row + 1) * each), axis=rows.axis)


def compare(seed):
    """Compare joint entries to those of rows alone: operators proven, and what differs."""
    maker = draw_graph(seed)
    graph = maker.get_graph()
    found = follow_rows(graph, "n")
    joint = [one[2] for one in maker.inputs]
    together = evaluate(maker, graph, joint)
    proven, wrong = set(), []
    for row in range(maker.n):
        alone = evaluate(maker, graph, [np.take(array, [row], axis=0) for array in joint])
        for number, (node, rows) in enumerate(zip(graph.nodes, found, strict=True)):
            if isinstance(rows, Refusal):
                continue
            have, want = together[number], alone[number]
            if isinstance(rows, Rows):
                proven.add(node.operator)
                have = cut(have, rows, {"n": 1}, maker.n, row)
            if have.shape != want.shape or not np.array_equal(
                get_bits(np.asarray(have, order="C")), get_bits(np.asarray(want, order="C"))
            ):
                wrong.append((seed, number, node.operator, row))
    return proven, wrong


@pytest.mark.parametrize("share", range(SHARES))
def test_proven_rows_joined_are_the_rows_alone(share, seed_round):
    graphs = MORE if seed_round else GRAPHS
    first = (seed_round * SHARES + share) * MORE
    seen, wrong = set(), []
    for seed in range(first, first + graphs):
        proven, more = compare(seed)
        seen |= proven
        wrong += more
    assert not wrong, wrong[:5]
    assert len(seen) > 20, seen


def test_rows_of_every_primitive_with_a_rule_are_proven_somewhere():
    """Else the tests above compare nothing of it."""
    seen = set()
    for seed in range(400):
        maker = draw_graph(seed)
        graph = maker.get_graph()
        for node, rows in zip(graph.nodes, follow_rows(graph, "n"), strict=True):
            if isinstance(rows, Rows):
                seen.add((node.operator, node.version))
    newest = {(name, version) for name, version in RULES if get_newest(name).version == version}
    assert newest <= seen
