"""The published vectors of language models hold: the graph of given sizes and roots (`TEXT-1`)."""

import json
from pathlib import Path

import pytest

from probatum.canon.expand.language.llama import build_llama_graph
from probatum.canon.expand.language.weights import list_llama_weights
from probatum.canon.graph.records import compute_canonical_digest, list_records
from probatum.canon.primitives.admitting import admit_graph
from probatum.protocol.encoding import encode
from probatum.protocol.manifests import TextModel

FOLDER = Path(__file__).parents[2] / "vectors" / "canon"
GRAPHS = [
    graph
    for name in ("text-1.json", "text-2.json")  # the second with biases
    for graph in json.loads((FOLDER / name).read_text(encoding="utf-8"))["graphs"]
]


@pytest.mark.parametrize("vector", GRAPHS, ids=lambda one: one["digest"][:8])
def test_graphs(vector):
    sizes = vector["text"]
    text = TextModel(**(sizes | {"stop_ids": tuple(sizes["stop_ids"])}))
    specs = [(spec.name, list(spec.shape)) for spec in list_llama_weights(text)]
    assert specs == [(one["name"], one["shape"]) for one in vector["weights"]]
    built = build_llama_graph(
        text,
        tuple(bytes.fromhex(one["root"]) for one in vector["weights"]),
        prompts=tuple(vector["prompts"]),
        answers=tuple(vector["answers"]),
    )
    assert [encode(record).hex() for record in list_records(built.graph)] == vector["records"]
    assert compute_canonical_digest(built.graph).hex() == vector["digest"]
    constants = [(str(one.dtype), list(one.shape), one.tobytes().hex()) for one in built.constants]
    assert constants == [(one["dtype"], one["shape"], one["data"]) for one in vector["constants"]]
    admit_graph(built.graph)
