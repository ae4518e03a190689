"""Who charges twice is convicted by what it signed; who lost its disk is not."""

import msgspec
import pytest

from probatum.errors import Refusal
from probatum.evidence.accusing import hold_receipt
from probatum.evidence.double_charges import find_double_charge, report_two_charges
from probatum.nodes.gateway.machine import Gateway
from probatum.protocol import limits
from probatum.protocol.bundles import decode_bundle
from probatum.protocol.dsse import Envelope, decode_payload, sign_envelope
from probatum.protocol.encoding import decode, decode_document
from probatum.protocol.messages import Answer, Answered
from probatum.protocol.receipts import decode_receipt, encode_receipt
from probatum.protocol.records import StakeRecord, get_stake_key
from tests.unit.nodes.giver import Handing
from tests.unit.nodes.money import (
    fund,
    make_paid_ask,
    make_voucher,
    start_paid_network,
    start_paying_gateway,
)
from tests.unit.nodes.network import GATEWAY, account, endpoint, operating


def read_stake(network, name):
    data = network.get_state(get_stake_key(account(name).address))
    return decode(StakeRecord, data, limit_bytes=1 << 16).bonded


def hand_over(network, work):
    name = network.world.ask(endpoint("a"), work)
    network.world.wait(name, 2)
    (answered,) = [m for m in network.world.replies[name] if isinstance(m, Answered)]
    return decode_document(Envelope, answered.receipt, limit_bytes=limits.ENVELOPE_BYTES)


def hand_priced(network):
    height = network.world.parties[endpoint("a")].machine._follower.view.height
    handing = Handing(height=height, record={"price_units": 10})
    voucher = make_voucher(
        network, handing.make_facts().request_id, 20, payer="gateway payer", payee="a"
    )
    return handing.but(message={"voucher": voucher}).make()


@pytest.fixture
def network():
    network = start_paid_network()
    fund(network, "gateway payer", "a")
    fund(network)
    return network


def test_an_honest_node_gives_who_repeats_a_hand_over_the_receipt_that_it_gave(network):
    work = hand_priced(network)
    first, second = hand_over(network, work), hand_over(network, work)
    assert first == second
    with pytest.raises(Refusal) as caught:
        report_two_charges(hold_receipt(first), hold_receipt(second))
    assert caught.value.code == "accusing.no-case"


def test_a_node_that_charges_a_repeated_hand_over_again_is_convicted(network):
    work = hand_priced(network)
    first = hand_over(network, work)
    # The cheat: another entry and a higher running total for the work that was paid.
    receipt = decode_receipt(decode_payload(first))
    log = msgspec.structs.replace(receipt.log, index=receipt.log.index + 1)
    twice = msgspec.structs.replace(receipt, log=log, running_total_units=20)
    second = sign_envelope(encode_receipt(twice), (operating("a"),))
    before = read_stake(network, "a")
    network.submit("publisher", report_two_charges(hold_receipt(first), hold_receipt(second)))
    assert read_stake(network, "a") < before


def ask_first(network, ask):
    answer = network.world.wait(network.world.ask(GATEWAY, ask))
    assert isinstance(answer, Answer), answer
    return decode_bundle(answer.bundle)


class Amnesiac(Gateway):
    """Forgets every request that it released, and charges for it again."""

    def step(self, event, moment):
        desk = self._desk
        desk._told._entries.clear()
        desk._store._pending._entries.clear()
        desk._store._final._entries.clear()
        return super().step(event, moment)


def test_a_gateway_that_charges_one_request_twice_is_convicted(network):
    world = network.world
    settings = world.parties[GATEWAY].machine._settings
    world.kill(GATEWAY)
    party = world.start(GATEWAY, Amnesiac(settings, ()), journal=[])
    world.run_until(lambda: party.machine.is_ready)
    world.run(300)
    height = party.machine.view.height
    world.run_until(lambda: party.machine.view.height > height)
    asks = [make_paid_ask(network, 1, total, nonce=b"n" * 32) for total in (100, 200)]
    first, second = (ask_first(network, ask) for ask in asks)
    assert first.custody[0].payload == second.custody[0].payload, "asked within one block"
    before = read_stake(network, "gateway")
    report = find_double_charge(first, second)
    network.submit("publisher", report)
    assert read_stake(network, "gateway") < before
    network.submit("publisher", report, code="ledger.convicted-already")


def test_a_gateway_that_lost_its_disk_cannot_be_convicted_of_it(network):
    ask = make_paid_ask(network, 1, 100, nonce=b"n" * 32)
    first = ask_first(network, ask)
    network.world.kill(GATEWAY)
    network.journals["gateway"] = []
    start_paying_gateway(network)
    network.world.run(300)
    second = ask_first(network, ask)
    with pytest.raises(Refusal) as caught:
        find_double_charge(first, second)
    assert caught.value.code == "accusing.no-case"
