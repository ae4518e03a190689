"""Eight streams at a time while nodes are killed: no token is lost or altered (`TEXT-1`).

``PROBATUM_SOAK_S`` shortens it.
"""

from __future__ import annotations

import os
import random
import threading
import time

import pytest

from probatum.client.client import Client
from probatum.client.failures import RequestFailed
from probatum.evidence.receipt import check_pending
from probatum.ops.network import Network, NetworkPlan
from probatum.runtime.text.engine import TextEngine
from probatum.runtime.text.requests import TextRequest
from tests.text_packages import write_text_package

pytestmark = [pytest.mark.e2e, pytest.mark.nightly]

SECONDS = float(os.environ.get("PROBATUM_SOAK_S", "1800"))
STREAMS = 8
LIMIT = 250
PAUSE_S = 6.0
RETRIES_S = 60.0


class Streams:
    """Readers, each of one text after the other; what the engine alone writes is right."""

    def __init__(self, network, engine, folder, seed):
        self.network, self.engine, self.folder, self.seed = network, engine, folder, seed
        self.until = time.monotonic() + SECONDS
        self.wrong, self.whole, self.resumed, self.failed = [], 0, 0, 0
        self.lock = threading.Lock()

    def write(self, prompt, nonce):
        done, ready = [], threading.Event()
        request = TextRequest(
            prompt=prompt, limit=LIMIT, temperature=1.0, top_k=16, choice=0, nonce=nonce
        )
        self.engine.submit(request, lambda _: None, lambda one: (done.append(one), ready.set()))
        assert ready.wait(120)
        return done[0].ids

    def read(self, number):
        chance = random.Random(f"{self.seed}/{number}")
        with Client(self.network.endpoints.gateway, receipts=self.folder / str(number)) as client:
            while time.monotonic() < self.until:
                prompt = tuple(chance.randrange(3, 60) for _ in range(chance.randint(1, 20)))
                nonce = chance.randbytes(32)
                heard = []
                try:
                    text = client.ask_text(
                        "tiny",
                        prompt,
                        limit=LIMIT,
                        temperature=1.0,
                        top_k=16,
                        nonce=nonce,
                        hear=heard.extend,
                        timeout_s=RETRIES_S,
                    )
                except RequestFailed:
                    # Every node is down at one time: told so, and nothing was altered.
                    with self.lock:
                        self.failed += 1
                    time.sleep(0.5)
                    continue
                right = self.write(prompt, nonce)
                with self.lock:
                    if not tuple(heard) == text.ids == right:
                        self.wrong.append((prompt, tuple(heard), text.ids, right))
                    self.whole += 1
                    branches = check_pending(text.answer.bundle).branches
                    self.resumed += any(one.record.prefix is not None for one in branches)

    def kill(self):
        """Kill one node after the other, and start it again."""
        chance = random.Random(self.seed)
        while time.monotonic() < self.until:
            name = chance.choice(self.network.node_names)
            time.sleep(chance.uniform(0.2, PAUSE_S))
            self.network.kill(name)
            time.sleep(chance.uniform(0.2, 1.0))
            self.network.restart(name)


def test_eight_streams_lose_no_token_while_nodes_are_killed(tmp_path, seed_round):
    package = write_text_package(tmp_path / "tiny")
    engine = TextEngine(package.manifest, package.folder / "model.safetensors")
    plan = NetworkPlan(nodes=3, models=(package.folder,), block_interval_ms=200)
    try:
        with Network.open(tmp_path / "network", plan) as network:
            network.start()
            network.wait_serving(network.node_names)
            streams = Streams(network, engine, tmp_path / "receipts", seed_round)
            readers = [
                threading.Thread(target=streams.read, args=(number,)) for number in range(STREAMS)
            ]
            for reader in readers:
                reader.start()
            streams.kill()
            for reader in readers:
                reader.join(2 * RETRIES_S)
                assert not reader.is_alive()
    finally:
        engine.close()
    print(
        f"\n{streams.whole} texts, {streams.resumed} of them gone on with, {streams.failed} refused"
    )
    assert streams.wrong == []
    assert streams.whole > SECONDS / 2
    assert streams.failed <= streams.whole / 10
    assert streams.resumed > 0
