"""`kill -9` of real processes under load: nothing acknowledged is lost, nothing is done twice.

Customers ask without pause while nodes, gateway and ledger are killed and started again, one
after the other. Afterwards every answer that a customer got must settle and verify with the trust
file alone, no place in a log may have been given twice, and every hand-over that lapsed must be
somebody's: of a party that was killed.
"""

from __future__ import annotations

import asyncio
import random
import threading
import time
from pathlib import Path

import msgspec
import numpy as np
import pytest

from probatum.client.client import AsyncClient
from probatum.client.failures import RequestFailed, RequestRefused
from probatum.client.proofs import check_now, make_check_now
from probatum.client.transport import HttpTransport
from probatum.errors import Fault, Refusal
from probatum.evidence.blame import assign_blame
from probatum.evidence.receipt import check_bundle, check_contents, check_records
from probatum.ledger.params import Params
from probatum.ops.demo.magika import read_features
from probatum.ops.network import GATEWAY, LEDGER, Network, NetworkPlan
from probatum.protocol.bundles import decode_bundle
from probatum.protocol.messages import GetBundle, GetHeader, GotBundle
from probatum.protocol.trust import decode_trust

pytestmark = pytest.mark.e2e

CUSTOMERS = ((1, 10), (1, 10), (1, 1.5), (16, 10))
"""Rows of each customer's requests, and their patience: one soon gives up, one asks for much."""
PAUSE_S = 0.02
ALL_NODES = "all nodes"
PARAMS = Params(answer_window_blocks=40, include_window_blocks=3_000, heartbeat_window_blocks=900)


class Load:
    """Customers on a thread of their own; each asks, notes what came of it, and asks again."""

    def __init__(self, network, folder):
        self.network, self.folder = network, folder
        self.answers, self.failures, self.odd = [], [], []
        self.ending = threading.Event()
        self.thread = threading.Thread(target=lambda: asyncio.run(self._run()))
        self.features = read_features(Path(__file__))[np.newaxis]

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ending.set()
        self.thread.join()

    def make_client(self):
        return AsyncClient(
            self.network.endpoints.gateway, trust=self.network.trust_path, receipts=self.folder
        )

    async def _run(self):
        await asyncio.gather(*(self._ask_again_and_again(*customer) for customer in CUSTOMERS))

    async def _ask_again_and_again(self, rows, timeout_s):
        inputs = {"bytes": np.repeat(self.features, rows, axis=0)}
        async with self.make_client() as client:
            while not self.ending.is_set():
                try:
                    self.answers.append(await client.ask("magika", inputs, timeout_s=timeout_s))
                except (RequestFailed, RequestRefused) as failure:
                    self.failures.append(failure)
                except (Refusal, Fault) as error:
                    self.odd.append(error)
                await asyncio.sleep(PAUSE_S)


def kill_again_and_again(network, load, rounds, seed):
    """Kill each party in turn, and all nodes together; return who was killed."""
    draw = random.Random(seed)
    order = [*network.node_names, GATEWAY, LEDGER, ALL_NODES]
    killed = []
    for turn in range(rounds):
        if turn % len(order) == 0:
            draw.shuffle(order)
        name = order[turn % len(order)]
        victims = network.node_names if name == ALL_NODES else (name,)
        answered = len(load.answers)
        time.sleep(draw.uniform(0.2, 0.6))
        for victim in victims:
            network.kill(victim)
        time.sleep(2.0 if name == ALL_NODES else draw.uniform(0.0, 0.4))
        for victim in victims:
            network.restart(victim)
            killed.append(victim)
        deadline = time.monotonic() + 20
        while len(load.answers) == answered and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(load.answers) > answered, f"nobody answers after {name} was killed"
        assert network.find_dead() == ()
    return killed


async def settle_all(load):
    """Settle what was answered: from whom it takes how long does not matter, that it does does."""
    async with load.make_client() as client:
        slots = asyncio.Semaphore(16)

        async def settle(answer):
            async with slots:
                await client.settle(answer, timeout_s=60)

        await asyncio.gather(*(settle(answer) for answer in load.answers))


async def get_height(network, trust):
    async with HttpTransport() as transport:
        reply = await transport.ask(network.endpoints.ledger, GetHeader(height=0), 10)
    return check_now(trust, reply.header).height


async def wait_height(network, trust, height):
    deadline = time.monotonic() + 60
    while (reached := await get_height(network, trust)) <= height:
        assert time.monotonic() < deadline, f"the ledger is still at height {reached}"
        await asyncio.sleep(0.1)
    return reached


