"""A node before llama.cpp's real server: a question through the gateway, and what its receipt
proves (`TEXT-2`)."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from probatum.client.client import Client
from probatum.client.failures import RequestFailed, RequestRefused
from probatum.errors import Refusal
from probatum.nodes.shell.config import InferenceConfig, write_config
from probatum.ops.network import Network, NetworkPlan
from probatum.protocol.primitives import address_to_hex
from tests.e2e.processes import wait_for
from tests.llama_servers import serve, write_tiny
from tests.upstream_packages import write_upstream

pytestmark = pytest.mark.e2e

PROMPT = (5, 6, 7)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    return write_upstream(tmp_path_factory.mktemp("package") / "tiny")


@pytest.fixture(scope="module")
def network(package, tmp_path_factory):
    folder = tmp_path_factory.mktemp("network") / "n"
    plan = NetworkPlan(nodes=1, models=(package.folder,), block_interval_ms=200)
    with (
        serve(write_tiny(tmp_path_factory.mktemp("gguf") / "tiny.gguf")) as url,
        Network.open(folder, plan) as network,
    ):
        (name,) = network.node_names
        operator = network._folder.load_account(name).address
        config = InferenceConfig(
            operator=address_to_hex(operator),
            ledger="http://127.0.0.1:1",
            upstreams=(f"{package.digest.hex()} {url}",),
        )
        write_config(network._folder.get_home(name), config)
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
                return client.ask_text(
                    "tiny-upstream", PROMPT, limit=1, top_k=1, arithmetic="float"
                )
            except (RequestFailed, RequestRefused):
                return None

        wait_for(attempt)
        yield client


def ask(client, **rest):
    return client.ask_text("tiny-upstream", PROMPT, limit=20, arithmetic="float", **rest)


def test_its_text_has_a_receipt_that_proves_who_said_it(client, package):
    heard = []
    text = ask(client, hear=heard.append)
    assert len(text.ids) == 20
    assert text.ended
    assert sum(heard, ()) == text.ids
    receipt = text.answer.receipt
    assert receipt.request.arithmetic == "float"
    assert receipt.request.model.canonical is None
    assert receipt.evidence == "signed"
    assert ask(client).ids == text.ids
    assert client.settle(text.answer).settlement is not None
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "probatum.cli", "receipt", "recheck", "--json"),
            *(text.answer.request_id, "--package", str(package.folder)),
        ],
        env={**os.environ, "PROBATUM_HOME": str(client.receipts.folder.parent)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1
    assert json.loads(done.stdout or done.stderr)["error"]["code"] == "receipt.only-signed"
    assert "who said" in done.stdout + done.stderr


def test_who_has_heard_enough_ends_it(client):
    heard = []

    def hear(news):
        heard.extend(news)
        return True

    text = ask(client, hear=hear)
    assert text.ended or text.cancelled == "enough"
    assert text.ids[: len(heard)] == tuple(heard)


def test_no_exact_answer_is_promised(client):
    with pytest.raises(Refusal) as caught:
        client.ask_text("tiny-upstream", PROMPT, limit=5)
    assert caught.value.code == "text.not-exact"
