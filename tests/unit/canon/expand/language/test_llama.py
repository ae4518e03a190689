"""The graph of a language model: its logits, its causality, its rule, its judge (`TEXT-1`)."""

import numpy as np
import pytest

from probatum.canon.evaluate.evaluating import Evaluator
from probatum.canon.expand.expansion import Expanded
from probatum.canon.expand.language.llama import build_llama_graph
from probatum.canon.expand.language.weights import list_llama_weights
from probatum.canon.graph.records import compute_canonical_digest
from probatum.canon.primitives.admitting import admit_graph
from probatum.errors import Misuse
from tests.elements import compare
from tests.unit.canon.expand.language import small

DIGEST = "f0f22160cdcc1f36af3f6f449fbb4e36eb16de0e0e45622bbb58fd6c12ee1bbb"
PROMPT = (7, 33, 12, 60, 1)


class Model:
    """A small model, ready to be evaluated."""

    def __init__(self, **changes):
        self.text = small.make_text(**changes)
        self.weights = small.make_weights(self.text)
        built = small.make_graph(self.text, self.weights)
        self.graph = built.graph
        self.arrays = [*self.weights.values(), *built.constants]
        self.evaluator = Evaluator(self.graph, self.arrays)

    def run(self, prompt, answer, sink=None, **rule):
        chosen, ended = self.evaluator.evaluate(
            small.make_inputs(prompt, answer, **rule), sink=sink
        )
        return chosen.tolist(), bool(ended[0])

    def collect(self, prompt, answer, **rule):
        """All entries."""
        entries = []
        self.run(prompt, answer, sink=lambda _, array: entries.append(array.copy()), **rule)
        return entries

    def find_logits(self):
        """The number of the entry that TopK reads."""
        return next(node.reads[0].number for node in self.graph.nodes if node.operator == "TopK")

    def decode(self, prompt, length, **rule):
        """Choose token after token, each by an evaluation of all before it."""
        answer = []
        for _ in range(length):
            chosen, _ = self.run(prompt, [*answer, 0], **rule)
            answer.append(chosen[-1])
        return answer


@pytest.fixture(scope="module")
def model():
    return Model()


def test_it_is_admitted(model):
    bounds = admit_graph(model.graph)
    assert bounds.opening_bytes <= 16 * 1024
    assert [one.name for one in model.graph.dims] == ["a", "p"]
    names = [one.name for one in model.graph.inputs]
    assert names == ["prompt", "answer", "limit", "temperature", "top_k", "choice", "nonce"]
    assert [one.name for one in model.graph.outputs] == ["chosen", "ended"]


def test_the_weights_of_the_file_come_first(model):
    specs = list_llama_weights(model.text)
    records = model.graph.weights[: len(specs)]
    assert [one.shape for one in records] == [spec.shape for spec in specs]
    assert [spec.name for spec in specs][:3] == [
        "model.embed_tokens.weight",
        "model.layers.0.input_layernorm.weight",
        "model.layers.0.self_attn.q_proj.weight",
    ]
    used = {ref.number for node in model.graph.nodes for ref in node.reads if ref.space == 1}
    assert used == set(range(len(model.graph.weights)))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"is_tied": False},
        {"qkv_bias": True},
        {"kv_heads": 4},
        {"kv_heads": 1, "head_width": 6},
    ],
)
def test_logits_are_those_of_float64(changes):
    model = Model(**changes)
    answer = [3, 9, 40, 40, 0, 63]
    logits = model.collect(PROMPT, answer)[model.find_logits()]
    want = small.compute_logits(model.text, model.weights, (*PROMPT, *answer[:-1]))
    assert logits.shape == (len(answer), model.text.vocabulary)
    assert np.abs(logits - want[len(PROMPT) - 1 :]).max() < 1e-5 * np.abs(want).max()


@pytest.mark.parametrize(
    ("temperature", "top_k", "choice"),
    [(0.0, 16, 0), (0.7, 16, 0), (1.5, 3, 2), (2.0, 1, 7), (3e38, 16, 0), (1e-45, 16, 1)],
)
def test_the_choice_is_the_rule_s(model, temperature, top_k, choice):
    answer = [3, 9, 40, 40, 0, 63, 1, 1]
    rule = {"temperature": temperature, "top_k": top_k, "choice": choice}
    entries = model.collect(PROMPT, answer, **rule)
    chosen, _ = model.run(PROMPT, answer, **rule)
    rows = entries[model.find_logits()].astype(np.float64)
    with np.errstate(over="ignore"):  # so hot that noise alone is infinite
        assert chosen == [small.choose(row, place, **rule) for place, row in enumerate(rows)]


