"""Scatters: the last write in order stays (`CANON-8`, `CANON-9`)."""

import itertools
import random

import pytest

from tests.unit.canon.primitives.cases import judge_all, make_node


def wrap(index, size):
    index = index + size if index < 0 else index
    return index if 0 <= index < size else None


@pytest.mark.parametrize("updates", [0, 1, 5, 2100])
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_scatter_elements(updates, dtype):
    generator = random.Random(updates)
    rows, size = 2, 7
    end = 1 << (32 if dtype == "int32" else 64)
    data = [generator.getrandbits(32) for _ in range(rows * size)]
    indices = [generator.randrange(-size - 2, size + 2) for _ in range(rows * updates)]
    values = [generator.getrandbits(32) for _ in range(rows * updates)]
    expected = list(data)
    for row in range(rows):
        for at in range(updates):
            place = wrap(indices[row * updates + at], size)
            if place is not None:
                expected[row * size + place] = values[row * updates + at]
    node = make_node(
        "ScatterElements",
        [("float32", (rows, size)), (dtype, (rows, updates)), ("float32", (rows, updates))],
    )
    assert judge_all(node, data, [i % end for i in indices], values) == expected


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("updates", [(0,), (3,), (2, 400)])
def test_scatter_nd(depth, updates):
    generator = random.Random(f"{depth}{updates}")
    shape = (3, 4, 2)
    count = 1
    for size in updates:
        count *= size
    slices = shape[depth:]
    data = list(range(24))
    tuples = [
        [generator.randrange(-size - 1, size + 1) for size in shape[:depth]] for _ in range(count)
    ]
    inner = 1
    for size in slices:
        inner *= size
    values = list(range(100, 100 + count * inner))
    expected = list(data)
    for at, chosen in enumerate(tuples):
        places = [wrap(i, size) for i, size in zip(chosen, shape[:depth], strict=True)]
        if None in places:
            continue
        first = 0
        for place, size in itertools.zip_longest(places, shape, fillvalue=0):
            first = first * size + place
        expected[first : first + inner] = values[at * inner : (at + 1) * inner]
    node = make_node(
        "ScatterND",
        [("int16", shape), ("int64", (*updates, depth)), ("int16", (*updates, *slices))],
    )
    flat = [i % (1 << 64) for chosen in tuples for i in chosen]
    assert judge_all(node, data, flat, values) == expected
