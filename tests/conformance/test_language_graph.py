"""The canonical graph of a real language model: golden tokens, judged elements (`TEXT-1`).

The tokens are those of an independent engine; the logits are held to plain float64.
"""

from __future__ import annotations

import json

import numpy as np
import pytest

from probatum.canon.evaluate.evaluating import Evaluator
from probatum.canon.expand.language.llama import build_llama_graph
from probatum.canon.expand.numbering import Expanded
from probatum.canon.graph.records import compute_canonical_digest
from probatum.canon.trace.roots import compute_weight_root
from tests.elements import compare
from tests.languages import (
    CANONICAL,
    CAPITAL,
    CAPITAL_GOES_ON,
    QUESTION,
    QUESTION_GOES_ON,
    open_smollm2,
)
from tests.unit.canon.expand.language import small


def read_weights(path):
    """Weights by name, mapped into memory: a header of JSON, then the elements."""
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    data = np.memmap(path, np.uint8, "r", offset=8 + length)
    return {
        name: data[slice(*one["data_offsets"])].view(np.float32).reshape(one["shape"])
        for name, one in header.items()
        if name != "__metadata__"
    }


@pytest.fixture(scope="module")
def package():
    return open_smollm2()


@pytest.fixture(scope="module")
def weights(package):
    return read_weights(package.folder / package.manifest.model)


@pytest.fixture(scope="module")
def expanded(package, weights):
    roots = tuple(
        compute_weight_root("float32", array.shape, memoryview(array.tobytes()))
        for array in weights.values()
    )
    spans = {one.name: (one.least, one.greatest) for one in package.manifest.canonical.dims}
    built = build_llama_graph(package.manifest.text, roots, prompts=spans["p"], answers=spans["a"])
    return Expanded(graph=built.graph, weights=(*weights.values(), *built.constants))


def test_the_digest_is_the_package_s(package, expanded):
    digest = compute_canonical_digest(expanded.graph).hex()
    assert digest == package.manifest.canonical.digest == CANONICAL


def test_without_noise_the_tokens_are_the_golden_ones(expanded):
    evaluator = Evaluator(expanded.graph, expanded.weights)
    for prompt, answer in ((CAPITAL, CAPITAL_GOES_ON), (QUESTION, QUESTION_GOES_ON)):
        chosen, ended = evaluator.evaluate(
            small.make_inputs(prompt, answer, limit=len(answer), top_k=64)
        )
        assert chosen.tolist() == list(answer)
        assert ended.tolist() == [True]
    evaluator.close()


@pytest.mark.nightly
def test_every_sampled_element_is_what_the_judge_says(expanded):
    inputs = small.make_inputs(QUESTION, QUESTION_GOES_ON, temperature=0.8, top_k=40)
    judged, wrong, _ = compare(expanded, inputs, 20_000, np.random.default_rng(1))
    assert judged >= 20_000
    assert wrong == []


@pytest.mark.nightly
def test_logits_are_those_of_float64(package, weights, expanded):
    number = next(node.reads[0].number for node in expanded.graph.nodes if node.operator == "TopK")
    kept = []
    Evaluator(expanded.graph, expanded.weights).evaluate(
        small.make_inputs(QUESTION, QUESTION_GOES_ON, top_k=64),
        sink=lambda at, array: kept.append(array.copy()) if at == number else None,
    )
    ids = (*QUESTION, *QUESTION_GOES_ON[:-1])
    want = small.compute_logits(package.manifest.text, weights, ids)[len(QUESTION) - 1 :]
    assert np.abs(kept[0] - want).max() < 3e-6 * np.abs(want).max()
