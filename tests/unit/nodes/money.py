"""Paying in tests of nodes: escrows of the test client, vouchers, and what lies where."""

from __future__ import annotations

import msgspec

from probatum.protocol.encoding import decode
from probatum.protocol.hashing import hash_tagged
from probatum.protocol.messages import Ask, GetTab, Payment
from probatum.protocol.primitives import make_request_id
from probatum.protocol.records import (
    Account,
    EscrowRecord,
    get_account_key,
    get_escrow_key,
)
from probatum.protocol.transactions.kinds import FundEscrow
from probatum.protocol.vouchers import Voucher, compute_escrow_id, sign_voucher
from tests.unit.nodes.network import GATEWAY, Network, account, endpoint, tensor

MILLION = 1_000_000


class Budgets:
    """What API keys may spend, as a test says."""

    def __init__(self, **budgets):
        self.budgets = {f"key:{name}": units for name, units in budgets.items()}

    def get_budget(self, caller):
        return self.budgets.get(caller, 0)


def start_paid_network(prices=(("a", 10),), *, budgets=None, **more):
    """A network whose nodes have prices and whose gateway has money."""
    network = Network(tuple(name for name, _ in prices))
    network.register("gateway", "gateway")
    for name, price in prices:
        network.start_ready_node(name, price_units=price)
    start_paying_gateway(network, budgets=budgets, **more)
    network.world.run(500)
    return network


def start_paying_gateway(network, *, budgets=None, **more):
    more = {"payer": account("gateway payer"), "fee_units": 1_000, **more}
    return network.start_gateway(budgets=budgets, **more)


def escrow_of(network, payer, payee):
    return compute_escrow_id(network.domain, account(payer).address, account(payee).address)


def read_escrow(network, payer, payee):
    data = network.get_state(get_escrow_key(escrow_of(network, payer, payee)))
    return None if data is None else decode(EscrowRecord, data, limit_bytes=1 << 16)


def read_balance(network, name):
    data = network.get_state(get_account_key(account(name).address))
    return decode(Account, data, limit_bytes=1 << 16).balance


def fund(network, payer="client", payee="gateway", amount=MILLION):
    network.submit(payer, FundEscrow(payee=account(payee).address, amount=amount))
    network.world.run(300)


def make_voucher(network, request_id, total, payer="client", payee="gateway", signer=None):
    voucher = Voucher(
        escrow=escrow_of(network, payer, payee), total_units=total, last_request=request_id
    )
    return sign_voucher(network.domain, account(signer or payer), voucher)


def request_id(number):
    return make_request_id(hash_tagged("test/request", b"%d" % number)[:16])


def make_paid_ask(network, number, total, max_price=100, *, data=b"\1\2\3", **more):
    """A request that the test client pays for with a voucher of `total` units."""
    rid = request_id(number)
    ask = Ask(
        model="doubler",
        version=None,
        inputs=(tensor(data),),
        assurance="signed",
        salt=hash_tagged("test/salt", rid.encode()),
        nonce=None,
        request_id=rid,
        timeout_ms=0,
        payment=Payment(voucher=make_voucher(network, rid, total), max_price_units=max_price),
    )
    return msgspec.structs.replace(ask, **more)


def ask_paid(network, number, total, max_price=100, **more):
    ask = make_paid_ask(network, number, total, max_price, **more)
    return network.world.wait(network.world.ask(GATEWAY, ask))


def get_tab(network, payer="client", payee="gateway"):
    to = GATEWAY if payee == "gateway" else endpoint(payee)
    question = GetTab(escrow=escrow_of(network, payer, payee))
    return network.world.wait(network.world.ask(to, question))
