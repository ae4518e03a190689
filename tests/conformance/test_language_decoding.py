"""A real language model decoded step by step: golden tokens, and the canonical graph's bits.

The tokens are those of an independent engine (`CANON-7`, `TEXT-1`).
"""

from __future__ import annotations

from queue import SimpleQueue

import numpy as np
import pytest

from probatum.canon.evaluate.evaluating import Evaluator
from probatum.canon.expand.language.llama import build_llama_graph
from probatum.canon.trace.roots import compute_weight_root
from probatum.hub.importing.gguf_file import read_gguf
from probatum.hub.importing.writing import ImportFacts, write_text_package
from probatum.runtime.text.cache import KeyValueCache
from probatum.runtime.text.decoder import Decoder, Reading
from probatum.runtime.text.engine import TextEngine
from probatum.runtime.text.kernels import make_kernel
from probatum.runtime.text.pure import PureKernel
from probatum.runtime.text.requests import TextRequest
from probatum.runtime.text.sampling import choose_token, make_rule
from probatum.runtime.text.weights import open_weights
from tests.languages import (
    CANONICAL,
    CAPITAL,
    CAPITAL_GOES_ON,
    QUESTION,
    QUESTION_GOES_ON,
    RECIPE,
    ROOT,
    open_smollm2,
)
from tests.unit.canon.expand.language import small

NIGHTLY_PROMPTS = 20
NIGHTLY_TOKENS = 64


@pytest.fixture(scope="module")
def package():
    return open_smollm2()


@pytest.fixture(scope="module")
def weights(package):
    return open_weights(package.folder / package.manifest.model, package.manifest.text)


def ask(engine, requests):
    """Ask for texts all at once: their answers."""
    told = [SimpleQueue() for _ in requests]
    for request, queue in zip(requests, told, strict=True):
        engine.submit(request, lambda _: None, queue.put)
    return [queue.get(timeout=600) for queue in told]


def make_request(prompt, limit, **words):
    plain = {"temperature": 0.0, "top_k": 64, "choice": 0, "nonce": bytes(32)}
    return TextRequest(prompt=tuple(prompt), limit=limit, **(plain | words))


@pytest.mark.parametrize("kernel", ["fastest", "numpy"])
def test_without_noise_the_tokens_are_the_golden_ones(package, kernel):
    made = make_kernel(2) if kernel == "fastest" else PureKernel(2)
    engine = TextEngine(package.manifest, package.folder / package.manifest.model, kernel=made)
    short = 24 if kernel == "fastest" else 6
    one, two = ask(engine, [make_request(CAPITAL, short), make_request(QUESTION, 20)])
    assert one.ids == CAPITAL_GOES_ON[:short]
    assert two.ids == QUESTION_GOES_ON
    assert engine.score(make_request(QUESTION, 20), two.ids).chosen == two.ids
    engine.close()


@pytest.fixture(scope="module")
def blocks(package, tmp_path_factory):
    """The same model, its weights kept as they were quantised."""
    source = read_gguf(ROOT / ".cache" / "models" / RECIPE / "model.gguf", top_k=64)
    facts = ImportFacts(
        name="smollm2", version="1", licence="Apache-2.0", description="", context=2048
    )
    folder = tmp_path_factory.mktemp("blocks") / "smollm2"
    return write_text_package(source, facts, folder, lambda _done, _total: None, keeps_blocks=True)


def test_kept_in_blocks_the_model_means_and_says_the_same(package, weights, blocks):
    """The same graph, tokens and logits, of a fifth of the bytes."""
    assert blocks.manifest.canonical.digest == CANONICAL == package.manifest.canonical.digest
    file = blocks.folder / blocks.manifest.model
    assert file.stat().st_size < 100_000_000
    engine = TextEngine(blocks.manifest, file, threads=2)
    one, two = ask(engine, [make_request(CAPITAL, 24), make_request(QUESTION, 20)])
    engine.close()
    assert (one.ids, two.ids) == (CAPITAL_GOES_ON, QUESTION_GOES_ON)
    kept = open_weights(file, blocks.manifest.text)
    for kernel in (make_kernel(2), PureKernel(2)):
        found = []
        for held in (kept, weights):
            cache = KeyValueCache(held.text, 40)
            decoder = Decoder(held, kernel)
            (prompt,) = decoder.read([Reading(cache=cache, tokens=QUESTION, wanted=len(QUESTION))])
            (step,) = decoder.read([Reading(cache=cache, tokens=(504,), wanted=1)])
            found.append((prompt.tobytes(), step.tobytes()))
        assert found[0] == found[1]
        kernel.close()


