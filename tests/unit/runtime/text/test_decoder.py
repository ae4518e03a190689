import msgspec
import numpy as np
import pytest

from probatum.canon.evaluate.evaluating import Evaluator
from probatum.canon.expand.language.llama import build_llama_graph
from probatum.canon.trace.roots import compute_weight_root
from probatum.errors import Misuse
from probatum.runtime.text.cache import KeyValueCache, compute_cache_bytes
from probatum.runtime.text.decoder import Decoder, Reading
from probatum.runtime.text.kernels import make_kernel
from probatum.runtime.text.pure import PureKernel
from probatum.runtime.text.sampling import choose_token, make_rule
from probatum.runtime.text.weights import open_weights
from tests.unit.runtime.text.llamas import TINY, draw_weights, write_weights

UNTIED = msgspec.structs.replace(TINY, is_tied=False, kv_heads=1, head_width=8, stop_ids=(2, 5))
BIASED = msgspec.structs.replace(TINY, qkv_bias=True)
ANSWER = 16
NONCE = bytes(range(32))
RULE = {"temperature": 0.8, "top_k": 12, "choice": 3}


class Model:
    """A llama, its file, and its canonical graph."""

    def __init__(self, folder, text, scale=1.0):
        self.text = text
        tensors = draw_weights(text, scale=scale)
        self.weights = open_weights(write_weights(folder / "model.safetensors", tensors), text)
        roots = (
            compute_weight_root("float32", array.shape, array.tobytes()) for _, array in tensors
        )
        llama = build_llama_graph(text, tuple(roots), prompts=(1, 60), answers=(1, 30))
        arrays = [*(array for _, array in tensors), *llama.constants]
        self.evaluator = Evaluator(llama.graph, arrays)

    def evaluate(self, prompt, answer):
        """Evaluate the canonical graph: choices, ended, logits."""
        logits = []

        def sink(_, array):
            if array.shape == (len(answer), self.text.vocabulary) and array.dtype == np.float32:
                logits.append(array.copy())

        chosen, ended = self.evaluator.evaluate(
            [
                np.array(prompt, np.int64),
                np.array(answer, np.int64),
                np.array([ANSWER], np.int64),
                np.array([RULE["temperature"]], np.float32),
                np.array([RULE["top_k"]], np.int64),
                np.array([RULE["choice"]], np.int64),
                np.frombuffer(NONCE, "<i8").copy(),
            ],
            sink=sink,
        )
        assert len(logits) == 1
        return chosen.tolist(), bool(ended[0]), logits[0]


@pytest.fixture(scope="module", params=["tied", "untied", "biased"])
def model(request, tmp_path_factory):
    text = {"tied": TINY, "untied": UNTIED, "biased": BIASED}[request.param]
    return Model(tmp_path_factory.mktemp("llama"), text)


def draw_prompts(*lengths):
    rng = np.random.default_rng(sum(lengths))
    return [tuple(rng.integers(0, TINY.vocabulary, length).tolist()) for length in lengths]


def generate(decoder, text, prompt, count=ANSWER):
    """Generate step by step: ids, and the logits of each."""
    rule = make_rule(nonce=NONCE, **RULE)
    cache = KeyValueCache(text, len(prompt) + count)
    tokens, ids, found = prompt, [], []
    while len(ids) < count:
        (logits,) = decoder.read([Reading(cache=cache, tokens=tokens, wanted=1)])
        found.append(logits[0])
        ids.append(choose_token(logits[0], rule, len(ids)))
        tokens = (ids[-1],)
    return tuple(ids), np.array(found)


@pytest.mark.parametrize("threads", [1, 2])
def test_steps_are_the_canonical_graph_bit_for_bit(model, threads):
    kernel = PureKernel(threads)
    decoder = Decoder(model.weights, kernel)
    for prompt in draw_prompts(1, 9, 31):
        ids, logits = generate(decoder, model.text, prompt)
        chosen, ended, wanted = model.evaluate(prompt, ids)
        assert chosen == list(ids)
        assert logits.tobytes() == wanted.tobytes()
        stops = [place for place, one in enumerate(ids) if one in model.text.stop_ids]
        assert ended == (not stops or stops[0] == ANSWER - 1)
    kernel.close()


def test_texts_in_one_batch_and_in_chunks_get_the_same_bits(model):
    """Eight texts of other lengths, read in chunks of other sizes, joined in all steps."""
    decoder = Decoder(model.weights, PureKernel())
    prompts = draw_prompts(3, 1, 17, 22, 5, 40, 8, 11)
    alone = [
        decoder.read(
            [Reading(cache=KeyValueCache(model.text, 64), tokens=prompt, wanted=len(prompt))]
        )[0]
        for prompt in prompts
    ]
    caches = [KeyValueCache(model.text, 64) for _ in prompts]
    parts = [[] for _ in prompts]
    for step in range(40):
        readings, whose = [], []
        for number, prompt in enumerate(prompts):
            done = caches[number].length
            size = 1 + (number + step) % 4
            if done < len(prompt) and (number + step) % 3:
                some = prompt[done : done + size]
                readings.append(Reading(cache=caches[number], tokens=some, wanted=len(some)))
                whose.append(number)
        for number, logits in zip(whose, decoder.read(readings) if readings else [], strict=True):
            parts[number].append(logits)
    for number, wanted in enumerate(alone):
        assert np.concatenate(parts[number]).tobytes() == wanted.tobytes()


