import asyncio
import contextlib

import msgspec
import pytest

from probatum.client.payees import Network
from probatum.client.paying import Payer, PaymentRules
from probatum.client.purse_file import list_purses
from probatum.errors import Refusal
from probatum.protocol.custody import decode_release
from probatum.protocol.dsse import decode_payload, sign_envelope
from probatum.protocol.eip712 import Domain
from probatum.protocol.encoding import encode, encode_document
from probatum.protocol.hashing import sha256
from probatum.protocol.messages import Ask, ListedState, Refused, StateItem, Tab
from probatum.protocol.primitives import make_request_id, make_salt
from probatum.protocol.records import (
    EscrowRecord,
    KeyRecord,
    NodeRecord,
    get_escrow_key,
    get_key_key,
    get_node_key,
)
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.vouchers import check_voucher, compute_escrow_id
from tests.factories import GATEWAY, NODES, make_facts, make_handover, make_release

DOMAIN = Domain(chain_id=7, genesis_hash=sha256(b"genesis"))
CLIENT = AccountSigner(sha256(b"client"))
PAYEE = GATEWAY.account
ESCROW = compute_escrow_id(DOMAIN, CLIENT.address, PAYEE)
HOME = "http://gateway"


def rid(number):
    return make_request_id(sha256(b"%d" % number)[:16])


def make_priced_release(price, total):
    facts = make_facts()
    branch = make_handover(facts, 0, NODES[0])
    charged = {"price_units": price, "escrow": ESCROW.hex(), "running_total_units": total}
    # Whose receipt it names plays no part here.
    return make_release(facts, (branch,), branch, 0, **charged)


def read_release(envelope):
    return decode_release(decode_payload(envelope))


class Toy:
    """A ledger with one escrow and a gateway that says what a test wants."""

    def __init__(self, deposited=1_000, collected=0, **changes):
        record = EscrowRecord(
            payer=CLIENT.address,
            payee=PAYEE,
            deposited_units=deposited,
            collected_units=collected,
            opened_at=1,
            closing_at=None,
        )
        self.records = {get_escrow_key(ESCROW): msgspec.structs.replace(record, **changes)}
        node = NodeRecord(
            account=PAYEE,
            operating_key=GATEWAY.signer.key,
            endpoint=HOME,
            roles=("gateway",),
            registered_at=1,
            heartbeat_at=1,
            sequence=0,
            sessions=0,
        )
        self.records[get_node_key(PAYEE)] = node
        key = KeyRecord(account=PAYEE, registered_at=1, retired_at=None)
        self.records[get_key_key(GATEWAY.signer.key)] = key
        self.tab = None

    async def prove(self, keys):
        return {k: encode(self.records[k]) if k in self.records else None for k in keys}

    async def ask_ledger(self, message):
        items = tuple(
            StateItem(key=key, value=encode(record), proof=b"")
            for key, record in sorted(self.records.items())
            if key.startswith(message.prefix)
        )
        return ListedState(height=9, items=items, more=False)

    async def ask_gateway(self, message):
        assert message.escrow == ESCROW
        return self.tab

    def make(self, folder, cap=100, max_price=10):
        rules = PaymentRules(account=CLIENT, spend_cap_units=cap, max_price_units=max_price)
        network = Network(
            domain=DOMAIN,
            gateway=HOME,
            ask_gateway=self.ask_gateway,
            ask_ledger=self.ask_ledger,
            prove=self.prove,
        )
        return Payer(rules, network, folder)

    def state(self, charged, reserved=0, *, signer=GATEWAY, price=5):
        payload = decode_payload(make_priced_release(price, charged))
        envelope = sign_envelope(payload, (signer.signer,))
        self.tab = Tab(
            escrow=ESCROW,
            charged_units=charged,
            reserved_units=reserved,
            statement=encode_document(envelope),
        )


def run(work):
    return asyncio.run(work)


