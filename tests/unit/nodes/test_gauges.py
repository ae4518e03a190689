"""What each role shows of itself, and that the page for who is on duty names every figure."""

import re

import pytest

from probatum.nodes.shell.meter import Gauged, Meter
from probatum.protocol.messages import Ask
from tests.unit.nodes.money import MILLION, ask_paid, fund, start_paid_network
from tests.unit.nodes.network import GATEWAY, LEDGER, Network, endpoint, tensor

NAME = re.compile(r"^# TYPE (\S+) ", re.MULTILINE)


@pytest.fixture
def network():
    network = Network(("a",))
    network.register("gateway", "gateway")
    network.start_ready_node("a")
    network.start_gateway()
    network.world.run(500)
    return network


def get_gauges(network, party):
    machine = network.world.parties[party].machine
    assert isinstance(machine, Gauged)
    return machine.get_gauges()


def ask(network):
    question = Ask(
        model="doubler",
        version=None,
        inputs=(tensor(b"\1\2\3"),),
        assurance="signed",
        salt=None,
        nonce=None,
        request_id=None,
        timeout_ms=0,
    )
    return network.world.wait(network.world.ask(GATEWAY, question))


def test_a_receipt_is_seen_to_wait_and_to_settle(network):
    node = get_gauges(network, endpoint("a"))
    assert (node["ready"], node["node_log_entries"], node["node_session"]) == (True, 0, 0)
    ask(network)
    gateway, node = get_gauges(network, GATEWAY), get_gauges(network, endpoint("a"))
    assert (gateway["ready"], gateway["gateway_pending_receipts"]) == (True, 1)
    assert (node["node_log_entries"], node["node_log_unsettled_entries"]) == (1, 1)
    network.world.run(5_000)
    gateway, node = get_gauges(network, GATEWAY), get_gauges(network, endpoint("a"))
    assert (gateway["gateway_pending_receipts"], gateway["gateway_overdue_receipts"]) == (0, 0)
    assert (node["node_log_settled_entries"], node["node_log_unsettled_entries"]) == (1, 0)
    assert gateway["gateway_open_input_bytes"] == node["node_held_input_bytes"] == 0
    assert get_gauges(network, LEDGER)["ledger_height"] >= gateway["ledger_height"] > 0
    assert get_gauges(network, LEDGER)["ledger_block_time_seconds"] > 1_600_000_000


def test_every_figure_is_on_the_page(network, repository):
    page = (repository / "docs" / "operating" / "metrics.md").read_text()
    said = set(re.findall(r"`(\w+)`", page))
    for prefix, rest in re.findall(r"`(probatum_[a-z]+)_\w+`((?:, `_\w+`)+)", page):
        said |= {prefix + name for name in re.findall(r"`(_\w+)`", rest)}
    for party in (LEDGER, GATEWAY, endpoint("a")):
        meter = Meter(network.world.parties[party].machine)
        assert set(NAME.findall(meter.write().decode())) - said == set()


def test_money_is_seen_to_run_ahead_and_to_be_collected():
    network = start_paid_network((("a", 5_000),), exposure_units=MILLION)
    fund(network)
    ask_paid(network, 1, 5_000, max_price=5_000)
    gateway, node = get_gauges(network, GATEWAY), get_gauges(network, endpoint("a"))
    assert gateway["gateway_uncollected_units"] == node["node_uncollected_units"] == 5_000
    assert gateway["gateway_escrow_units"] >= 5_000
    assert gateway["gateway_unanswered_units"] == 0
    network.world.run(2_000)
    assert get_gauges(network, endpoint("a"))["node_uncollected_units"] == 0
