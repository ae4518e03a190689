"""A node is killed while it tells logprobs; readers of the OpenAI API do not notice (`TEXT-1`)."""

from __future__ import annotations

import json
import urllib.request
from dataclasses import replace

import pytest

from probatum.errors import Refusal
from probatum.evidence.receipt import check_pending
from probatum.ops.demo.killing import measure_work
from probatum.ops.network import Network, NetworkPlan
from probatum.protocol.openai_text import make_seed_nonce
from probatum.runtime.text.engine import TextEngine
from probatum.runtime.text.requests import TextRequest
from tests.conformance.test_openai_text import write_package
from tests.e2e.processes import wait_for

pytestmark = pytest.mark.e2e

LIMIT, TOP = 900, 3


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return write_package(tmp_path_factory.mktemp("p"), layers=12, context=1_000, name="slow")


@pytest.fixture
def network(package, tmp_path):
    plan = NetworkPlan(nodes=2, models=(package.folder,), block_interval_ms=200)
    with Network.open(tmp_path / "n", plan) as network:
        network.start()
        assert wait_for(lambda: list(stream(network, 1)))
        yield network


def stream(network, limit):
    """Ask for a text that goes round in circles; give the events as they come."""
    body = {"model": "slow", "messages": [{"role": "user", "content": "hello"}], "stream": True}
    body |= {"temperature": 0, "seed": 1, "max_tokens": limit}
    data = json.dumps(body | {"logprobs": True, "top_logprobs": TOP}).encode()
    try:
        url = f"{network.endpoints.gateway}/v1/chat/completions"
        with urllib.request.urlopen(url, data, timeout=60) as lines:
            for line in lines:
                if line.startswith(b"data: {"):
                    yield json.loads(line.removeprefix(b"data: "))
    except OSError:
        return


def listen_and_kill(network):
    """Kill who writes once some tokens are there; give all tokens, the evidence, its branches."""
    told, killed, evidence = [], None, None
    before = measure_work(network)
    for event in stream(network, LIMIT):
        for choice in event["choices"]:
            told += (choice["logprobs"] or {"content": []})["content"]
        (evidence,) = event.get("probatum", (None,))
        if killed is None and len(told) > 40:
            now = measure_work(network)
            killed = max(before, key=lambda name: now[name] - before[name])
            network.kill(killed)
    assert evidence is not None, "the stream broke off"

    def find_receipt():
        url = f"{network.endpoints.gateway}/receipts/{evidence['receipt']}"
        try:
            with urllib.request.urlopen(url) as reply:
                return check_pending(reply.read())
        except (OSError, Refusal):
            return None

    branches = wait_for(find_receipt).branches
    network.restart(killed)
    return told, evidence, branches


def test_another_node_goes_on_with_tokens_and_logprobs(network, package):
    # A busy machine may hold this reader up until all is written: nobody has to go on then.
    for _ in range(20):
        told, evidence, branches = listen_and_kill(network)
        if len(branches) == 2:
            break
    assert len(branches) == 2
    assert branches[1].record.prefix is not None
    ids = tuple(evidence["tokens"])
    # Held to what one engine says of the whole text, by one prefill.
    engine = TextEngine(package.manifest, package.folder / "model.safetensors")
    request = TextRequest(
        prompt=tuple(evidence["prompt_tokens"]),
        limit=LIMIT,
        temperature=0.0,
        top_k=evidence["top_k"],
        choice=0,
        nonce=make_seed_nonce(1),
    )
    try:
        score = engine.score(replace(request, top_logprobs=TOP), ids)
    finally:
        engine.close()
    assert score.chosen == ids
    assert len(told) == len(ids) - (ids[-1] == 0)
    right = score.logprobs[: len(told)]
    assert [one["logprob"] for one in told] == [one.chosen for one in right]
    tops = [[one["logprob"] for one in each["top_logprobs"]] for each in told]
    assert tops == [[logprob for _, logprob in one.top] for one in right]
