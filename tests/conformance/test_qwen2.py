"""A Qwen2 beside llama.cpp: what its biases do is what that engine makes of the same file."""

import numpy as np
import pytest

from probatum.hub.importing.gguf_file import read_gguf
from probatum.hub.importing.writing import ImportFacts, write_text_package
from probatum.runtime.text.engine import TextEngine
from probatum.runtime.text.requests import TextRequest
from probatum.runtime.upstream.call import Call
from probatum.runtime.upstream.llama_cpp import LlamaServer
from probatum.runtime.upstream.wire import Wire
from tests.unit.hub.importing.foreign_models import CONTEXT, make_weights, write_gguf

servers = pytest.importorskip("tests.llama_servers")

PROMPT = (5, 6, 7, 9, 30)
ANSWER = (40, 41, 60, 33, 52, 70, 44)
FACTS = ImportFacts(name="tiny", version="1", licence="MIT", description="", context=CONTEXT)


def weigh(path, folder):
    """What the engine of an imported file says of an answer."""
    package = write_text_package(read_gguf(path, top_k=8), FACTS, folder, lambda *_: None)
    engine = TextEngine(package.manifest, package.folder / "model.safetensors")
    request = TextRequest(
        prompt=PROMPT,
        limit=len(ANSWER),
        temperature=0.0,
        top_k=8,
        choice=0,
        nonce=bytes(32),
        top_logprobs=20,
    )
    try:
        return engine.score(request, ANSWER).logprobs
    finally:
        engine.close()


def test_a_qwen2s_logprobs_are_those_of_llama_cpp(tmp_path):
    weights = make_weights(biased=True)
    path = write_gguf(tmp_path / "biased.gguf", weights, architecture="qwen2")
    places = weigh(path, tmp_path / "package")
    with servers.serve(path) as url:
        call = Call(total_s=60, quiet_s=20)
        theirs = LlamaServer(Wire(url), end_id=0).score(PROMPT, ANSWER, 20, call)
    for ours, other in zip(places, theirs, strict=True):
        said = {one.id: one.logprob for one in other.top}
        both = [(logprob, said[token]) for token, logprob in ours.top if token in said]
        assert len(both) >= 18
        assert np.abs(np.subtract(*zip(*both, strict=True))).max() < 0.02
    # Without them the same file would say something else.
    plain = {name: weight for name, weight in weights.items() if not name.endswith("bias")}
    unbiased = weigh(write_gguf(tmp_path / "plain.gguf", plain), tmp_path / "plain")
    differ = [abs(one.chosen - two.chosen) for one, two in zip(places, unbiased, strict=True)]
    assert max(differ) > 0.1