def test_logits_that_nobody_wants_are_not_made(model):
    decoder = Decoder(model.weights, PureKernel())
    one, two = (KeyValueCache(model.text, 8) for _ in range(2))
    found = decoder.read(
        [
            Reading(cache=one, tokens=(1, 2, 3), wanted=0),
            Reading(cache=two, tokens=(1, 2, 3), wanted=2),
        ]
    )
    assert [logits.shape for logits in found] == [(0, 67), (2, 67)]
    assert one.length == two.length == 3
    assert one.keys[:, :, :3].tobytes() == two.keys[:, :, :3].tobytes()


@pytest.mark.parametrize("scale", [1e9, 1e16, 1e30])
def test_great_weights_give_the_graphs_bits_or_nothing(tmp_path, scale):
    """Overflow: squares, scores and gates that are infinite; a text that meets NaN gets none."""
    model = Model(tmp_path, TINY, scale)
    decoder = Decoder(model.weights, PureKernel())
    (prompt,) = draw_prompts(7)
    (found,) = decoder.read(
        [Reading(cache=KeyValueCache(TINY, 8), tokens=prompt, wanted=1)],
    )
    _, _, wanted = model.evaluate(prompt, (0,))
    assert (found is None) == (not np.isfinite(wanted).all())
    if found is not None:
        assert found.tobytes() == wanted.tobytes()


def test_one_text_that_is_not_finite_harms_no_other(tmp_path):
    text = msgspec.structs.replace(TINY, is_tied=False)
    tensors = draw_weights(text)
    for name, array in tensors:  # one element of a state that one token alone sets, and grows
        if name.endswith(("o_proj.weight", "down_proj.weight")):
            array[0] = 0
        elif name.endswith("embed_tokens.weight"):
            array[:, 0] = np.arange(len(array)) == 66
        elif name.endswith("input_layernorm.weight"):
            array[0] = 3e38
    weights = open_weights(write_weights(tmp_path / "m", tensors), text)
    decoder = Decoder(weights, PureKernel())

    def read(*texts):
        return decoder.read(
            [Reading(cache=KeyValueCache(TINY, 8), tokens=tokens, wanted=1) for tokens in texts]
        )

    (alone,) = read((4, 5))
    bad, beside = read((3, 66, 7), (4, 5))
    assert bad is None
    assert beside is not None
    assert beside.tobytes() == alone.tobytes()


def test_a_cache_takes_what_it_is_said_to_take():
    cache = KeyValueCache(TINY, 50)
    held = cache.keys.nbytes + cache.values.nbytes + cache.norms.nbytes + cache.most.nbytes
    assert compute_cache_bytes(TINY, 50) == held
    assert cache.room == 50


def test_more_threads_than_rows_of_a_matrix_make_no_difference(tmp_path):
    text = msgspec.structs.replace(TINY, width=1, hidden=3)
    weights = open_weights(write_weights(tmp_path / "m", draw_weights(text)), text)

    def read(threads):
        kernel = PureKernel(threads)
        one = Reading(cache=KeyValueCache(text, 3), tokens=(1, 2, 3), wanted=3)
        (logits,) = Decoder(weights, kernel).read([one])
        kernel.close()
        return logits.tobytes()

    assert read(5) == read(1)


def test_what_a_cache_has_no_room_for_is_not_written(model):
    """A compiled kernel writes where it is told to: beyond the cache lies other memory."""
    decoder = Decoder(model.weights, PureKernel())
    for room in (2, model.text.context + 9):
        cache = KeyValueCache(model.text, room)
        tokens = (1,) * (min(room, model.text.context) + 1)
        with pytest.raises(Misuse) as caught:
            decoder.read([Reading(cache=cache, tokens=tokens, wanted=1)])
        assert caught.value.code == "text.no-room"


@pytest.mark.parametrize("make", [PureKernel, make_kernel])
def test_a_bias_that_makes_a_row_infinite_ends_the_text(tmp_path, make):
    """Each summand is finite, and their rounded sum is not."""
    tensors = dict(draw_weights(BIASED))
    tensors["model.layers.1.self_attn.q_proj.weight"] *= np.float32(1e38)
    tensors["model.layers.1.self_attn.q_proj.bias"][:] = np.finfo(np.float32).max
    path = write_weights(tmp_path / "model.safetensors", list(tensors.items()))
    kernel = make()
    decoder = Decoder(open_weights(path, BIASED), kernel)
    cache = KeyValueCache(BIASED, 8)
    assert decoder.read([Reading(cache=cache, tokens=(1, 2, 3, 4), wanted=4)]) == [None]
    kernel.close()