def refuse(work):
    with pytest.raises(Refusal) as caught:
        run(work)
    return caught.value.code


def test_a_voucher_is_signed_for_its_request_and_written_down_before_it_leaves(tmp_path):
    payer = Toy().make(tmp_path)
    payment = run(payer.pay(rid(1), 10))
    voucher = payment.voucher.voucher
    check_voucher(DOMAIN, payment.voucher, CLIENT.address)
    assert (voucher.total_units, voucher.last_request) == (10, rid(1))
    (kept,) = list_purses(tmp_path)
    assert (kept.signed_units, kept.charged_units) == (10, 0)
    payer.settle(rid(1), read_release(make_priced_release(7, 7)))
    assert list_purses(tmp_path)[0].charged_units == 7
    assert run(payer.pay(rid(2), 10)).voucher.voucher.total_units == 17


def test_requests_side_by_side_are_each_covered(tmp_path):
    async def work():
        payer = Toy().make(tmp_path)
        return await asyncio.gather(*(payer.pay(rid(n), 10) for n in range(8)))

    totals = [payment.voucher.voucher.total_units for payment in run(work())]
    assert sorted(totals) == [10 * n for n in range(1, 9)]


def test_the_cap_stops_before_anything_is_signed_also_after_a_restart(tmp_path):
    toy = Toy()
    payer = toy.make(tmp_path, cap=25)
    run(payer.pay(rid(1), 10))
    run(payer.pay(rid(2), 10))
    assert refuse(payer.pay(rid(3), 10)) == "payment.over-cap"
    assert list_purses(tmp_path)[0].signed_units == 20
    payer.close()
    again = toy.make(tmp_path, cap=25)
    # Nothing is in flight any more: what was signed already buys again, and no more than that.
    assert run(again.pay(rid(4), 10)).voucher.voucher.total_units == 20
    assert run(again.pay(rid(5), 10)).voucher.voucher.total_units == 20
    assert refuse(again.pay(rid(6), 10)) == "payment.over-cap"


def test_a_failed_request_costs_nothing_more(tmp_path):
    payer = Toy().make(tmp_path, cap=10)
    for number in range(5):
        run(payer.pay(rid(number), 10))
        payer.drop(rid(number))
    assert list_purses(tmp_path)[0].signed_units == 10


def test_two_programs_do_not_pay_from_one_purse(tmp_path):
    toy = Toy()
    first = toy.make(tmp_path)
    run(first.pay(rid(1), 10))
    assert refuse(toy.make(tmp_path).pay(rid(2), 10)) == "purse.in-use"
    first.close()
    run(toy.make(tmp_path).pay(rid(2), 10))


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"deposited": 5}, "payment.escrow-too-small"),
        ({"closing_at": 70}, "payment.escrow-closing"),
    ],
)
def test_an_escrow_that_cannot_pay_is_not_signed_for(tmp_path, changes, code):
    assert refuse(Toy(**changes).make(tmp_path).pay(rid(1), 10)) == code
    assert not any(purse.signed_units for purse in list_purses(tmp_path))


def test_without_escrow_or_gateway_nothing_is_signed(tmp_path):
    toy = Toy()
    del toy.records[get_escrow_key(ESCROW)]
    assert refuse(toy.make(tmp_path).pay(rid(1), 10)) == "payment.no-escrow"
    del toy.records[get_node_key(PAYEE)]
    assert refuse(toy.make(tmp_path).pay(rid(1), 10)) == "payment.unknown-gateway"


@pytest.mark.parametrize(("price", "total"), [(11, 11), (10, 11)])
def test_a_release_that_charges_too_much_is_refused(tmp_path, price, total):
    payer = Toy().make(tmp_path)
    run(payer.pay(rid(1), 10))
    with pytest.raises(Refusal) as caught:
        payer.settle(rid(1), read_release(make_priced_release(price, total)))
    assert caught.value.code == "payment.overcharged"


