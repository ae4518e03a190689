import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probatum.errors import Misuse
from probatum.protocol.hash_rows import HASH_BYTES, RUN_HASHES, HashRow
from probatum.protocol.merkle import MerkleLog


class ListShelf:
    def __init__(self):
        self.runs = []

    def put(self, run):
        assert len(run) == HASH_BYTES * RUN_HASHES
        self.runs.append(run)
        return len(self.runs) - 1

    def get(self, number):
        return self.runs[number]


ITEMS = [random.Random(number).randbytes(HASH_BYTES) for number in range(1_100)]


@given(st.sampled_from((0, 1, 255, 256, 511, 512, 513, 767, 768, 1_100)), st.data())
def test_a_row_with_a_shelf_has_the_same_hashes(size, data):
    shelf = ListShelf()
    row = HashRow(shelf)
    for item in ITEMS[:size]:
        row.append(item)
    assert len(row) == size
    assert len(shelf.runs) == max(0, size // RUN_HASHES - 1)
    start = data.draw(st.integers(0, size))
    stop = data.draw(st.integers(start, size))
    assert row.get(start, stop) == b"".join(ITEMS[start:stop])
    with pytest.raises(Misuse):
        row.get(start, size + 1)


def test_a_tree_on_a_shelf_is_the_same_tree():
    shelf = ListShelf()
    logs = (MerkleLog(), MerkleLog(shelf))
    for item in ITEMS:
        assert logs[0].append(item) == logs[1].append(item)
    assert shelf.runs
    for size in (1, 255, 256, 257, 700, 1_024, 1_100):
        assert logs[0].root(size) == logs[1].root(size)
        assert logs[0].inclusion_proof(size // 2, size) == logs[1].inclusion_proof(size // 2, size)
        assert logs[0].consistency_proof(size // 3, size) == (
            logs[1].consistency_proof(size // 3, size)
        )
