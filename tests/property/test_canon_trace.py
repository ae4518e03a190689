"""No flipped bit passes: of a chunk, a path, a root, a key or what a key is made of (`CANON-5`)."""

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probatum.canon.evaluate.openings import ChunkTree
from probatum.canon.trace.openings import Opening, check_chunks
from probatum.canon.trace.roots import derive_entry_key
from probatum.canon.trace.tree import check_children, count_chunks, list_children, whole
from probatum.errors import Refusal

SALT = bytes(range(32))
SHAPES = [(3,), (1024,), (257, 4), (5, 1024), (9, 129, 1)]


@cache
def make(shape):
    length = 1
    for size in shape:
        length *= size
    key = derive_entry_key(SALT, "uint8", shape, 3)
    data = bytes(number * number % 253 for number in range(length))
    return key, length, ChunkTree(key, data)


def flip(data, bit):
    at = bit % (8 * len(data))
    changed = bytearray(data)
    changed[at // 8] ^= 1 << at % 8
    return bytes(changed)


@st.composite
def opened(draw):
    shape = draw(st.sampled_from(SHAPES))
    key, length, tree = make(shape)
    numbers = draw(st.sets(st.integers(0, count_chunks(length) - 1), min_size=1, max_size=4))
    return shape, key, length, tree, tuple(sorted(numbers))


@given(opened(), st.integers(0, 1 << 20), st.data())
def test_a_flipped_bit_is_refused(case, bit, data):
    shape, key, length, tree, numbers = case
    opening = tree.open_chunks(numbers)
    check_chunks(tree.root, key, length, numbers, opening)
    root, chunks, path = tree.root, list(opening.chunks), list(opening.path)
    what = data.draw(st.sampled_from(["root", "key", "chunk", "path", "shape", "number", "salt"]))
    if what == "root":
        root = flip(root, bit)
    elif what == "key":
        key = flip(key, bit)
    elif what == "chunk" or (what == "path" and not path):
        at = bit % len(chunks)
        chunks[at] = flip(chunks[at], bit)
    elif what == "path":
        at = bit % len(path)
        path[at] = flip(path[at], bit)
    elif what == "shape":
        # The length follows from the shape, and the key from both.
        changed = (shape[0] ^ 1 << bit % 8, *shape[1:])
        key = derive_entry_key(SALT, "uint8", changed, 3)
        length = length // shape[0] * changed[0]
    elif what == "number":
        key = derive_entry_key(SALT, "uint8", shape, 3 ^ 1 << bit % 16)
    else:
        key = derive_entry_key(flip(SALT, bit), "uint8", shape, 3)
    with pytest.raises(Refusal):
        check_chunks(root, key, length, numbers, Opening(chunks=tuple(chunks), path=tuple(path)))


@given(opened(), st.integers(0, 1 << 20))
def test_a_chunk_is_opened_at_its_own_place_only(case, bit):
    _, key, length, tree, numbers = case
    opening = tree.open_chunks(numbers)
    elsewhere = tuple(sorted({bit % (count_chunks(length) + 3), *numbers[1:]}))
    if elsewhere != numbers:
        with pytest.raises(Refusal):
            check_chunks(tree.root, key, length, elsewhere, opening)


@given(opened(), st.integers(0, 1 << 20))
def test_a_flipped_bit_of_a_walk_is_refused(case, bit):
    _, key, length, tree, _ = case
    node = whole(length)
    values = list(tree.list_child_values(node))
    check_children(key, length, node, tree.root, values)
    at = bit % len(list_children(node))
    values[at] = flip(values[at], bit)
    with pytest.raises(Refusal):
        check_children(key, length, node, tree.root, values)


@given(
    st.binary(min_size=32, max_size=32),
    st.integers(-2, 1 << 60),
    st.lists(st.integers(-1, 1 << 50), max_size=4),
    st.lists(st.binary(max_size=1024), max_size=4),
    st.lists(st.binary(min_size=30, max_size=32), max_size=60),
)
def test_no_opening_breaks_the_check(root, length, numbers, chunks, path):
    with pytest.raises(Refusal):
        check_chunks(
            root, SALT, length, tuple(numbers), Opening(chunks=tuple(chunks), path=tuple(path))
        )
