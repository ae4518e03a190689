"""Graphs with their dims bound (`NODE-1`, `CANON-8`)."""

import pytest

from probatum.canon.graph.binding import BoundType, bind_dims, bind_graph, bind_node
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
from probatum.canon.graph.sizes import make_dim
from probatum.errors import Misuse, Refusal
from probatum.protocol.primitives import make_root

N = make_dim("n")
X = Ref(space=INPUT, number=0)


def make_graph(shape=(N, 3), least=1, greatest=8, reads=(X,), out=(3 * N,)):
    return CanonicalGraph(
        dims=(DimRecord(name="n", least=least, greatest=greatest),),
        inputs=(InputRecord(name="x", dtype="float32", shape=shape),),
        weights=(WeightRecord(dtype="bfloat16", shape=(4, 3), root=make_root(bytes(32))),),
        nodes=(
            NodeRecord(
                operator="Reshape",
                version=1,
                attributes=(
                    Attribute(name="mode", value="plain"),
                    Attribute(name="shape", value=out),
                ),
                reads=reads,
                dtype="float32",
                shape=out,
            ),
        ),
        outputs=(OutputRecord(name="y", ref=Ref(space=ENTRY, number=0)),),
    )


def test_dims_come_from_shapes():
    graph = make_graph()
    assert bind_dims(graph, ((5, 3),)) == {"n": 5}
    bound = bind_graph(graph, {"n": 5})
    node = bound.nodes[0]
    assert node.output == BoundType("float32", (15,))
    assert node.inputs == (BoundType("float32", (5, 3)),)
    assert node.get_ints("shape") == (15,)
    assert node.get_int("shape") == 15
    assert node.get_word("mode") == "plain"
    assert bound.get_type(Ref(space=WEIGHT, number=0)).size_bytes == 24
    assert bound.get_type(Ref(space=ENTRY, number=0)).count == 15
    assert bound.get_type(X).shape == (5, 3)
    assert bind_node(graph.nodes[0], node.inputs, {"n": 5}) == node


def test_a_dim_of_one_value_need_not_be_seen():
    graph = make_graph(shape=(2 * N, 3), least=4, greatest=4)
    assert bind_dims(graph, ((8, 3),)) == {"n": 4}


@pytest.mark.parametrize(
    ("graph", "shapes", "code"),
    [
        (make_graph(), (), "canon.wrong-shape"),
        (make_graph(), ((5,),), "canon.wrong-shape"),
        (make_graph(), ((5, 4),), "canon.wrong-shape"),
        (make_graph(), ((0, 3),), "canon.dim-out-of-range"),
        (make_graph(), ((9, 3),), "canon.dim-out-of-range"),
        (make_graph(shape=(2 * N, 3)), ((4, 3),), "canon.dim-out-of-range"),
        (make_graph(shape=(N, N)), ((4, 5),), "canon.wrong-shape"),
    ],
)
def test_other_shapes_are_refused(graph, shapes, code):
    with pytest.raises(Refusal, match=code):
        bind_dims(graph, shapes)


@pytest.mark.parametrize(
    ("graph", "code"),
    [
        (make_graph(reads=(Ref(space=ENTRY, number=0),)), "canon.bad-reference"),
        (make_graph(reads=(Ref(space=WEIGHT, number=1),)), "canon.bad-reference"),
        (make_graph(out=(N - 6,)), "canon.bad-size"),
        (make_graph(out=(make_dim("m"),)), "canon.unknown-dim"),
    ],
)
def test_what_cannot_be_bound_is_refused(graph, code):
    with pytest.raises(Refusal, match=code):
        bind_graph(graph, {"n": 5})


def test_attributes_are_of_their_kind():
    node = bind_graph(make_graph(), {"n": 2}).nodes[0]
    for call in (
        lambda: node.get_ints("mode"),
        lambda: node.get_word("shape"),
        lambda: node.get_int("none"),
    ):
        with pytest.raises(Misuse, match=r"canon\.no-attribute"):
            call()