async def find_final_bundles(network, request_ids):
    """What the gateway finally has of failed requests; None where it signed nothing."""
    found = {}
    async with HttpTransport() as transport:
        for request_id in request_ids:
            deadline = time.monotonic() + 60
            while True:
                reply = await transport.ask(
                    network.endpoints.gateway, GetBundle(request_id=request_id), 10
                )
                is_final = not isinstance(reply, GotBundle) or reply.settled
                if is_final or time.monotonic() > deadline:
                    break
                await asyncio.sleep(0.2)
            assert is_final, f"{request_id} never became final"
            found[request_id] = reply.bundle if isinstance(reply, GotBundle) else None
    return found


def check_answers(load, trust):
    """Verify all settled receipts offline, and that no place in any log was given twice."""
    places = {}
    for answer in load.answers:
        store = load.client_store
        bundle = store.load_bundle(answer.request_id)
        verified = check_bundle(bundle, make_check_now(trust))
        contents = store.load_contents(answer.request_id)
        check_contents(verified, contents.salt, contents.inputs, contents.outputs)
        kept = msgspec.structs.replace(decode_bundle(bundle), settlement=None)
        assert kept == decode_bundle(answer.bundle), "what settled is what was acknowledged"
        receipt = verified.receipt
        place = (receipt.node.account, receipt.log.session, receipt.log.index)
        assert places.setdefault(place, answer.request_id) == answer.request_id, "index used twice"
    assert len({answer.request_id for answer in load.answers}) == len(load.answers)
    return places


def check_blame(load, network, finals, height, killed):
    """Judge every request; return how often which verdict came."""
    accountable = {network.get_operator(name) for name in set(killed) - {LEDGER}}
    verdicts = {}
    bundles = [load.client_store.load_bundle(answer.request_id) for answer in load.answers]
    for bundle in (*bundles, *(data for data in finals.values() if data is not None)):
        blame = assign_blame(bundle, height)
        assert blame.status != "open", blame
        assert (blame.party is not None) == (blame.status in {"covered", "lost"})
        assert blame.reason
        if blame.party is not None:
            assert blame.party.account in accountable, "only who was killed lapsed"
        verdicts[blame.status] = verdicts.get(blame.status, 0) + 1
    unsigned = sum(data is None for data in finals.values())
    # Nobody signed anything: no duty had moved, and the asker knows that it failed and why.
    if unsigned:
        verdicts["nothing signed"] = unsigned
    return verdicts


def hold(magika_package, tmp_path, rounds, seed):
    plan = NetworkPlan(models=(magika_package,), block_interval_ms=200, params=PARAMS)
    with Network.open(tmp_path / "network", plan) as network:
        network.start()
        trust = decode_trust(network.trust_path.read_bytes())
        load = Load(network, tmp_path / "receipts")
        load.client_store = load.make_client().receipts
        with load:
            killed = kill_again_and_again(network, load, rounds, seed)
        assert load.odd == []
        asyncio.run(settle_all(load))
        finals = asyncio.run(
            find_final_bundles(network, [failure.request_id for failure in load.failures])
        )
        last = asyncio.run(get_height(network, trust)) + PARAMS.answer_window_blocks
        height = asyncio.run(wait_height(network, trust, last))
        places = check_answers(load, trust)
        for data in filter(None, finals.values()):
            receipt = check_records(decode_bundle(data)).receipt
            if receipt is not None:
                place = (receipt.node.account, receipt.log.session, receipt.log.index)
                assert place not in places, "index used twice"
        verdicts = check_blame(load, network, finals, height, killed)
    codes = sorted({failure.code for failure in load.failures})
    print(
        f"{len(killed)} killed; {len(load.answers)} answered, {len(load.failures)} failed {codes}"
    )
    print(f"verdicts: {verdicts}")
    return load, verdicts


def test_ten_kills_lose_nothing(magika_package, tmp_path, seed_round):
    load, verdicts = hold(magika_package, tmp_path, 10, seed_round)
    assert len(load.answers) > 100
    assert sum(verdicts.values()) == len(load.answers) + len(load.failures)


@pytest.mark.nightly
def test_fifty_kills_lose_nothing(magika_package, tmp_path, seed_round):
    load, verdicts = hold(magika_package, tmp_path, 50, 1_000 + seed_round)
    assert len(load.answers) > 500
    assert sum(verdicts.values()) == len(load.answers) + len(load.failures)
