"""Rows of trees: every walk comes into few chunks, whatever shape a tree has (`CANON-9`)."""

from functools import cache
from itertools import groupby
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probatum.canon.expand.operators.tree_rows import place_rows
from probatum.canon.primitives.trees import STRETCH_ROWS


def grow(shape, count):
    """A tree of so many splits: each one splits the leaf that `shape` picks. Breadth first."""
    children, leaves = {0: ()}, [0]
    for split in range(count):
        at = leaves.pop(shape(split, len(leaves) - 1))
        new = (len(children), len(children) + 1)
        children |= {at: new, new[0]: (), new[1]: ()}
        leaves += new
    order = [0]
    for node in order:
        order += children[node]
    return order, children


def walk_all(order, children):
    """The path to every leaf."""
    paths = {0: [0]}
    for node in order:
        for child in children[node]:
            paths[child] = [*paths[node], child]
    return [paths[node] for node in order if not children[node]]


def check(order, children):
    placed = place_rows(order, children)
    assert placed.where[order[0]] == 0
    rows = sorted(placed.where.values())
    assert len(set(rows)) == len(order)
    assert rows[-1] < placed.rows
    entered = [
        len([key for key, _ in groupby(placed.where[node] // STRETCH_ROWS for node in path)])
        for path in walk_all(order, children)
    ]
    assert max(entered) <= placed.stretches
    return placed


@given(st.integers(0, 200), st.randoms(use_true_random=False))
def test_trees_of_any_shape(count, random):
    check(*grow(lambda _, last: random.randint(0, last), count))


def test_a_small_tree_is_one_stretch_without_room_to_spare():
    order, children = grow(lambda _, __: 0, 31)
    assert check(order, children).rows == 63
    assert check(order, children).stretches == 1


@pytest.mark.parametrize(("levels", "stretches"), [(5, 1), (6, 2), (11, 2), (12, 3), (13, 3)])
def test_a_full_tree_needs_one_stretch_for_six_levels(levels, stretches):
    """What 63 rows of a full tree can hold, and not one stretch more."""
    order, children = grow(lambda _, __: 0, 2**levels - 1)
    placed = check(order, children)
    assert placed.stretches == stretches
    assert placed.rows < 2 * len(order)


@pytest.mark.parametrize(("splits", "stretches"), [(31, 1), (32, 2), (95, 2), (96, 3)])
def test_a_chain(splits, stretches):
    """The last part holds its leaves too; those above hold 64 splits each."""
    order, children = grow(lambda _, last: last, splits)
    assert check(order, children).stretches == stretches


@pytest.mark.parametrize("count", [50, 90, 300])
def test_no_cut_has_a_shorter_longest_walk(count):
    """Against the least part of every node for every length of walk."""
    order, children = grow(lambda split, last: last - min(last, split % 5 * (split % 3)), count)
    placed = check(order, children)

    @cache
    def measure(node, most):
        """The least part at a node below which no walk comes into more stretches."""
        if not most:
            return inf
        cut = [measure(child, most - 1) <= STRETCH_ROWS for child in children[node]]
        kept = [child for child, is_cut in zip(children[node], cut, strict=True) if not is_cut]
        return 1 + sum(measure(child, most) for child in kept)

    assert placed.stretches == next(n for n in range(1, 99) if measure(0, n) <= STRETCH_ROWS)
