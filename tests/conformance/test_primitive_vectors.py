"""The published vectors of primitives hold: `CANON-1`, `CANON-8`, `CANON-9`, `NODE-1`."""

import json
from dataclasses import asdict
from functools import reduce
from pathlib import Path

import pytest

from probatum.canon.graph.records import (
    CanonicalGraph,
    DimRecord,
    InputRecord,
    NodeRecord,
    OutputRecord,
    Record,
    WeightRecord,
    compute_canonical_digest,
)
from probatum.canon.graph.types import TensorType
from probatum.canon.primitives.admitting import admit_graph
from probatum.canon.primitives.judging import (
    combine_partials,
    judge_block,
    judge_element,
    judge_finish,
)
from probatum.canon.primitives.registry import PRIMITIVES, get_primitive
from probatum.errors import Refusal
from probatum.protocol.encoding import decode
from tests.unit.canon.primitives.cases import make_fetch, make_node, width

FILES = sorted((Path(__file__).parents[2] / "vectors" / "canon").glob("primitives-*.json"))
"""A published file never changes: primitives that came later are in a later one."""
KINDS_OF_VECTOR = ("graphs", "elements", "refused_types", "refused_partials")
READ = [json.loads(path.read_text(encoding="utf-8")) for path in FILES]
VECTORS = {kind: [one for file in READ for one in file[kind]] for kind in KINDS_OF_VECTOR}
KINDS = {
    "dims": DimRecord,
    "inputs": InputRecord,
    "weights": WeightRecord,
    "nodes": NodeRecord,
    "outputs": OutputRecord,
}


def read_attributes(vector):
    return {
        name: value if isinstance(value, str) else tuple(value)
        for name, value in vector["attributes"].items()
    }


def read_tensor(tensor):
    size, data = width(tensor["dtype"]) // 8, bytes.fromhex(tensor["data"])
    return [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]


def read_node(vector):
    inputs = [(one["dtype"], one["shape"]) for one in vector["inputs"]]
    output = vector["output"]
    attributes = {"version": vector["version"], **read_attributes(vector)}
    node = make_node(vector["operator"], inputs, output["dtype"], **attributes)
    assert list(node.output.shape) == output["shape"]
    return node


def test_every_kind_and_every_primitive_is_tested():
    assert [tuple(file) for file in READ] == [KINDS_OF_VECTOR] * len(FILES)
    shown = {(one["operator"], one["version"]) for one in VECTORS["elements"]}
    assert shown == set(PRIMITIVES)


def test_graphs():
    for vector in VECTORS["graphs"]:
        records = [
            decode(Record, bytes.fromhex(one), limit_bytes=8192) for one in vector["records"]
        ]
        graph = CanonicalGraph(
            **{
                name: tuple(one for one in records if isinstance(one, kind))
                for name, kind in KINDS.items()
            }
        )
        assert compute_canonical_digest(graph).hex() == vector["digest"]
        assert vector["bounds"].items() <= asdict(admit_graph(graph)).items()


@pytest.mark.parametrize("vector", VECTORS["elements"], ids=lambda one: one["operator"])
def test_elements(vector):
    node = read_node(vector)
    fetch = make_fetch(node, [read_tensor(one) for one in vector["inputs"]])
    expected = read_tensor(vector["output"])
    claims = expected if node.operator == "TopK" else [0] * len(expected)
    for element, bits in enumerate(expected):
        assert judge_element(node, element, fetch, claims[element]) == bits
    for element, row in enumerate(vector.get("partials", [])):
        partials = [bytes.fromhex(one) for one in row]
        for block, partial in enumerate(partials):
            assert judge_block(node, element, block, fetch, claims[element]) == partial
        total = reduce(lambda one, two: combine_partials(node, one, two), partials)
        assert judge_finish(node, element, total, fetch, claims[element]) == expected[element]
    for wrong in vector.get("wrong_claims", []):
        claim = int(wrong["claim"], 16)
        assert judge_element(node, wrong["element"], fetch, claim) == int(wrong["judged"], 16)


def test_types_that_are_refused():
    for vector in VECTORS["refused_types"]:
        inputs = tuple(TensorType(one["dtype"], tuple(one["shape"])) for one in vector["inputs"])
        with pytest.raises(Refusal) as caught:
            get_primitive(vector["operator"], vector["version"]).infer(
                inputs, read_attributes(vector), vector["dtype"]
            )
        assert caught.value.code == vector["code"], vector


def test_partials_that_are_refused():
    for vector in VECTORS["refused_partials"]:
        node = read_node(vector)
        fetch = make_fetch(node, [[0] * one.count for one in node.inputs])
        with pytest.raises(Refusal) as caught:
            judge_finish(node, 0, bytes.fromhex(vector["partial"]), fetch)
        assert caught.value.code == vector["code"], vector