def test_temperature_and_nonce_matter(model):
    answers = [
        model.decode(PROMPT, 8, temperature=1.0, nonce=bytes([seed] * 32)) for seed in range(3)
    ]
    assert len({tuple(one) for one in answers}) == 3
    cold = [model.decode(PROMPT, 8, nonce=bytes([seed] * 32)) for seed in range(2)]
    assert cold[0] == cold[1]


def test_an_answer_is_its_own_choice(model):
    """Token by token, or all at once: the same."""
    for temperature in (0.0, 1.0):
        answer = model.decode(PROMPT, 12, temperature=temperature)
        assert model.run(PROMPT, answer, temperature=temperature)[0] == answer


def test_later_tokens_change_no_earlier_choice(model):
    rng = np.random.default_rng(3)
    for _ in range(8):
        answer = rng.integers(0, 64, 10).tolist()
        place = int(rng.integers(0, 10))
        other = answer[:place] + rng.integers(0, 64, 10 - place).tolist()
        one, _ = model.run(PROMPT, answer, temperature=0.8)
        two, _ = model.run(PROMPT, other, temperature=0.8)
        assert one[: place + 1] == two[: place + 1]
    cut, _ = model.run(PROMPT, answer[:4], temperature=0.8)
    assert cut == one[:4]


@pytest.mark.parametrize(
    ("answer", "limit", "ended"),
    [
        ([2], 24, True),
        ([7, 5], 24, True),
        ([7, 8], 24, False),
        ([7, 8], 2, True),
        ([7, 2], 2, True),
        ([2, 8], 2, False),
        ([2, 2], 24, False),
        ([8], 1, True),
        ([7, 8, 9], 2, False),
        ([5, 8, 2], 24, False),
    ],
)
def test_when_an_answer_has_ended(model, answer, limit, ended):
    assert model.run(PROMPT, answer, limit=limit)[1] is ended


def test_what_is_not_finite_chooses_no_token(model):
    broken = Model()
    broken.weights["model.norm.weight"][:] = np.nan
    arrays = [*broken.weights.values(), *broken.arrays[len(broken.weights) :]]
    chosen, _ = Evaluator(broken.graph, arrays).evaluate(small.make_inputs(PROMPT, [3, 4]))
    assert chosen.tolist() == [64, 64]


def test_evaluated_is_judged(model):
    inputs = small.make_inputs(PROMPT, [3, 9, 63], temperature=0.9, top_k=5)
    expanded = Expanded(graph=model.graph, weights=tuple(model.arrays))
    judged, wrong, _ = compare(expanded, inputs, 900, np.random.default_rng(5))
    assert judged >= 900
    assert wrong == []


def test_the_graph_never_changes(model):
    """Packages state its digest: another one is another architecture."""
    roots = (bytes(32),) * len(list_llama_weights(model.text))
    built = build_llama_graph(model.text, roots, prompts=(1, 24), answers=(1, 24))
    assert compute_canonical_digest(built.graph).hex() == DIGEST


def test_roots_are_counted(model):
    with pytest.raises(Misuse, match=r"canon\.wrong-weights"):
        small.make_graph(model.text, {"model.norm.weight": np.zeros(32, np.float32)})


def test_the_scale_is_the_nearest_float32():
    """1/sqrt(d), rounded to float64 and then to float32, is what one rounding gives."""
    for width in range(2, 4098, 2):
        scale = float(np.float32(1 / np.sqrt(np.float64(width))))
        below, above = (float(np.nextafter(np.float32(scale), np.float32(end))) for end in (0, 9))
        ends = [(scale + other) / 2 for other in (below, above)]
        squares = [
            (numerator**2 * width, d**2) for numerator, d in map(float.as_integer_ratio, ends)
        ]
        assert squares[0][0] < squares[0][1]
        assert squares[1][0] > squares[1][1]
