"""A real language model in three nodes: the same bits, however each computes (`CANON-7`)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import msgspec
import pytest

from probatum.client.client import Client
from probatum.client.failures import RequestFailed, RequestRefused
from probatum.hub.importing.gguf_file import read_gguf
from probatum.hub.importing.writing import ImportFacts, write_text_package
from probatum.nodes.shell.config import change_config, load_config
from probatum.nodes.shell.node_settings import InferenceConfig
from probatum.ops.network import Network, NetworkPlan
from probatum.runtime.text.engine import TextEngine
from probatum.runtime.text.pure import PureKernel
from probatum.runtime.text.requests import TextRequest
from tests.e2e.processes import wait_for
from tests.languages import CAPITAL, QUESTION, QUESTION_GOES_ON, RECIPE, ROOT, open_smollm2

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]

TOKENS = 32
RULE = {"limit": TOKENS, "temperature": 1.5, "top_k": 40, "nonce": b"n" * 32}
GREEDY = {"limit": 20, "temperature": 0.0, "top_k": 64}
STARTED_S = 200


@pytest.fixture(scope="module")
def floats():
    return open_smollm2()


@pytest.fixture(scope="module")
def blocks(floats, tmp_path_factory):
    source = read_gguf(ROOT / ".cache" / "models" / RECIPE / "model.gguf", top_k=64)
    facts = ImportFacts(
        name="smollm2-blocks",
        version="1",
        licence="Apache-2.0",
        description="Weights as they were quantised.",
        context=2048,
    )
    folder = tmp_path_factory.mktemp("blocks") / "smollm2"
    return write_text_package(source, facts, folder, lambda _done, _total: None, keeps_blocks=True)


@pytest.fixture(scope="module")
def network(floats, blocks, tmp_path_factory):
    """Three nodes that serve both packages; one of them computes with two threads."""
    models = (floats.folder, blocks.folder)
    plan = NetworkPlan(nodes=3, models=models, block_interval_ms=500)
    with Network.open(tmp_path_factory.mktemp("network") / "n", plan) as network:
        network.start()
        name = network.node_names[1]
        network.kill(name)
        home = network.get_home(name)
        config = load_config(home, InferenceConfig)
        change_config(home, msgspec.structs.replace(config, threads=2))
        network.restart(name)
        yield network


@pytest.fixture(scope="module")
def client(network, tmp_path_factory):
    with Client(
        network.endpoints.gateway,
        ledger=network.endpoints.ledger,
        trust=network.trust_path,
        receipts=tmp_path_factory.mktemp("client") / "receipts",
    ) as client:
        yield client


def test_no_bit_depends_on_node_threads_batch_cache_or_form(network, client, floats):
    accounts = [
        load_config(network.get_home(name), InferenceConfig).operator for name in network.node_names
    ]

    def write(account, model, choice):
        return client.ask_text(model, CAPITAL, choice=choice, node=account, **RULE).ids

    def say_golden(account, model):
        try:
            return client.ask_text(model, QUESTION, node=account, **GREEDY).ids
        except (RequestFailed, RequestRefused):
            return None

    found = set()
    for account in accounts:
        for model in ("smollm2", "smollm2-blocks"):
            golden = wait_for(
                lambda account=account, model=model: say_golden(account, model),
                timeout_s=STARTED_S,
            )
            assert golden == QUESTION_GOES_ON
            found.add(write(account, model, 0))
    (alone,) = found

    # Eight at once at one node, one after another at the next.
    with ThreadPoolExecutor(8) as pool:
        batch = list(pool.map(lambda choice: write(accounts[0], "smollm2", choice), range(8)))
    assert batch[0] == alone
    assert len(set(batch)) == 8
    assert batch == [write(accounts[1], "smollm2-blocks", choice) for choice in range(8)]

    # And by one prefill without any node's cache, in numpy.
    engine = TextEngine(
        floats.manifest, floats.folder / floats.manifest.model, kernel=PureKernel(1)
    )
    for choice, ids in enumerate(batch):
        request = TextRequest(prompt=CAPITAL, choice=choice, **RULE)
        assert engine.score(request, ids).chosen == ids
    engine.close()
