"""Headers and records of a chain that validators seal, asked of a node that nobody believes."""

import asyncio

import pytest
from msgspec.structs import replace as change

from probatum.client.proofs import get_proven_header, get_proven_state, make_check_now, reach_header
from probatum.errors import Refusal
from probatum.protocol.encoding import encode_document
from probatum.protocol.messages import GetHeader, GetState, GotHeader, GotState, StateItem
from tests.factories import make_state
from tests.light_chain import LightChain, get_now_ms, make_voters

SETS = {
    0: make_voters([0, 1, 2, 3]),
    5: make_voters([2, 3, 4, 5]),
    9: make_voters([4, 5, 6, 7]),
}
CHAIN = LightChain(SETS, length=14)
STRANGERS = LightChain({0: make_voters(range(20, 24))}, length=14)
KEY = b"node/x"
STATE = make_state({KEY: b"record", b"node/y": b"another"})


class Transport:
    """A full node at the end of a wire."""

    def __init__(self, chain=CHAIN, at=13):
        self.chain, self.at, self.asked = chain, at, []

    async def ask(self, endpoint, message, timeout_s):
        self.asked.append(message)
        match message:
            case GetHeader(height=height):
                return GotHeader(header=self.chain.sign(height or self.at))
            case GetState(keys=keys):
                proof = STATE.prove(keys[0])
                item = StateItem(key=keys[0], value=b"record", proof=encode_document(proof))
                header = change(self.chain.headers[self.at], state_root=STATE.root.digest)
                return GotState(header=self.chain.seal(header), items=(item,))


@pytest.fixture(autouse=True)
def clock(monkeypatch):
    monkeypatch.setattr("probatum.client.proofs.time.time_ns", lambda: get_now_ms(14) * 1_000_000)


def test_the_last_header_is_reached_by_headers_between():
    transport = Transport()
    found = asyncio.run(get_proven_header(transport, "http://x", CHAIN.make_trust(0), 5))
    assert found == CHAIN.headers[13]
    assert [message.height for message in transport.asked] == [0, 6]


def test_records_are_proven_against_a_sealed_header():
    transport = Transport()
    found = get_proven_state(transport, "http://x", CHAIN.make_trust(0), (KEY,), 5)
    header, values = asyncio.run(found)
    assert (header.height, values) == (13, {KEY: b"record"})
    assert transport.asked[1:] == [GetHeader(height=6)]


def test_a_node_that_shows_another_chain_is_refused():
    transport = Transport(STRANGERS)
    with pytest.raises(Refusal) as refused:
        asyncio.run(get_proven_header(transport, "http://x", CHAIN.make_trust(0), 5))
    assert refused.value.code == "light.too-little-trust"


def test_a_node_that_answers_something_else_is_refused():
    async def ask(message):
        return GetHeader(height=1)

    with pytest.raises(Refusal) as refused:
        asyncio.run(reach_header(ask, CHAIN.make_trust(0), CHAIN.sign(13)))
    assert refused.value.code == "client.wrong-reply"


def test_a_receipt_is_checked_by_one_step_alone():
    check = make_check_now(CHAIN.make_trust(6))
    assert check(CHAIN.sign(8)) == CHAIN.headers[8]
    with pytest.raises(Refusal) as refused:
        make_check_now(CHAIN.make_trust(0))(CHAIN.sign(12))
    assert refused.value.code == "light.too-little-trust"
