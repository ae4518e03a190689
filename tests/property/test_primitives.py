"""Primitives on any bits: total, split anywhere, associative, strict about partials (`CANON-8`)."""

from functools import reduce

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probatum.canon.graph.binding import BoundNode
from probatum.canon.primitives.interface import PARTIAL_BYTES
from probatum.canon.primitives.judging import (
    combine_partials,
    count_blocks,
    get_fold,
    judge_block,
    judge_element,
    judge_finish,
)
from probatum.canon.primitives.registry import PRIMITIVES
from probatum.errors import Refusal
from tests.unit.canon.primitives.cases import make_fetch, make_node, width

FLOATS = ("float16", "bfloat16", "float32", "float64")
INTS = tuple(f"{kind}{size}" for kind in ("int", "uint") for size in (8, 16, 32, 64))
GEOMETRY = {"strides": (2,), "pads_begin": (1,), "pads_end": (1,), "dilations": (1,)}


def make_nodes():
    """Nodes of every primitive and of every dtype that it takes."""
    f = "float32"
    yield make_node("Reshape", [(f, (2, 3))], shape=(6,))
    yield make_node("Transpose", [(f, (2, 3))], perm=(1, 0))
    yield make_node("Slice", [(f, (5,))], starts=(4,), steps=(-2,), shape=(4,))
    yield make_node("Concat", [(f, (2,)), (f, (3,))], axis=0)
    yield make_node("Expand", [(f, (2, 1))], shape=(2, 3))
    yield make_node("Pad", [(f, (3,)), (f, ())], begins=(5,), mode="reflect", shape=(11,))
    for dtype in ("int32", "int64"):
        yield make_node("Gather", [(f, (5,)), (dtype, (3,))], axis=0)
        yield make_node("GatherElements", [(f, (5, 2)), (dtype, (3, 2))], axis=0)
        yield make_node("ScatterElements", [(f, (2, 3)), (dtype, (2, 4)), (f, (2, 4))])
        yield make_node("ScatterND", [(f, (2, 3)), (dtype, (4, 2)), (f, (4,))])
    yield make_node("Where", [("bool", (3, 1)), (f, (2,)), (f, ())])
    yield make_node("Iota", [], start=-5, step=7, shape=(4,))
    for operator in "Add Sub Mul Div Max Min Equal Less LessOrEqual Greater GreaterOrEqual".split():
        for dtype in (*FLOATS, *INTS):
            yield make_node(operator, [(dtype, (2,)), (dtype, ())])
    for operator in "Abs Sign".split():
        for dtype in (*FLOATS, *INTS):
            yield make_node(operator, [(dtype, (2,))])
    for operator in "Neg Relu".split():
        for dtype in (*FLOATS, *INTS[:4]):
            yield make_node(operator, [(dtype, (2,))])
    for operator in "Floor Ceil Round Sqrt Exp Log Erf Tanh Sigmoid Sin Cos IsNan".split():
        for dtype in FLOATS:
            yield make_node(operator, [(dtype, (2,))])
    for dtype in FLOATS:
        yield make_node("Pow", [(dtype, (2,)), (dtype, ())])
    for dtype in INTS:
        yield make_node("Mod", [(dtype, (2,)), (dtype, ())])
    yield from make_bits()
    for operator in "And Or Xor".split():
        yield make_node(operator, [("bool", (2,)), ("bool", (2,))])
    yield make_node("Not", [("bool", (2,))])
    for source, target in (("float64", "float16"), ("float32", "int8"), ("uint64", "bfloat16")):
        yield make_node("Cast", [(source, (2,))], target)
    noise = [("int64", (4,)), ("int64", (1,)), ("int64", (2, 1)), ("int64", (3,))]
    yield make_node("Gumbel", noise)
    yield from make_folds(1, 3)
    yield from make_folds(2, 1500)


def make_bits():
    """Maps of integers' bits."""
    for dtype in INTS:
        for operator in "BitAnd BitOr BitXor".split():
            yield make_node(operator, [(dtype, (2,)), (dtype, ())])
        yield make_node("BitNot", [(dtype, (2,))])


