"""Against llama.cpp's real server, run in this process (`TEXT-2`)."""

import math
import threading
import time

import numpy as np
import pytest

from probatum.errors import Fault
from probatum.protocol.logprobs import pack_logprobs, unpack_logprobs
from probatum.runtime.upstream.call import Call
from probatum.runtime.upstream.contract import make_rule, read_logprobs
from probatum.runtime.upstream.llama_cpp import LlamaServer
from probatum.runtime.upstream.wire import Wire
from tests.llama_servers import CONTEXT, serve, write_tiny
from tests.unit.hub.importing.foreign_models import (
    HEAD,
    HEADS,
    KV_HEADS,
    LAYERS,
    make_tokenizer,
    make_weights,
)

GREEDY = make_rule(0.0, 20, bytes(32), 0)
WILD = make_rule(5.0, 256, bytes(32), 0)
STOPS = (0,)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    with serve(write_tiny(tmp_path_factory.mktemp("gguf") / "tiny.gguf")) as url:
        yield LlamaServer(Wire(url), end_id=0)


def call():
    return Call(total_s=60, quiet_s=20)


def write(server, prompt, limit=30, rule=GREEDY):
    return sum(server.generate(prompt, rule, limit, STOPS, call()), ())


def compute_logprobs(ids, weights=make_weights()):  # noqa: B008 - read only
    """The same model in float64, of the last token's place."""
    w = {name: weight.astype(float) for name, weight in weights.items()}

    def norm(x, weight):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * weight

    def turn(x):
        half = HEAD // 2
        angles = np.arange(len(ids))[:, None] * 10000.0 ** (-np.arange(half) * 2 / HEAD)
        c, s = np.cos(angles)[:, None], np.sin(angles)[:, None]
        a, b = x[..., :half], x[..., half:]
        return np.concatenate([a * c - b * s, b * c + a * s], -1)

    x = w["model.embed_tokens.weight"][list(ids)]
    for layer in range(LAYERS):
        block = f"model.layers.{layer}."
        h = norm(x, w[block + "input_layernorm.weight"])
        q, k, v = (h @ w[f"{block}self_attn.{one}_proj.weight"].T for one in "qkv")
        q = turn(q.reshape(len(ids), HEADS, HEAD))
        k = turn(k.reshape(len(ids), KV_HEADS, HEAD)).repeat(HEADS // KV_HEADS, 1)
        v = v.reshape(len(ids), KV_HEADS, HEAD).repeat(HEADS // KV_HEADS, 1)
        scores = np.einsum("qhd,khd->hqk", q, k) / math.sqrt(HEAD)
        scores[:, np.triu(np.ones((len(ids), len(ids)), bool), 1)] = -np.inf
        share = np.exp(scores - scores.max(-1, keepdims=True))
        share /= share.sum(-1, keepdims=True)
        mixed = np.einsum("hqk,khd->qhd", share, v).reshape(len(ids), -1)
        x = x + mixed @ w[block + "self_attn.o_proj.weight"].T
        h = norm(x, w[block + "post_attention_layernorm.weight"])
        gate, up = (h @ w[f"{block}mlp.{one}_proj.weight"].T for one in ("gate", "up"))
        x = x + (gate / (1 + np.exp(-gate)) * up) @ w[block + "mlp.down_proj.weight"].T
    logits = norm(x[-1], w["model.norm.weight"]) @ w["model.embed_tokens.weight"].T
    return logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())


def test_its_greedy_choice_is_the_likeliest_token(server):
    ids = write(server, (5, 6, 7), limit=12)
    assert len(ids) == 12
    for at, token in enumerate(ids):
        logprobs = compute_logprobs((5, 6, 7, *ids[:at]))
        assert logprobs[token] > logprobs.max() - 0.02


def test_no_token_is_lost_whose_bytes_are_no_whole_character(server):
    """Most of these random tokens are single bytes: the server's own event stream drops many."""
    for seed in range(4):
        rule = make_rule(5.0, 256, bytes([seed] * 32), 0)
        ids = write(server, (5, 6, 7), rule=rule)
        assert len(ids) == 30 or ids[-1] == 0
        # Each token was the one after those before: so says the likelihood that it is given.
        assert all(0 <= one < 261 for one in ids)
        places = server.score((5, 6, 7), ids[:6], 5, call())
        for at, place in enumerate(places):
            logprobs = compute_logprobs((5, 6, 7, *ids[:at]))
            assert place.given is None or abs(place.given - logprobs[ids[at]]) < 0.02


def test_the_nonce_makes_the_seed(server):
    again = [write(server, (9, 10), rule=make_rule(1.0, 50, b"n" * 32, 0)) for _ in range(2)]
    other = write(server, (9, 10), rule=make_rule(1.0, 50, b"m" * 32, 0))
    second = write(server, (9, 10), rule=make_rule(1.0, 50, b"n" * 32, 1))
    assert again[0] == again[1]
    assert len({again[0], other, second}) == 3


def test_a_text_ends_with_a_stop_token(server):
    ids = write(server, (5, 6, 7))
    stop = ids[4]
    ended = sum(server.generate((5, 6, 7), GREEDY, 30, (0, stop), call()), ())
    assert ended == ids[: ids.index(stop) + 1]


def test_given_tokens_are_weighed(server):
    answer = (20, *make_tokenizer().encode("é").ids, 50, 0)
    places = server.score((5, 6, 7), answer, 4, call())
    assert len(places) == len(answer)
    for at, place in enumerate(places):
        logprobs = compute_logprobs((5, 6, 7, *answer[:at]))
        assert len(place.top) == 4
        for rank, one in enumerate(place.top):
            assert abs(one.logprob - np.sort(logprobs)[-1 - rank]) < 0.02
            assert abs(one.logprob - logprobs[one.id]) < 0.02
        if place.given is not None:
            assert abs(place.given - logprobs[answer[at]]) < 0.02
    # The first byte of é alone is no character: the server reports no value of its own for it.
    assert [place.given is None for place in places] == [False, True, False, False, False]


@pytest.mark.parametrize(("top", "rule"), [(0, GREEDY), (4, make_rule(5.0, 256, b"s" * 32, 0))])
def test_a_text_is_weighed_as_it_is_written(server, top, rule):
    """Also tokens that are no whole characters, and a stop token; and the text is the same."""
    plain = write(server, (5, 6, 7), limit=20, rule=rule)
    said = list(server.generate_weighed((5, 6, 7), rule, 20, (0,), top, call()))
    ids = sum((run for run, _ in said), ())
    assert ids == plain
    places = [place for _, one in said for place in one]
    assert len(places) == len(ids)
    for at, (token, place) in enumerate(zip(ids, places, strict=True)):
        logprobs = compute_logprobs((5, 6, 7, *ids[:at]))
        passed = read_logprobs(place, token, top)
        assert abs(passed.chosen - logprobs[token]) < 0.02
        assert len(passed.top) == top
        assert unpack_logprobs(pack_logprobs((passed,), top), (token,), top) == (passed,)


def test_a_context_that_is_too_small_is_a_fault(server):
    with pytest.raises(Fault) as caught:
        write(server, (5,) * 60, limit=20)
    assert caught.value.code in {"upstream.other-end", "upstream.refused"}
    with pytest.raises(Fault) as caught:
        write(server, (5,) * 70)
    assert caught.value.code == "upstream.refused"
    assert "context" in caught.value.message


def test_it_says_what_it_is(server):
    facts = server.profile(call())
    assert facts.context == CONTEXT
    assert facts.build


def test_another_thread_ends_it(server):
    one = call()
    heard, ended = [], []

    def listen():
        for _ in range(10_000):
            heard.extend(server.generate((5, 6), GREEDY, 40, STOPS, one))

    def run():
        with pytest.raises(Fault) as caught:
            listen()
        ended.append(caught.value.code)

    thread = threading.Thread(target=run)
    thread.start()
    while not heard:
        time.sleep(0.001)
    one.cancel()
    thread.join(10)
    assert ended == ["upstream.cancelled"]
