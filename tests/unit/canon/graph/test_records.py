"""Records and their one digest (`NODE-1`)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probatum.canon.graph import records
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
    compute_canonical_digest,
    list_records,
)
from probatum.canon.graph.sizes import make_dim
from probatum.errors import Refusal
from probatum.protocol.encoding import decode, encode
from probatum.protocol.merkle import MerkleLog, check_inclusion, inclusion_proof, leaf_hash
from probatum.protocol.primitives import make_root

N = make_dim("n")


def make_graph(**changes):
    fields = {
        "dims": (DimRecord(name="n", least=1, greatest=8),),
        "inputs": (InputRecord(name="x", dtype="float32", shape=(N, 3)),),
        "weights": (WeightRecord(dtype="float32", shape=(4, 3), root=make_root(bytes(32))),),
        "nodes": (
            NodeRecord(
                operator="Dot",
                version=1,
                attributes=(),
                reads=(Ref(space=INPUT, number=0), Ref(space=WEIGHT, number=0)),
                dtype="float32",
                shape=(N, 4),
            ),
            NodeRecord(
                operator="Reshape",
                version=1,
                attributes=(Attribute(name="shape", value=(4 * N,)),),
                reads=(Ref(space=ENTRY, number=0),),
                dtype="float32",
                shape=(4 * N,),
            ),
        ),
        "outputs": (OutputRecord(name="y", ref=Ref(space=ENTRY, number=1)),),
    }
    return CanonicalGraph(**(fields | changes))


def test_a_graph_has_one_encoding():
    graph = make_graph()
    assert decode(CanonicalGraph, encode(graph), limit_bytes=1 << 20) == graph


def test_every_record_decodes_alone_and_is_in_the_digest():
    graph = make_graph()
    digest = compute_canonical_digest(graph)
    encoded = [encode(record) for record in list_records(graph)]
    leaves = [leaf_hash(one) for one in encoded]
    log = MerkleLog()
    for leaf in leaves:
        log.append(leaf)
    for number, one in enumerate(encoded):
        proof = inclusion_proof(number, len(leaves), log.get_hash)
        check_inclusion(leaves[number], number, len(leaves), proof, digest)
        assert (
            decode(records.Record, one, limit_bytes=records.RECORD_BYTES)
            == (list_records(graph)[number])
        )


def test_whatever_changes_changes_the_digest():
    graph = make_graph()
    swapped = make_graph(outputs=(OutputRecord(name="y", ref=Ref(space=ENTRY, number=0)),))
    renamed = make_graph(dims=(DimRecord(name="n", least=1, greatest=9),))
    digests = {compute_canonical_digest(one) for one in (graph, swapped, renamed)}
    assert len(digests) == 3
    assert compute_canonical_digest(graph) == compute_canonical_digest(make_graph())


def test_a_record_that_does_not_fit_a_dispute_is_refused():
    node = NodeRecord(
        operator="Reshape",
        version=1,
        attributes=tuple(Attribute(name=f"a{i}", value=((1 << 60) + 1,) * 256) for i in range(16)),
        reads=(Ref(space=INPUT, number=0),),
        dtype="float32",
        shape=(3,),
    )
    with pytest.raises(Refusal, match=r"canon\.record-too-large"):
        compute_canonical_digest(make_graph(nodes=(node,)))


@given(data=st.binary(max_size=80), cut=st.integers(0, 60), place=st.integers(0, 6))
def test_decoders_refuse_or_take(data, cut, place):
    good = encode(list_records(make_graph())[place % 5])
    for candidate in (data, good[:cut] + data, data + good[cut:], good[:cut] + good[cut + 1 :]):
        try:
            record = decode(records.Record, candidate, limit_bytes=records.RECORD_BYTES)
        except Refusal:
            continue
        assert encode(record) == candidate
