"""Money through real processes: a model with a price, asked, collected, closed, withdrawn."""

from __future__ import annotations

import asyncio

import pytest

from probatum.client.transport import HttpTransport
from probatum.ledger.params import Params
from probatum.nodes.shell.api_keys import add_key
from probatum.ops.network import GATEWAY, Network, NetworkPlan
from probatum.protocol.encoding import decode
from probatum.protocol.messages import GetState
from probatum.protocol.primitives import UNITS_PER_TOKEN, address_from_hex
from probatum.protocol.records import Account, get_account_key
from tests.e2e.processes import wait_for
from tests.e2e.test_cli import Desk, make_model

pytestmark = pytest.mark.e2e

PRICE = 50_000
FEE = 10_000
"""What the command line offers for a transaction."""


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("paying")
    desk = Desk(folder)
    make_model(folder / "linear.onnx")
    facts = ("--task", "regression", "--licence", "MIT", "--batch", "-o", "package")
    desk.ask("model", "pack", "linear.onnx", "--name", "linear", "--version", "1", *facts)
    plan = NetworkPlan(
        nodes=2,
        block_interval_ms=100,
        models=(folder / "package",),
        params=Params(escrow_delay_blocks=30),
        price_units=PRICE,
    )
    with Network.open(folder / "network", plan) as network:
        network.start()
        yield network


@pytest.fixture
def desk(network, tmp_path):
    desk = Desk(tmp_path)
    ends = network.endpoints
    desk.environment |= {
        "PROBATUM_GATEWAY": ends.gateway,
        "PROBATUM_LEDGER": ends.ledger,
        "PROBATUM_TRUST": str(network.trust_path),
    }
    desk.ask("account", "new")
    return desk


def read_balance(network, account):
    async def get():
        async with HttpTransport() as transport:
            key = get_account_key(address_from_hex(account))
            question = GetState(keys=(key,), prove=False)
            return (await transport.ask(network.endpoints.ledger, question, 5.0)).items[0].value

    value = asyncio.run(get())
    return 0 if value is None else decode(Account, value, limit_bytes=1 << 16).balance


def give(network, desk, tokens):
    address = desk.ask("account", "show")["address"]
    rich = str(network.account_path)
    desk.ask("account", "send", address, "--amount", str(tokens), "--account", rich)
    return address


def find_escrow(desk):
    (row,) = desk.ask("pay", "status")["escrows"]
    return row


def test_three_paid_answers_collect_close_and_withdraw_add_up(network, desk):
    address = give(network, desk, 2)
    operator = network.get_operator(GATEWAY)
    nodes = [network.get_operator(name) for name in network.node_names]
    before = {who: read_balance(network, who) for who in (operator, *nodes)}

    refused = desk.run("ask", "linear", "x=[[1,2]]")
    assert refused.returncode != 0
    assert "payment.price-above-limit" in refused.stderr + refused.stdout

    desk.ask("pay", "fund", "--amount", "1")
    paid = ("ask", "linear", "x=[[1,2]]", "--max-price", "0.0001", "--spend-cap", "0.0003")
    answers = [desk.ask(*paid) for _ in range(3)]
    assert [answer["price_units"] for answer in answers] == [PRICE] * 3
    shown = desk.ask("receipt", "show", answers[-1]["request_id"])
    assert (shown["price_units"], shown["running_total_units"]) == (PRICE, 3 * PRICE)
    row = find_escrow(desk)
    assert (row["charged_units"], row["collected_units"]) == (3 * PRICE, 0)
    assert 3 * PRICE <= row["signed_units"] <= 2 * PRICE + 100_000

    desk.ask("pay", "close")
    early = desk.run("pay", "withdraw")
    assert early.returncode == 1
    assert "ledger.escrow-open" in early.stderr
    # The gateway sees the announcement and takes what it is owed.
    assert wait_for(lambda: find_escrow(desk)["collected_units"] == 3 * PRICE, 20)
    assert wait_for(lambda: desk.run("pay", "withdraw").returncode == 0, 30)
    assert read_balance(network, operator) == before[operator] + 3 * PRICE

    def is_paid():
        got = sum(read_balance(network, who) - before[who] for who in nodes)
        return got == 3 * PRICE

    assert wait_for(is_paid, 20), "the nodes collect with their checkpoints"
    row = find_escrow(desk)
    assert (row["deposited_units"], row["closing_at"]) == (3 * PRICE, None)
    spent = 2 * UNITS_PER_TOKEN - read_balance(network, address) - 3 * PRICE
    assert spent % FEE == 0
    assert spent >= 3 * FEE


def test_the_cap_ends_the_spending_and_nothing_more_is_signed(network, desk):
    give(network, desk, 1)
    desk.ask("pay", "fund", "--amount", "0.5")
    paid = ("ask", "linear", "x=[[1,2]]", "--max-price", "0.00005", "--spend-cap", "0.00012")
    for _ in range(2):
        desk.ask(*paid)
    done = desk.run(*paid)
    assert done.returncode == 1
    assert "payment.over-cap" in done.stderr
    assert find_escrow(desk)["signed_units"] == 2 * PRICE


def test_an_api_key_spends_the_gateways_money_up_to_its_budget(network, desk):
    text, _ = add_key(network.get_home(GATEWAY), label="test", budget_units=2 * PRICE)
    desk.environment["PROBATUM_API_KEY"] = text
    assert wait_for(lambda: desk.run("ask", "linear", "x=[[1,2]]").returncode == 0, 20)
    desk.ask("ask", "linear", "x=[[1,2]]")
    done = desk.run("ask", "linear", "x=[[1,2]]")
    assert done.returncode == 1
    assert "payment.price-above-limit" in done.stderr


def test_a_gateway_killed_between_answers_goes_on_with_its_running_totals(network, desk):
    give(network, desk, 1)
    desk.ask("pay", "fund", "--amount", "0.5")
    paid = ("ask", "linear", "x=[[1,2]]", "--max-price", "0.00005")
    first = desk.ask(*paid)
    network.kill(GATEWAY)
    network.restart(GATEWAY)
    second = desk.ask(*paid)
    totals = [
        desk.ask("receipt", "show", answer["request_id"])["running_total_units"]
        for answer in (first, second)
    ]
    assert totals == [PRICE, 2 * PRICE]