def make_message(number):
    return Ask(
        model="m",
        version=None,
        inputs=(),
        assurance="signed",
        salt=make_salt(b"s" * 32),
        nonce=None,
        request_id=rid(number),
        timeout_ms=1,
    )


def test_after_lost_answers_the_gateways_signed_tab_is_followed(tmp_path):
    toy = Toy()
    payer = toy.make(tmp_path, cap=50)

    async def work():
        for number in (1, 2):
            await payer.pay(rid(number), 10)
        for number in (1, 2):
            payer.drop(rid(number))
        toy.state(charged=15)
        sent = []

        async def send(message):
            sent.append(message.payment.voucher.voucher.total_units)
            if sent[-1] < 25:
                return Refused(code="payment.voucher-too-low", message="too low")
            return Refused(code="test.done", message="far enough")

        await payer.ask(make_message(3), 10, send)
        return sent

    assert run(work()) == [20, 25]


def test_a_tab_that_nobody_signed_or_that_claims_too_much_is_not_followed(tmp_path):
    toy = Toy()
    payer = toy.make(tmp_path)
    run(payer.pay(rid(1), 10))
    toy.tab = Tab(escrow=ESCROW, charged_units=9, reserved_units=0, statement=b"")
    assert refuse(payer.learn_tab()) == "payment.wrong-tab"
    toy.state(charged=9, signer=NODES[0])
    assert refuse(payer.learn_tab()).startswith(("dsse.", "payment.", "ed25519."))
    toy.state(charged=9)
    toy.tab = msgspec.structs.replace(toy.tab, charged_units=10)
    assert refuse(payer.learn_tab()) == "payment.wrong-tab"
    toy.state(charged=11)
    assert refuse(payer.learn_tab()) == "payment.overcharged"
    toy.state(charged=10)
    run(payer.learn_tab())
    assert list_purses(tmp_path)[0].charged_units == 10


def test_a_folder_that_was_lost_is_bounded_by_the_cap_over_what_was_collected(tmp_path):
    toy = Toy(deposited=1_000, collected=300)
    payer = toy.make(tmp_path, cap=40)
    assert run(payer.pay(rid(1), 10)).voucher.voucher.total_units == 310
    payer.drop(rid(1))
    assert refuse(payer.pay(rid(2), 41)) == "payment.over-cap"


def test_a_purse_file_is_the_owners_alone(tmp_path):
    payer = Toy().make(tmp_path / "receipts")
    run(payer.pay(rid(1), 10))
    (path,) = (tmp_path / "receipts").glob("*.purse.json")
    assert path.stat().st_mode & 0o077 == 0


def test_a_gateway_that_never_answers_gets_the_vouchers_of_ten_answers(tmp_path):
    toy = Toy(deposited=100_000)
    payer = toy.make(tmp_path, cap=100_000, max_price=10)

    async def refuse_all(message):
        # It claims that everything which was signed is spent or reserved.
        total = message.payment.voucher.voucher.total_units
        toy.tab = Tab(escrow=ESCROW, charged_units=0, reserved_units=total, statement=b"")
        return Refused(code="payment.voucher-too-low", message="more")

    codes = set()
    for number in range(30):
        with contextlib.suppress(Refusal):
            run(payer.ask(make_message(number), 10, refuse_all))
        payer.drop(rid(number))
        codes.add(list_purses(tmp_path)[0].signed_units)
    assert max(codes) <= 10 * 10 + 10
    assert refuse(payer.ask(make_message(99), 10, refuse_all)) == "payment.exposed"


def test_a_tab_that_reserves_more_than_was_signed_is_not_followed(tmp_path):
    toy = Toy()
    payer = toy.make(tmp_path)
    run(payer.pay(rid(1), 10))
    toy.tab = Tab(escrow=ESCROW, charged_units=0, reserved_units=11, statement=b"")
    assert refuse(payer.learn_tab()) == "payment.overcharged"
