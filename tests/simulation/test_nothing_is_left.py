"""Whatever nodes and clients do: once it is calm, neither gateway nor node holds anything.

Not a promise to others but to the operator: no request, conversation, timer or byte is held for
ever. Messages are lost, replayed and replaced, models crash or lie, nodes are killed, askers hang
up, ids are repeated with and without salt.
"""

from __future__ import annotations

import random

import pytest

from probatum.errors import Fault
from probatum.machine import events
from probatum.protocol.messages import (
    Accepted,
    Answer,
    Answered,
    Ask,
    GotLogFile,
    HandOverWork,
    Refused,
)
from probatum.protocol.primitives import make_request_id
from tests.unit.nodes.network import GATEWAY, Network, endpoint, tensor
from tests.unit.nodes.world import double

NODES = ("a", "b")
SEEDS = 12
REQUESTS = 120
LIES = (
    Accepted(record=b"{}"),
    Answered(receipt=b"{}", outputs=()),
    Refused(code="schema.missing-tensor", message=""),
    Refused(code="no code", message="\x1b"),
    Refused(code="node.busy", message="", retryable=True),
    GotLogFile(data=b""),
)


def start(chance):
    network = Network(NODES)
    network.register("gateway", "gateway")
    for name in NODES:
        network.start_ready_node(name)
    network.start_gateway(
        accept_timeout_ms=50, branch_timeout_ms=200, request_timeout_ms=1_500, retry_pause_ms=20
    )
    network.world.run(500)
    seen = []

    def meddle(_, message):
        if not isinstance(message, Accepted | Answered | HandOverWork | Refused):
            return message
        seen.append(message)
        fate = chance.random()
        if fate < 0.15:
            return None
        if fate < 0.22:
            return chance.choice(LIES)
        return chance.choice(seen[-30:]) if fate < 0.3 else message

    network.world.meddle = meddle
    return network


def spoil_model(network, name, chance):
    def compute(inputs):
        fate = chance.random()
        if fate < 0.1:
            raise Fault("runtime.crashed", "the engine crashed", retryable=True)
        return inputs if fate < 0.2 else double(inputs)

    network.world.parties[endpoint(name)].compute = compute


def ask(network, chance):
    known = make_request_id(bytes([chance.randrange(8)]) * 16)
    message = Ask(
        model="doubler",
        version=None,
        inputs=chance.choice(((tensor(b"\1"),), (tensor(b"\2"),), (), (tensor(b"\1", "q"),))),
        assurance="signed",
        salt=b"s" * 32 if chance.random() < 0.6 else None,
        nonce=None,
        request_id=known if chance.random() < 0.6 else None,
        timeout_ms=chance.choice((0, 1, 5, 400, 10**12)),
    )
    return network.world.ask(GATEWAY, message)


def blow(network, chance):
    world = network.world
    names = []
    for _ in range(REQUESTS):
        names.append(ask(network, chance))
        world.run(chance.randrange(60))
        if chance.random() < 0.3:
            world.tell(GATEWAY, events.Hung(chance.choice(names)))
        for name in NODES:
            if chance.random() < 0.2:
                hung = f"conversation-{chance.randrange(world._numbers)}"
                world.tell(endpoint(name), events.Hung(hung))
            if chance.random() < 0.03:
                world.kill(endpoint(name))
                network.start_node(name, compute_ms=chance.choice((1, 5, 100, 400)))
                spoil_model(network, name, chance)
    return names


@pytest.mark.parametrize("offset", range(SEEDS))
def test_after_the_storm_nothing_is_held(offset, seed_round):
    chance = random.Random(SEEDS * seed_round + offset)
    network = start(chance)
    world = network.world
    names = blow(network, chance)
    world.meddle = lambda _, message: message
    world.run(35_000)
    replies = [world.replies[name] for name in names]
    assert sum(isinstance(reply, Answer) for told in replies for reply in told) > 2
    assert max(map(len, replies)) == 1
    party = world.parties[GATEWAY]
    desk, collector = party.machine._desk, party.machine._collector
    assert party.halted is None
    assert (len(desk._open), desk._open_bytes, desk._waiting) == (0, 0, {})
    assert (len(collector), collector._jobs, collector._sessions) == (0, {}, {})
    assert [timer for timer in party.timers if not timer.startswith("follow:")] == []
    health = desk._failover._health.get(world.now_ms)
    assert [seen.inflight for seen in health.values()] == [0] * len(health)
    for name in NODES:
        node = world.parties[endpoint(name)]
        work = node.machine._desk
        assert node.halted is None
        assert (len(work), work._held_bytes, work._waiting, work._answering) == (0, 0, {}, {})