def make_folds(rows, terms):
    """Folds over so many terms."""
    for dtype in (*FLOATS, "int8", "uint64"):
        yield make_node("Dot", [(dtype, (rows, terms)), (dtype, (2, terms))])
        yield make_node("ReduceSum", [(dtype, (rows, terms))])
        yield make_node("ReduceMax", [(dtype, (rows, terms))])
        yield make_node("ReduceMin", [(dtype, (rows, terms))])
        yield make_node("ArgMax", [(dtype, (rows, terms))], select_last=rows - 1)
        yield make_node("ArgMin", [(dtype, (rows, terms))], select_last=2 - rows)
        yield make_node("TopK", [(dtype, (rows, terms))], k=2, largest=rows - 1)
        conv = [(dtype, (1, 5, terms)), (dtype, (2, 3, terms))]
        yield make_node("Conv", conv, **GEOMETRY, group=1)
        kernel = min(terms, 1200)
        pads = {"pads_begin": (kernel - 1,), "pads_end": (0,), "strides": (400,)}
        window = {**GEOMETRY, **pads, "kernel": (kernel,)}
        yield make_node("WindowMax", [(dtype, (1, terms, 1))], **window)
        if dtype in FLOATS:
            yield make_node("ReduceMean", [(dtype, (rows, terms))])
            yield make_node(
                "WindowMean", [(dtype, (1, terms, 1))], **window, count_include_pad=rows - 1
            )
    yield make_node("ScatterElements", [("int8", (rows, 3)), ("int32", (rows, terms)),
                                        ("int8", (rows, terms))])  # fmt: skip
    yield make_node("ScatterND", [("int8", (3, 2)), ("int64", (terms, 2)), ("int8", (terms,))])
    trees = [("float32", (2, 3)), ("uint32", (5, 4, 4)), ("float32", (5, 2, 2))]
    yield make_node("TreeEnsemble", trees, depth=2)
    yield make_node("TreeEnsemble", trees, version=2, depth=3, stretches=1)


NODES = tuple(make_nodes())
FOLDS = tuple(node for node in NODES if get_fold(node) is not None)


def name(node: BoundNode) -> str:
    return f"{node.operator}-{'-'.join(one.dtype for one in node.inputs)}"


def draw_tensors(data, node):
    """Whatever bits: mostly a few that are hostile to the dtype, repeated at random."""
    tensors = []
    for one in node.inputs:
        size = width(one.dtype)
        top = 1 << (size - 1)
        bits = st.sampled_from((0, 1, top, 2 * top - 1, top - 1)) | st.integers(0, 2 * top - 1)
        pool = data.draw(st.lists(bits, min_size=1, max_size=6))
        random = data.draw(st.randoms(use_true_random=False))
        tensors.append([random.choice(pool) for _ in range(one.count)])
    return tensors


def test_every_primitive_is_here():
    assert {(node.operator, node.version) for node in NODES} == set(PRIMITIVES)


@given(data=st.data(), node=st.sampled_from(NODES))
@settings(max_examples=250, deadline=None)
def test_every_input_has_a_value(data, node):
    fetch = make_fetch(node, draw_tensors(data, node))
    element = data.draw(st.integers(0, node.output.count - 1))
    claimed = data.draw(st.integers(0, (1 << width(node.output.dtype)) - 1))
    judged = judge_element(node, element, fetch, claimed)
    assert 0 <= judged < 1 << width(node.output.dtype)
    assert judge_element(node, element, fetch, claimed) == judged


@given(data=st.data(), node=st.sampled_from(FOLDS))
@settings(max_examples=60, deadline=None)
def test_blocks_may_be_joined_in_any_way(data, node):
    fetch = make_fetch(node, draw_tensors(data, node))
    element = data.draw(st.integers(0, node.output.count - 1))
    partials = [judge_block(node, element, block, fetch) for block in range(count_blocks(node))]
    partials *= 2 if node.operator not in ("ArgMax", "ArgMin", "TopK") else 1
    assert all(len(partial) <= PARTIAL_BYTES for partial in partials)
    in_order = reduce(lambda one, two: combine_partials(node, one, two), partials)
    joined = list(partials)
    while len(joined) > 1:
        at = data.draw(st.integers(0, len(joined) - 2))
        joined[at : at + 2] = [combine_partials(node, joined[at], joined[at + 1])]
    assert joined[0] == in_order


@given(data=st.data(), node=st.sampled_from(FOLDS))
@settings(max_examples=60, deadline=None)
def test_partials_of_strangers_are_refused_or_taken(data, node):
    fetch = make_fetch(node, draw_tensors(data, node))
    partial = data.draw(st.binary(max_size=24))
    for call in (
        lambda: judge_finish(node, 0, partial, fetch),
        lambda: combine_partials(node, partial, partial),
        lambda: combine_partials(node, judge_block(node, 0, 0, fetch), partial),
    ):
        try:
            call()
        except Refusal as refusal:
            with pytest.raises(Refusal, match=r"canon\.bad-partial"):
                raise refusal from None
