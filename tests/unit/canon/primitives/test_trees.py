"""Trees: walks over packed rows, one tree a block, few chunks (`CANON-8`, `CANON-9`)."""

import math
import random
from itertools import groupby

import pytest

from probatum.canon.primitives.bounds import bound_opening
from probatum.canon.primitives.judging import count_blocks, list_reads
from probatum.canon.primitives.trees import LEAF, pack_word
from tests.unit.canon.primitives import oracle
from tests.unit.canon.primitives.cases import F32, f32, judge_all, make_fetch, make_node

SPECIAL = f32("+0", "-0", "1", "-1", "0.5", "inf", "-inf", "nan", "-nan", "tiny")


def compare(mode, x, threshold):
    return [
        x <= threshold, x < threshold, x >= threshold, x > threshold, x == threshold,
        x != threshold,
    ][mode]  # fmt: skip


def walk(rows, leaves, x, depth, stretches):
    """What a tree adds to each class, by the spec's words."""
    at, path = 0, []
    for _ in range(depth + 1):
        if at >= len(rows):
            return None
        path.append(at // 64)
        if len([key for key, _ in groupby(path)]) > stretches:
            return None
        first, threshold, held, failed = rows[at]
        mode = first & 7
        if mode == LEAF:
            return leaves[held] if held < len(leaves) else None
        feature = first >> 4
        if mode == 7 or feature >= len(x):
            return None
        value = oracle.read("float32", x[feature])
        holds = compare(mode, value, oracle.read("float32", threshold))
        at = held if holds or (math.isnan(value) and first & 8) else failed
    return None


@pytest.mark.parametrize("stretches", [None, 1, 2, 4])
@pytest.mark.parametrize("seed", range(12))
def test_ensembles_of_whatever_rows(seed, stretches):
    """Of version 1 where nothing bounds the stretches; else of so many rows that it matters."""
    generator = random.Random(seed)
    trees, leaves, classes, features, batch = 4, 3, 2, 3, 5
    rows, depth = (6, seed % 4) if stretches is None else (128 + 2 * seed, 3 + seed)
    table = [
        [
            (
                pack_word(
                    generator.choice([0, 1, 2, 2, 3]),
                    generator.choice([0, 1, 2, 3, 4, 5, 6, 6, 6, 7]),
                    missing=generator.random() < 0.5,
                ),
                generator.choice(SPECIAL),
                generator.randrange(rows + 1),
                generator.randrange(rows + 1),
            )
            for _ in range(rows)
        ]
        for _ in range(trees)
    ]
    values = [
        [[generator.choice(f32("1", "-1", "0.5", "tiny", "max")) for _ in range(classes)]
         for _ in range(leaves)]
        for _ in range(trees)
    ]  # fmt: skip
    x = [[generator.choice(SPECIAL) for _ in range(features)] for _ in range(batch)]
    expected = []
    for one in x:
        found = [
            walk(table[t], values[t], one, depth, stretches or depth + 1) for t in range(trees)
        ]
        for c in range(classes):
            terms = [oracle.read("float32", leaf[c]) for leaf in found if leaf is not None]
            expected.append(oracle.sum_once("float32", terms))
    node = make_node(
        "TreeEnsemble",
        [
            ("float32", (batch, features)),
            ("uint32", (trees, rows, 4)),
            ("float32", (trees, leaves, classes)),
        ],
        version=1 if stretches is None else 2,
        depth=depth,
        **({} if stretches is None else {"stretches": stretches}),
    )
    assert count_blocks(node) == trees
    flat = [word for tree in table for row in tree for word in row]
    leaf_bits = [bits for tree in values for leaf in tree for bits in leaf]
    assert judge_all(node, [bits for row in x for bits in row], flat, leaf_bits) == expected


def test_a_walk_reads_only_its_path():
    stump = [pack_word(1, 0, missing=True), F32["0.5"], 1, 2]
    low, high = [LEAF, 0, 0, 0], [LEAF, 0, 1, 0]
    node = make_node(
        "TreeEnsemble",
        [("float32", (1, 2)), ("uint32", (1, 3, 4)), ("float32", (1, 2, 1))],
        depth=1,
    )
    tables = [[*stump, *low, *high], f32("1", "2")]
    assert judge_all(node, f32("nan", "0.5"), *tables) == f32("1")
    assert judge_all(node, f32("nan", "1"), *tables) == f32("2")
    assert judge_all(node, f32("1", "nan"), *tables) == f32("1")
    reads = list_reads(node, 0, make_fetch(node, [f32("nan", "1"), *tables]), block=0)
    assert [(read.source, read.first, read.length) for read in reads] == [
        (1, 0, 4), (0, 1, 1), (1, 8, 4), (2, 1, 1),
    ]  # fmt: skip


def test_no_trees_are_zero():
    node = make_node(
        "TreeEnsemble",
        [("float32", (2, 2)), ("uint32", (0, 3, 4)), ("float32", (0, 2, 1))],
        depth=16,
    )
    assert judge_all(node, [0] * 4, [], []) == [0, 0]


def test_what_is_opened_is_bounded_however_deep_a_tree_is():
    """A chunk a stretch, if stretches are chunks; else two."""
    shapes = [("float32", (1, 20)), ("uint32", (100, 4096, 4)), ("float32", (100, 2048, 2))]
    deep = make_node("TreeEnsemble", shapes, version=2, depth=128, stretches=6)
    shapes[1] = ("uint32", (100, 4095, 4))
    across = make_node("TreeEnsemble", shapes, version=2, depth=128, stretches=6)
    assert 6 * 1024 < bound_opening(deep) < 14 * 1024 < bound_opening(across) < 24 * 1024
    few = make_node("TreeEnsemble", shapes, version=2, depth=2, stretches=6)
    assert bound_opening(few) < bound_opening(across)


def test_a_walk_comes_into_so_many_stretches():
    """The root's counts, and one that is come back to counts again."""
    feature = pack_word(0, 0, missing=False)
    rows = [[LEAF, 0, 0, 0]] * 192
    rows[0], rows[64], rows[1] = [feature, 0, 64, 2], [feature, 0, 1, 2], [LEAF, 0, 1, 0]
    shapes = [("float32", (1, 1)), ("uint32", (1, 192, 4)), ("float32", (1, 2, 1))]
    tables = [[word for row in rows for word in row], f32("1", "2")]
    for stretches, value in ((3, "2"), (2, "+0"), (1, "+0")):
        node = make_node("TreeEnsemble", shapes, version=2, depth=2, stretches=stretches)
        assert judge_all(node, f32("-1"), *tables) == f32(value)
        assert judge_all(node, f32("1"), *tables) == f32("1")