@pytest.mark.nightly
def test_many_texts_in_blocks_are_those_of_float32(weights, blocks):
    kept = open_weights(blocks.folder / blocks.manifest.model, blocks.manifest.text)
    prompts = draw_prompts(8)
    ids, logits = check_bits(kept, prompts, NIGHTLY_TOKENS)
    wanted, others = check_bits(weights, prompts, NIGHTLY_TOKENS)
    assert ids == wanted
    assert [one.tobytes() for one in logits] == [one.tobytes() for one in others]


def draw_prompts(count):
    rng = np.random.default_rng(count)
    return [tuple(rng.integers(3, 49_000, rng.integers(1, 60)).tolist()) for _ in range(count)]


def generate(decoder, text, prompts, count, rule):
    """Generate of all prompts, in one batch: ids and logits, of each."""
    caches = [KeyValueCache(text, len(prompt) + count) for prompt in prompts]
    tokens, ids, found = list(prompts), [[] for _ in prompts], [[] for _ in prompts]
    for place in range(count):
        readings = [
            Reading(cache=cache, tokens=some, wanted=1)
            for cache, some in zip(caches, tokens, strict=True)
        ]
        for number, logits in enumerate(decoder.read(readings)):
            found[number].append(logits[0])
            ids[number].append(choose_token(logits[0], rule, place))
            tokens[number] = (ids[number][-1],)
    return [tuple(one) for one in ids], [np.array(one) for one in found]


def check_bits(weights, prompts, tokens):
    """Steps of a batch by the fastest kernel are a prefill by numpy, and steps alone."""
    text = weights.text
    rule = make_rule(temperature=0.7, top_k=40, choice=1, nonce=bytes(range(32)))
    kernel = make_kernel(2)
    fast, plain = Decoder(weights, kernel), Decoder(weights, PureKernel())
    ids, found = generate(fast, text, prompts, tokens, rule)
    for prompt, answer, logits in zip(prompts, ids, found, strict=True):
        cache = KeyValueCache(text, len(prompt) + tokens)
        whole = prompt + answer[:-1]
        (prefill,) = plain.read([Reading(cache=cache, tokens=whole, wanted=tokens)])
        assert prefill.tobytes() == logits.tobytes()
    ((alone,), (beside,)) = generate(fast, text, prompts[:1], tokens, rule)
    assert (alone, beside.tobytes()) == (ids[0], found[0].tobytes())
    kernel.close()
    return ids, found


def test_steps_are_a_prefill_bit_for_bit(weights):
    check_bits(weights, draw_prompts(3), 16)


@pytest.mark.nightly
def test_many_texts_are_a_prefill_bit_for_bit(weights):
    prompts = draw_prompts(NIGHTLY_PROMPTS)
    for begin in range(0, NIGHTLY_PROMPTS, 8):
        check_bits(weights, prompts[begin : begin + 8], NIGHTLY_TOKENS)


@pytest.mark.nightly
def test_steps_are_the_canonical_graph_bit_for_bit(package, weights):
    """The graph evaluated whole: its logits, its choices, its end."""
    text = weights.text
    prompts = draw_prompts(4)
    ids, found = check_bits(weights, prompts, NIGHTLY_TOKENS)
    arrays = _list_arrays(weights)
    roots = (compute_weight_root("float32", one.shape, one.tobytes()) for one in arrays)
    built = build_llama_graph(text, tuple(roots), prompts=(1, 1000), answers=(1, 1000))
    evaluator = Evaluator(built.graph, [*arrays, *built.constants])
    number = next(node.reads[0].number for node in built.graph.nodes if node.operator == "TopK")
    for prompt, answer, logits in zip(prompts, ids, found, strict=True):
        kept = {}

        def keep(at, array, kept=kept):
            if at == number:
                kept["logits"] = array.copy()

        inputs = small.make_inputs(
            prompt,
            answer,
            limit=NIGHTLY_TOKENS,
            temperature=0.7,
            top_k=40,
            choice=1,
            nonce=bytes(range(32)),
        )
        chosen, _ = evaluator.evaluate(inputs, sink=keep)
        assert chosen.tolist() == list(answer)
        assert kept["logits"].tobytes() == logits.tobytes()
    evaluator.close()


def _list_arrays(weights):
    """List weights in the file's order."""
    text = weights.text
    keys = text.kv_heads * text.head_width
    queries = text.heads * text.head_width
    found = [weights.embedding.rows]
    for layer in weights.layers:
        rows = layer.project.rows
        found += [layer.attention_norm, rows[:queries], rows[queries : queries + keys]]
        found += [rows[queries + keys :], layer.merge.rows, layer.feed_norm]
        found += [layer.expand.rows[: text.hidden], layer.expand.rows[text.hidden :]]
        found += [layer.contract.rows]
    found += [weights.final_norm, *([] if text.is_tied else [weights.head.rows])]
    return [*found, weights.cosines, weights.sines]
