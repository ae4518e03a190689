"""Whole graphs: what is admitted, every reason why not, and what it costs (`CANON-8`, `NODE-1`)."""

import pytest

from probatum.canon.graph.records import (
    ENTRY,
    INPUT,
    WEIGHT,
    Attribute,
    CanonicalGraph,
    DimRecord,
    InputRecord,
    NodeRecord,
    OutputRecord,
    Ref,
    WeightRecord,
)
from probatum.canon.graph.sizes import Expr, Term, make_dim
from probatum.canon.primitives.admitting import admit_graph, examine_graph
from probatum.errors import Refusal
from probatum.protocol.primitives import make_root

N = make_dim("n")
F = "float32"


def ref(space, number=0):
    return Ref(space=space, number=number)


def node(operator, reads, computed, dtype=F, **attributes):
    return NodeRecord(
        operator=operator,
        version=1,
        attributes=tuple(
            Attribute(name=name, value=value) for name, value in sorted(attributes.items())
        ),
        reads=reads,
        dtype=dtype,
        shape=computed,
    )


DENSE = node("Dot", (ref(INPUT), ref(WEIGHT)), (N, 4))
SHARP = node("Relu", (ref(ENTRY),), (N, 4))
TOTAL = node("ReduceSum", (ref(ENTRY, 1),), (N, 1))


def make_graph(**changes):
    fields = {
        "dims": (DimRecord(name="n", least=1, greatest=8),),
        "inputs": (InputRecord(name="x", dtype=F, shape=(N, 3)),),
        "weights": (WeightRecord(dtype=F, shape=(4, 3), root=make_root(bytes(32))),),
        "nodes": (DENSE, SHARP, TOTAL),
    }
    fields |= changes
    last = OutputRecord(name="y", ref=ref(ENTRY, len(fields["nodes"]) - 1))
    return CanonicalGraph(**({"outputs": (last,)} | fields))


def test_an_admitted_graph_and_what_it_costs():
    bounds = admit_graph(make_graph())
    assert bounds.entries == 3
    assert bounds.operations == 8 * 4 * 3 + 8 * 4 + 8 * 4
    assert bounds.weight_bytes == 48
    assert bounds.trace_bytes == 4 * (32 + 32 + 8)
    assert bounds.peak_bytes == 4 * (24 + 32 + 32)
    assert bounds.opening_bytes == 3 * (1027 + 8)
    assert bounds.judge_work == 96 * 1024


def test_entries_live_until_their_last_reader():
    last = node("Add", (ref(ENTRY), ref(ENTRY, 2)), (N, 4))
    bounds = admit_graph(make_graph(nodes=(DENSE, SHARP, TOTAL, last)))
    assert bounds.peak_bytes == 4 * (24 + 32 + 8 + 32)


def check(code, number, **changes):
    admission = examine_graph(make_graph(**changes))
    assert admission.bounds is None
    found = [(reason.refusal.code, reason.node) for reason in admission.reasons]
    assert (code, number) in found, found
    with pytest.raises(Refusal):
        admit_graph(make_graph(**changes))


def test_nodes_mean_what_they_say():
    check("canon.unknown-operator", 0, nodes=(node("Softmax", (ref(INPUT),), (N, 3)),))
    check("canon.wrong-operands", 0, nodes=(node("Dot", (ref(INPUT),), (N, 4)),))
    check("canon.wrong-operands", 0, nodes=(node("Relu", (ref(INPUT),), (N, 3), "float64"),))
    check("canon.wrong-attributes", 0, nodes=(node("Relu", (ref(INPUT),), (N, 3), k=(1,)),))
    check("canon.wrong-type", 0, nodes=(node("Relu", (ref(INPUT),), (N, 4)),))
    unsorted = (Attribute(name="b", value=(1,)), Attribute(name="a", value=(1,)))
    twice = NodeRecord(
        operator="Relu", version=1, attributes=unsorted, reads=(ref(INPUT),), dtype=F, shape=(N, 3)
    )
    check("canon.wrong-attributes", 0, nodes=(twice,))


