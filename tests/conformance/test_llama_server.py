"""A real model on llama.cpp's real server, held to an independent engine's tokens (`TEXT-2`)."""

import pytest

from probatum.runtime.upstream.call import Call
from probatum.runtime.upstream.contract import make_rule
from probatum.runtime.upstream.llama_cpp import LlamaServer
from probatum.runtime.upstream.wire import Wire
from tests.languages import (
    CAPITAL,
    CAPITAL_GOES_ON,
    QUESTION,
    QUESTION_GOES_ON,
    RECIPE,
    ROOT,
    open_smollm2,
)
from tests.llama_servers import serve

pytestmark = pytest.mark.nightly

NOISE = 2.1
"""Widest that class Q moves a difference of logits: eight bits an activation, as measured."""


@pytest.fixture(scope="module")
def server():
    open_smollm2()  # fetches it, or skips
    with serve(ROOT / ".cache" / "models" / RECIPE / "model.gguf", context=512, slots=1) as url:
        yield LlamaServer(Wire(url), end_id=2)


def call():
    return Call(total_s=300, quiet_s=100)


def test_a_chats_answer_is_the_golden_one(server):
    rule = make_rule(0.0, 64, bytes(32), 0)
    ids = sum(server.generate(QUESTION, rule, 30, (2,), call()), ())
    assert ids == QUESTION_GOES_ON


@pytest.mark.parametrize(
    ("prompt", "golden"), [(CAPITAL, CAPITAL_GOES_ON), (QUESTION, QUESTION_GOES_ON)]
)
def test_golden_tokens_are_the_likeliest_within_the_noise_of_its_class(server, prompt, golden):
    places = server.score(prompt, golden, 20, call())
    assert all(place.top[0].logprob - place.given < NOISE for place in places)
    likeliest = [place.top[0].id == one for place, one in zip(places, golden, strict=True)]
    assert sum(likeliest) > 0.7 * len(golden)
