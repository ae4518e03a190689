from __future__ import annotations

import tracemalloc

import msgspec
import numpy as np
import pytest

from probatum.canon.evaluate.evaluating import Evaluator, evaluate
from probatum.canon.evaluate.plan import make_plan
from probatum.canon.graph.binding import bind_graph
from probatum.canon.graph.records import CanonicalGraph, DimRecord, InputRecord
from probatum.canon.graph.sizes import make_dim
from probatum.canon.primitives.judging import judge_element
from probatum.errors import Misuse, Refusal
from tests.unit.canon.evaluate.networks import Network, make_convolutions, make_transformer


def check_network(graph, arrays, x, samples):
    """Judge elements of every entry from what the entries before it hold."""
    entries = {}
    evaluate(graph, arrays, [x], sink=lambda n, array: entries.__setitem__(n, array.copy()))
    nodes = bind_graph(graph, {}).nodes
    assert sorted(entries) == list(range(len(nodes)))
    rng = np.random.default_rng(2)
    spaces = ({0: x}, dict(enumerate(arrays)), entries)
    judged = 0
    for number, node in enumerate(nodes):
        flat = [
            spaces[ref.space][ref.number].ravel().view(np.uint32).tolist() for ref in node.reads
        ]

        def fetch(read, flat=flat):
            return flat[read.source][read.first : read.first + read.length]

        bits = entries[number].ravel().view(np.uint32)
        for element in rng.integers(0, bits.size, samples).tolist():
            assert judge_element(node, element, fetch) == bits[element], (number, node.operator)
            judged += 1
    return judged


def test_a_transformer_is_what_is_judged():
    graph, arrays = make_transformer(1, 48, 3, 20)
    x = np.random.default_rng(0).standard_normal((1, 20, 48)).astype(np.float32)
    assert check_network(graph, arrays, x, 10) >= 500


def test_convolutions_are_what_is_judged():
    graph, arrays = make_convolutions()
    x = np.random.default_rng(0).standard_normal((2, 14, 15, 6)).astype(np.float32)
    assert check_network(graph, arrays, x, 40) >= 300


def test_close_to_float32():
    """The same network in plain numpy float32, loosely."""
    graph, arrays = make_transformer(2, 64, 4, 16)
    x = np.random.default_rng(1).standard_normal((1, 16, 64)).astype(np.float32)
    (out,) = evaluate(graph, arrays, [x])
    assert np.abs(out.mean(axis=-1)).max() < 0.2
    assert 0.8 < out.std() < 1.2


def test_memory_is_freed_after_the_last_reader():
    net = Network()
    x = net.add_input((4,))
    one = net.add("Add", x, x)  # 0, read by 1 and 3
    two = net.reshape(one, (2, 2))  # 1 shares 0's memory, read by 2
    three = net.add("Mul", two, two)  # 2, output
    four = net.add("Mul", one, one)  # 3, read by nobody
    weight = net.add_weight(np.ones(4, np.float32))
    net.add("Add", weight, weight)  # 4, constant
    plan = make_plan(net.finish(three))
    assert plan.freed == ((), (), (), (0, 3), ())
    assert plan.constants == {4}
    assert four.number == 3


def test_outputs_are_the_callers_own():
    net = Network()
    x = net.add_input((3,))
    weight = net.add_weight(np.ones(3, np.float32))
    same, shared = net.add("Add", x, weight), net.reshape(x, (3, 1))
    constant = net.add("Add", weight, weight)
    graph = net.finish(same, shared, weight, x, constant, net.reshape(weight, (1, 3)))
    evaluator = Evaluator(graph, net.arrays)
    given = np.arange(3, dtype=np.float32)
    first = evaluator.evaluate([given])
    before = [one.tolist() for one in first]
    for one in first:
        one.fill(7)
    assert [one.tolist() for one in evaluator.evaluate([np.arange(3, dtype=np.float32)])] == before
    assert given.tolist() == [0, 1, 2], "the input is not written to"


def test_dims_are_bound_for_each_request():
    n = make_dim("n")
    net = Network()
    x = net.add_input((2,))
    net.shapes[0, 0] = (2,)
    doubled = net.add("Add", x, x)
    graph = net.finish(doubled)
    graph = CanonicalGraph(
        dims=(DimRecord(name="n", least=1, greatest=5),),
        inputs=(InputRecord(name="x", dtype="float32", shape=(n,)),),
        weights=(),
        nodes=tuple(
            type(node)(**{**{f: getattr(node, f) for f in node.__struct_fields__}, "shape": (n,)})
            for node in graph.nodes
        ),
        outputs=graph.outputs,
    )
    evaluator = Evaluator(graph, [])
    for size in (1, 5, 2, 5):
        (out,) = evaluator.evaluate([np.full(size, 3, np.float32)])
        assert out.tolist() == [6] * size
    with pytest.raises(Refusal) as caught:
        evaluator.evaluate([np.zeros(6, np.float32)])
    assert caught.value.code == "canon.dim-out-of-range"


def test_what_is_refused():
    net = Network()
    x = net.add_input((3,))
    graph = net.finish(net.add("Add", x, net.add_weight(np.ones(3, np.float32))))
    with pytest.raises(Misuse, match="weights"):
        Evaluator(graph, [np.ones(3)])
    with pytest.raises(Refusal) as caught:
        evaluate(graph, net.arrays, [np.ones(3)])
    assert caught.value.code == "canon.wrong-dtype"
    net.add("Nothing", x)
    with pytest.raises(Misuse, match="Nothing"):
        Evaluator(net.finish(x), net.arrays)


def test_memory_of_many_choices_of_dims_is_not_all_kept():
    """Each size of a tensor has its own memory: sixteen numbers of rows took sixteen peaks."""
    n, count = make_dim("n"), 1_100
    net = Network()
    out = net.add_input((n, 1_000))
    for _ in range(5):
        out = net.add("Neg", out, size=(n, 1_000))
    dims = (DimRecord(name="n", least=1, greatest=2_000),)
    graph = msgspec.structs.replace(net.finish(out), dims=dims)
    evaluator = Evaluator(graph, [])
    tracemalloc.start()
    try:
        for run in range(24):
            evaluator.evaluate([np.zeros((count + run % 8, 1_000), np.float32)])
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    one = 4 * 1_000 * count
    assert held < 4 * one
    assert peak < 8 * one
