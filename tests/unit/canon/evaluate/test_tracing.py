"""Traces and trees made fast are those that the library and the plain code make (`CANON-5`)."""

import random

import numpy as np
import pytest
from blake3 import blake3

from probatum.canon.evaluate.openings import ChunkTree
from probatum.canon.evaluate.tracing import Tracer
from probatum.canon.graph.binding import BoundGraph, BoundNode, BoundType
from probatum.canon.trace import roots
from probatum.canon.trace.compression import compute_chunk_value, compute_parent_value
from probatum.canon.trace.openings import check_opening
from probatum.canon.trace.tree import Subtree
from probatum.errors import Misuse

KEY, SALT = bytes(range(32)), bytes(reversed(range(32)))


@pytest.mark.parametrize("length", [0, 5, 1024, 1025, 6 * 1024, 2050 * 1024 + 1])
def test_roots_and_values_of_a_tree(length):
    data = random.Random(length).randbytes(length)
    tree = ChunkTree(KEY, data)
    assert tree.root == blake3(data, key=KEY).digest()
    if length > 2048:
        leaves = [compute_chunk_value(KEY, data[at * 1024 : at * 1024 + 1024], at) for at in (4, 5)]
        assert [tree.get_value(Subtree(at, 1)) for at in (4, 5)] == leaves
        assert tree.get_value(Subtree(4, 2)) == compute_parent_value(KEY, *leaves)


def test_a_trace_is_made_entry_by_entry():
    shapes = [(3, 4), (2048,), (0, 5), ()]
    nodes = tuple(
        BoundNode(
            operator="Add",
            version=1,
            attributes={},
            reads=(),
            inputs=(),
            output=BoundType("float32", shape),
        )
        for shape in shapes
    )
    tracer = Tracer(BoundGraph(inputs=(), weights=(), nodes=nodes), {3: "score"}, SALT)
    arrays = [np.random.default_rng(1).random(shape, np.float32) for shape in shapes]
    with pytest.raises(Misuse):
        tracer.compute_root()
    for number, array in enumerate(arrays):
        tracer(number, np.asarray(array))
    with pytest.raises(Misuse):
        tracer(2, arrays[2])
    types = [("float32", shape) for shape in shapes]
    keys = roots.derive_entry_keys(SALT, types, {3: "score"})
    want = [
        roots.compute_keyed_root(key, np.asarray(array).tobytes())
        for key, array in zip(keys, arrays, strict=True)
    ]
    assert list(tracer.roots) == want
    # The list of roots is opened like any tensor.
    listed = ChunkTree(roots.derive_trace_key(SALT), b"".join(want))
    assert listed.root == tracer.compute_root()
    opening = listed.open_chunks((0,))
    key = roots.derive_trace_key(SALT)
    check_opening(listed.root, key, 32 * len(want), 0, opening.chunks[0], opening.path)
