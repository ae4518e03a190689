"""Where a gateway has manifests from, and how long anybody waits for one."""

import msgspec
import pytest

from probatum.machine import events
from probatum.protocol.hashing import sha256
from probatum.protocol.manifests import encode_manifest
from probatum.protocol.messages import Answer, Ask, GetManifest, GotManifest, Refused
from probatum.protocol.transactions.kinds import PublishModel
from tests.unit.nodes.network import GATEWAY, MANIFEST, PACKAGE, Network, endpoint, tensor

ASK = Ask(
    model="doubler",
    version=None,
    inputs=(tensor(b"\1\2"),),
    assurance="signed",
    salt=None,
    nonce=None,
    request_id=None,
    timeout_ms=0,
)
GOT = GotManifest(manifest=encode_manifest(MANIFEST))


@pytest.fixture
def network():
    """Nodes that offer, and a gateway that has just been started."""
    network = Network(("a", "b"))
    network.register("gateway", "gateway")
    for name in "ab":
        network.start_ready_node(name)
    network.world.run(500)
    return network


def hide(network, names="ab"):
    """Let nodes send something else instead of their manifest."""
    network.world.meddle = lambda to, message: (
        GotManifest(manifest=b"{}")
        if isinstance(message, GotManifest) and to in {endpoint(name) for name in names}
        else message
    )


def list_asked(network):
    return [
        to.removeprefix("http://")
        for who, to, message in network.world.sent
        if isinstance(message, GetManifest) and who == GATEWAY
    ]


def get(network, package=PACKAGE):
    return network.world.wait(network.world.ask(GATEWAY, GetManifest(package=package)))


def test_it_is_fetched_once_when_it_is_offered(network):
    network.start_gateway()
    network.world.run(300)
    assert len(list_asked(network)) == 1
    assert get(network) == GOT
    assert isinstance(network.world.wait(network.world.ask(GATEWAY, ASK)), Answer)
    assert len(list_asked(network)) == 1


def test_a_node_that_sends_another_is_followed_by_the_next(network):
    hide(network, "a")
    network.start_gateway()
    network.world.run(300)
    assert get(network) == GOT
    assert list_asked(network)[-1] == "b"


def test_who_asks_waits_until_a_node_has_it(network):
    hide(network)
    network.start_gateway()
    names = [
        network.world.ask(GATEWAY, question) for question in (ASK, GetManifest(package=PACKAGE))
    ]
    network.world.run(1_000)
    assert [network.world.replies[name] for name in names] == [[], []]
    hide(network, "")
    assert isinstance(network.world.wait(names[0]), Answer)
    assert network.world.wait(names[1]) == GOT


def test_who_asks_does_not_wait_for_ever(network):
    hide(network)
    network.start_gateway(request_timeout_ms=3_000)
    begun = network.world.now_ms
    refused = network.world.wait(network.world.ask(GATEWAY, ASK))
    assert (refused.code, refused.retryable) == ("gateway.no-manifest", True)
    assert network.world.now_ms - begun < 5_000
    asked = len(list_asked(network))
    network.world.run(5_000)
    assert len(list_asked(network)) == asked, "nobody waits, so nobody is asked"


def test_who_hangs_up_is_forgotten(network):
    hide(network)
    gateway = network.start_gateway()
    name = network.world.ask(GATEWAY, ASK)
    network.world.run(100)
    network.world.tell(GATEWAY, events.Hung(name))
    network.world.run(1_000)
    manifests = gateway.machine._manifests
    assert (manifests._held_bytes, manifests._waiting, len(manifests._fetches)) == (0, {}, 0)
    hide(network, "")
    network.world.run(1_000)
    assert network.world.replies[name] == []


def test_bounds_are_kept(network):
    hide(network)
    network.start_gateway(open_requests=1)
    network.world.ask(GATEWAY, ASK)
    network.world.run(10)
    refused = network.world.wait(network.world.ask(GATEWAY, ASK))
    assert (refused.code, refused.retryable) == ("gateway.busy", True)


def test_stopping_tells_who_waits(network):
    hide(network)
    gateway = network.start_gateway()
    name = network.world.ask(GATEWAY, ASK)
    network.world.run(100)
    network.world.tell(GATEWAY, events.Stopping())
    assert network.world.wait(name).code == "gateway.stopping"
    network.world.run(10)
    assert gateway.halted.code == "gateway.stopped"


def test_what_nobody_offers_has_no_manifest(network):
    network.start_gateway()
    assert get(network, sha256(b"nothing")).code == "gateway.no-node"


def test_when_the_last_offer_is_gone_nobody_waits(network):
    hide(network)
    gateway = network.start_gateway()
    name = network.world.ask(GATEWAY, ASK)
    network.world.run(100)
    gateway.machine.view._offers.clear()
    assert network.world.wait(name).code == "gateway.no-node"


def test_bytes_that_are_no_manifest_are_said_to_be_none(network):
    data = b"{}"
    network.submit(
        "publisher", PublishModel(name="hollow", version="1", package=sha256(data), size_bytes=1)
    )
    gateway = network.start_gateway()
    offers = gateway.machine.view._offers
    offers[sha256(data)] = offers[PACKAGE]
    network.world.meddle = lambda to, message: (
        GotManifest(manifest=data) if isinstance(message, Refused) and to != GATEWAY else message
    )
    ask = msgspec.structs.replace(ASK, model="hollow")
    refused = network.world.wait(network.world.ask(GATEWAY, ask))
    assert (refused.code, refused.retryable) == ("gateway.bad-package", False)
