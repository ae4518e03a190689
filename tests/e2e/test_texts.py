"""Texts from real processes: streamed, gone on with by another node, ended early (`TEXT-1`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import msgspec
import pytest

from probatum.client.client import Client
from probatum.client.failures import RequestFailed, RequestRefused
from probatum.errors import Refusal
from probatum.evidence.receipt import check_pending
from probatum.ops.demo.killing import measure_work
from probatum.ops.network import Network, NetworkPlan
from probatum.runtime.text.engine import TextEngine
from probatum.runtime.text.requests import TextRequest
from tests.e2e.processes import wait_for
from tests.text_packages import TEXT, write_text_package

pytestmark = pytest.mark.e2e

PROMPT = (5, 6, 7, 8)
NONCE = b"n" * 32
RULE = {"limit": 300, "temperature": 1.0, "top_k": 16, "nonce": NONCE}
SLOW = msgspec.structs.replace(TEXT, width=512, hidden=2048)
"""Takes over half a second to write what `RULE` asks for, on an idle machine."""
ATTEMPTS = 20
"""A busy machine may hold the client up until all is written; then the text is asked for again."""


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return write_text_package(tmp_path_factory.mktemp("package") / "tiny", SLOW)


@pytest.fixture(scope="module")
def right(package):
    """What the engine alone writes, without a network; a prompt whose text is long."""
    engine = TextEngine(package.manifest, package.folder / "model.safetensors")
    try:
        for first in range(3, 60):
            done = []
            request = TextRequest(prompt=(first, *PROMPT), choice=0, **RULE)
            engine.submit(request, lambda _: None, done.append)
            wait_for(lambda done=done: done)
            if len(done[0].ids) > 200:
                return request.prompt, done[0].ids
    finally:
        engine.close()
    raise AssertionError


@pytest.fixture(scope="module")
def network(package, tmp_path_factory):
    plan = NetworkPlan(nodes=2, models=(package.folder,), block_interval_ms=200)
    with Network.open(tmp_path_factory.mktemp("network") / "n", plan) as network:
        network.start()
        yield network


@pytest.fixture
def client(network, tmp_path):
    with Client(
        network.endpoints.gateway,
        ledger=network.endpoints.ledger,
        trust=network.trust_path,
        receipts=tmp_path / "receipts",
    ) as client:

        def attempt():
            try:
                return client.ask_text("tiny", PROMPT, limit=1, top_k=1)
            except (RequestFailed, RequestRefused):
                return None

        wait_for(attempt)
        yield client


def test_a_text_comes_as_it_is_written(client, package, right):
    prompt, ids = right
    for _ in range(ATTEMPTS):
        heard = []
        text = client.ask_text("tiny", prompt, hear=heard.append, **RULE)
        if len(heard) > 10:
            break
    assert text.ids == ids
    assert text.ended
    assert text.cancelled is None
    assert sum(heard, ()) == ids
    assert len(heard) > 10, "tokens of moments come together, and never all of them"
    assert text.answer.receipt.request.nonce == NONCE.hex()
    verified = client.settle(text.answer)
    assert verified.settlement is not None
    assert json.loads(recheck(client, package, text, 0, "--json"))["right"] is True


def recheck(client, package, text, status, *words):
    """Recheck a text as a stranger does, by the command line."""
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "probatum.cli", "receipt", "recheck"),
            *(text.answer.request_id, "--package", str(package.folder), *words),
        ],
        env={**os.environ, "PROBATUM_HOME": str(client.receipts.folder.parent)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == status, (done.stdout, done.stderr)
    return done.stdout


def test_who_has_heard_enough_ends_it(client, package, right):
    prompt, ids = right
    heard = []

    def hear(news):
        heard.extend(news)
        return len(heard) >= 40

    for _ in range(ATTEMPTS):
        heard.clear()
        text = client.ask_text("tiny", prompt, hear=hear, **RULE)
        if not text.ended:
            break
    assert text.cancelled == "enough"
    assert not text.ended
    assert 40 <= len(text.ids) < len(ids)
    assert text.ids == ids[: len(text.ids)]
    assert client.settle(text.answer).cancellation.seen >= 40
    assert "cancelled" in recheck(client, package, text, 0)


def test_another_node_goes_on_where_one_was_killed(client, network, right):
    """The node that writes is the one that is busy."""
    prompt, ids = right
    heard, killed = [], []

    def hear(news):
        heard.extend(news)
        if len(heard) >= 100 and not killed:
            now = measure_work(network)
            killed.append(max(before, key=lambda name: now[name] - before[name]))
            network.kill(killed[0])

    for _ in range(ATTEMPTS):
        heard.clear()
        killed.clear()
        before = measure_work(network)
        text = client.ask_text("tiny", prompt, hear=hear, **RULE)
        assert killed
        assert tuple(heard) == text.ids == ids
        branches = check_pending(text.answer.bundle).branches
        network.restart(killed[0])
        if len(branches) > 1:
            break
    assert [branch.acknowledged for branch in branches] == [True, True]
    assert branches[1].record.prefix is not None
    assert text.answer.receipt.node == branches[1].record.taker


def test_what_is_out_of_bounds_is_refused(client):
    with pytest.raises(Refusal) as caught:
        client.ask_text("tiny", (TEXT.vocabulary,), limit=5)
    assert caught.value.code == "text.bad-token"
    with pytest.raises(Refusal) as caught:
        client.ask_text("tiny", (1,), limit=700)
    assert caught.value.code == "text.too-long"