def test_all_reasons_are_listed():
    bad = node("Relu", (ref(INPUT),), (N, 4))
    admission = examine_graph(make_graph(nodes=(bad, bad, SHARP)))
    assert [reason.node for reason in admission.reasons] == [0, 1]


def test_references_point_back():
    check("canon.bad-reference", 0, nodes=(node("Relu", (ref(ENTRY),), (N, 3)),))
    check("canon.bad-reference", 0, nodes=(node("Relu", (ref(INPUT, 1),), (N, 3)),))
    check("canon.bad-reference", 0, nodes=(node("Relu", (ref(WEIGHT, 1),), (N, 3)),))
    check("canon.bad-reference", None, outputs=(OutputRecord(name="y", ref=ref(ENTRY, 3)),))


def test_dims_are_declared_seen_and_ranged():
    one = DimRecord(name="n", least=1, greatest=8)
    check("canon.bad-dim", None, dims=(one, one))
    check("canon.bad-dim", None, dims=(DimRecord(name="n", least=3, greatest=2),))
    unseen = DimRecord(name="m", least=1, greatest=2)
    check("canon.bad-dim", None, dims=(one, unseen))
    fixed = DimRecord(name="m", least=2, greatest=2)
    assert admit_graph(make_graph(dims=(one, fixed))).entries == 3
    check("canon.unknown-dim", None, dims=())


def test_sizes_hold_for_all_admitted_dims():
    shorter = node(
        "Slice", (ref(INPUT),), (N - 2, 3), starts=(0, 0), steps=(1, 1), shape=(N - 2, 3)
    )
    check("canon.negative-size", 0, nodes=(shorter,))
    longer = (DimRecord(name="n", least=2, greatest=8),)
    assert admit_graph(make_graph(nodes=(shorter,), dims=longer)).entries == 1
    greatest = node("ReduceMax", (ref(ENTRY),), (3, 1))
    turned = node("Transpose", (ref(INPUT),), (3, N), perm=(1, 0))
    maybe_none = (DimRecord(name="n", least=0, greatest=8),)
    check("canon.condition-fails", 1, nodes=(turned, greatest), dims=maybe_none)
    assert admit_graph(make_graph(nodes=(turned, greatest))).entries == 2
    loose = Expr(terms=(Term(coefficient=0, factors=("n",)),))
    check("canon.bad-size", 0, nodes=(node("Relu", (ref(INPUT),), (loose, 3)),))
    far = node("Iota", (), (1,), "int64", start=((1 << 61) * N,), step=(1,), shape=(1,))
    check("canon.bad-size", 0, nodes=(far,))
    wide = (DimRecord(name="n", least=1, greatest=1 << 39),)
    check("canon.tensor-too-large", None, dims=wide)


def test_what_cannot_be_judged_in_small_messages_is_not_admitted():
    image = (InputRecord(name="x", dtype=F, shape=(1, 600, 600, 64)),)
    geometry = {"strides": (1, 1), "pads_begin": (0, 0), "pads_end": (0, 0), "dilations": (1, 1)}
    pool = node("WindowMax", (ref(INPUT),), (1, 591, 591, 64), kernel=(10, 10), **geometry)
    check("canon.opening-too-large", 0, inputs=image, nodes=(pool,), dims=())
    small = node("WindowMax", (ref(INPUT),), (1, 598, 598, 64), kernel=(3, 3), **geometry)
    bounds = admit_graph(make_graph(inputs=image, nodes=(small,), dims=()))
    assert bounds.opening_bytes <= 48 * 1024


def test_a_record_is_small():
    many = node("Reshape", (ref(INPUT),), (N, 3), **{f"a{i}": ((1 << 60),) * 250 for i in range(9)})
    check("canon.record-too-large", None, nodes=(many,))


def test_names_and_outputs():
    x = InputRecord(name="x", dtype=F, shape=(N, 3))
    check("canon.bad-name", None, inputs=(x, x))
    y = OutputRecord(name="y", ref=ref(ENTRY, 2))
    check("canon.bad-name", None, outputs=(y, y))
    brain = node("Cast", (ref(INPUT),), (N, 3), "bfloat16")
    check("canon.bad-output", None, nodes=(brain,))
