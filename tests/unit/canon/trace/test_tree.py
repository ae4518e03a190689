"""The walk down a tensor's tree, from its root to any chunk (`CANON-5`, `DISPUTE-1`)."""

import random

import pytest

from probatum.canon.evaluate.openings import ChunkTree
from probatum.canon.trace import tree
from probatum.canon.trace.compression import CHUNK_BYTES
from probatum.errors import Refusal

KEY = bytes(range(32))
LENGTHS = [0, 1, 1024, 1025, 3 * 1024, 5 * 1024 + 1, 256 * 1024, 256 * 1024 + 1, 700 * 1024 + 9]


def test_halves_are_as_in_blake3():
    for size, left in ((2, 1), (3, 2), (4, 2), (5, 4), (8, 4), (9, 8), (1025, 1024)):
        one, two = tree.split(tree.Subtree(7, size))
        assert one == (7, left)
        assert two == (7 + left, size - left)


def test_children_cover_their_node_in_order():
    for size in (1, 2, 255, 256, 257, 300, 65536, 65537, (1 << 40) + 1):
        children = tree.list_children(tree.Subtree(5, size))
        assert len(children) <= tree.CHILDREN
        at = 5
        for child in children:
            assert child.first == at
            at += child.size
        assert at == 5 + size
    assert len(tree.list_children(tree.Subtree(0, 1 << 46))) == 256


@pytest.mark.parametrize("length", LENGTHS)
def test_a_walk_reaches_any_chunk(length):
    chance = random.Random(length)
    data = chance.randbytes(length)
    made = ChunkTree(KEY, data)
    for _ in range(3):
        node, value, steps = tree.whole(length), made.root, 0
        while node.size > 1:
            values = made.list_child_values(node)
            tree.check_children(KEY, length, node, value, values)
            picked = chance.randrange(len(values))
            node, value, steps = tree.list_children(node)[picked], values[picked], steps + 1
        chunk = data[node.first * CHUNK_BYTES : (node.first + 1) * CHUNK_BYTES]
        tree.check_leaf(KEY, length, node.first, value, chunk)
        assert steps <= 2


def test_a_lone_leaf_is_its_own_child():
    value = ChunkTree(KEY, b"abc").root
    tree.check_children(KEY, 3, tree.whole(3), value, (value,))
    with pytest.raises(Refusal, match="node"):
        tree.check_children(KEY, 3, tree.whole(3), value, (bytes(32),))


@pytest.mark.parametrize("length", [1025, 256 * 1024 + 1, 700 * 1024])
def test_false_children_are_refused(length):
    made = ChunkTree(KEY, random.Random(1).randbytes(length))
    node = tree.whole(length)
    values = list(made.list_child_values(node))
    wrong = [bytes([values[-1][0] ^ 1]) + values[-1][1:]]
    cases = {
        "canon.wrong-opening": [values[:-1] + wrong, [values[1], values[0], *values[2:]]],
        "canon.bad-opening": [values[:-1], [*values, values[0]], [*values[:-1], b"x" * 31], []],
    }
    for code, listed in cases.items():
        for children in listed:
            with pytest.raises(Refusal) as caught:
                tree.check_children(KEY, length, node, made.root, children)
            assert caught.value.code == code
    with pytest.raises(Refusal):
        tree.check_children(bytes(32), length, node, made.root, values)
    with pytest.raises(Refusal):
        # Below the root, the same children make another value: only a root is marked as one.
        tree.check_children(KEY, 4 * length, node, made.root, values)


def test_false_leaves_are_refused():
    length = 3 * 1024 + 5
    data = random.Random(2).randbytes(length)
    made = ChunkTree(KEY, data)
    last = tree.Subtree(3, 1)
    value, chunk = made.get_value(last), data[3072:]
    tree.check_leaf(KEY, length, 3, value, chunk)
    for number, bytes_shown, told in (
        (3, chunk[:-1], length),
        (3, chunk + b"\x00", length),
        (4, b"", length),
        (-1, chunk, length),
        (2, chunk, length),
        (3, bytes(5), length),
        (3, chunk, 3 * 1024),
    ):
        with pytest.raises(Refusal):
            tree.check_leaf(KEY, told, number, value, bytes_shown)
