"""Applying blocks: what a refusal costs, before the fee and after it."""

import dataclasses

import msgspec
import pytest

from probatum.errors import Refusal
from probatum.ledger.apply import apply_block, check_fee, open_transaction
from probatum.ledger.fees import count_shares
from probatum.ledger.params import Params
from probatum.protocol import limits
from probatum.protocol.blocks import Block
from probatum.protocol.encoding import decode, encode
from probatum.protocol.records import SUPPLY_KEY, Account, Supply, get_account_key
from probatum.protocol.transactions.kinds import (
    ChallengeReceipt,
    CollectVouchers,
    ReportTwoReceipts,
    SettleCheckpoint,
    Stake,
    Transfer,
)
from probatum.protocol.transactions.signed import decode_transaction, sign_transaction
from tests.chain import FEE, NO_SIGNATURE, RICH, Chain, account, make_test_genesis

PAY = Transfer(to=account(1).address, amount=5)


class Reader:
    def __init__(self, chain):
        self.records = chain.records()

    def get(self, key):
        return self.records.get(key)


def run(chain, *transactions, height=1):
    block = Block(height=height, time_ms=5_000, transactions=transactions)
    return apply_block(Reader(chain), block, chain.domain)


def bend(data, **changes):
    return encode(msgspec.structs.replace(decode_transaction(data), **changes))


def test_refusals_before_the_fee_change_nothing():
    chain = Chain(make_test_genesis(params=Params(min_fee_units=1_000)))
    good = chain.make(account(0), PAY)
    other = dataclasses.replace(chain.domain, chain_id=8)
    elsewhere = sign_transaction(other, account(0), nonce=0, fee_units=FEE, body=PAY)
    bad = {
        b"": "encoding.malformed",
        good + b"\0": "encoding.malformed",
        bytes(170_000): "encoding.too-large",
        bend(good, fee_units=2_000): "transaction.wrong-signer",
        bend(good, signature=bytes(65)): "secp256k1.bad-signature",
        encode(elsewhere): "transaction.wrong-signer",
        chain.make(account(0), PAY, nonce=1): "ledger.wrong-nonce",
        chain.make(account(0), PAY, fee=999): "ledger.fee-too-low",
        chain.make(account(0), PAY, fee=RICH + 1): "ledger.fee-not-covered",
        chain.make(account(9), PAY): "ledger.fee-not-covered",
    }
    applied = run(chain, *bad)
    assert [result.code for result in applied.results] == list(bad.values())
    assert applied.charged == (False,) * len(bad)
    assert applied.changes == ()


def test_a_handlers_refusal_costs_the_fee_and_the_nonce():
    chain = Chain()
    data = chain.make(account(0), Stake(amount=RICH + 1))
    applied = run(chain, data, data)
    assert [r.code for r in applied.results] == ["ledger.balance-too-low", "ledger.wrong-nonce"]
    assert applied.charged == (True, False)
    written = {change.key: change.value for change in applied.changes}
    assert written == {
        get_account_key(account(0).address): encode(Account(balance=RICH - FEE, nonce=1)),
        SUPPLY_KEY: encode(Supply(issued=4 * RICH, burned=FEE)),
    }


def test_changes_come_in_key_order_and_only_real_ones():
    chain = Chain()
    back = Transfer(to=account(0).address, amount=5 + 2 * FEE)
    applied = run(chain, chain.make(account(0), PAY), chain.make(account(1), back, fee=FEE))
    keys = [change.key for change in applied.changes]
    assert keys == sorted(keys)
    assert len(keys) == 3


def test_a_fee_may_use_the_last_unit():
    params = Params(min_fee_units=10)
    paid = decode_transaction(Chain().make(account(0), PAY, fee=10))
    check_fee(params, Account(balance=10, nonce=0), paid)
    with pytest.raises(Refusal) as caught:
        check_fee(params, Account(balance=9, nonce=0), paid)
    assert caught.value.code == "ledger.fee-not-covered"


@pytest.mark.parametrize("kind", ["collect", "settle"])
def test_each_voucher_costs_a_share_of_the_least_fee(kind):
    # Each may make everybody check a signature, whether it then brings anything or not.
    vouchers = (b"v", b"w")
    bodies = {
        "collect": CollectVouchers(vouchers=vouchers),
        "settle": SettleCheckpoint(
            operator=account(0).address,
            session=0,
            checkpoint=b"",
            consistency=(),
            vouchers=vouchers,
        ),
    }
    chain, rich = Chain(), Account(balance=RICH, nonce=0)
    check_fee(Params(), rich, decode_transaction(chain.make(account(0), bodies[kind], fee=3 * FEE)))
    low = decode_transaction(chain.make(account(0), bodies[kind], fee=3 * FEE - 1))
    with pytest.raises(Refusal) as caught:
        check_fee(Params(), rich, low)
    assert caught.value.code == "ledger.fee-too-low"


@pytest.mark.parametrize(
    ("size", "shares"), [(0, 1), (8_000, 1), (8_200, 2), (limits.STATEMENT_BYTES, 9)]
)
def test_the_least_fee_covers_what_all_must_carry_and_keep(size, shares):
    body = ChallengeReceipt(
        operator=account(0).address, receipt=bytes(size), signature=NO_SIGNATURE
    )
    chain, rich = Chain(), Account(balance=RICH, nonce=0)
    assert count_shares(body) == shares
    check_fee(Params(), rich, decode_transaction(chain.make(account(0), body, fee=shares * FEE)))
    low = decode_transaction(chain.make(account(0), body, fee=shares * FEE - 1))
    with pytest.raises(Refusal) as caught:
        check_fee(Params(), rich, low)
    assert caught.value.code == "ledger.fee-too-low"


def test_no_body_is_longer_than_the_transactions_that_pay_for_it():
    """A block of the largest transactions has its fill of shares, as one of the smallest has."""
    vouchers = (bytes(limits.VOUCHER_BYTES),) * limits.VOUCHERS
    assert count_shares(CollectVouchers(vouchers=vouchers)) == 1 + limits.VOUCHERS
    statement = bytes(limits.STATEMENT_BYTES)
    both = ReportTwoReceipts(
        operator=account(0).address,
        first=statement,
        first_signature=NO_SIGNATURE,
        second=statement,
        second_signature=NO_SIGNATURE,
    )
    assert limits.BLOCK_BYTES // len(encode(both)) * count_shares(both) > 2_000


def test_what_an_engine_checked_before_is_not_checked_again():
    chain = Chain()
    data = chain.make(account(0), PAY)
    opened = {data: open_transaction(chain.domain, data)}
    block = Block(height=1, time_ms=5_000, transactions=(data,))
    applied = apply_block(Reader(chain), block, chain.domain, open_one=lambda _, data: opened[data])
    assert applied == run(chain, data)


def test_transactions_of_a_block_see_each_other():
    chain = Chain()
    first = chain.make(account(0), Transfer(to=account(9).address, amount=10_000))
    second = chain.make(account(9), Transfer(to=account(1).address, amount=9_000))
    assert [r.code for r in run(chain, first, second).results] == ["ok", "ok"]
    assert [r.code for r in run(chain, second, first).results] == ["ledger.fee-not-covered", "ok"]
    value = {c.key: c.value for c in run(chain, first, second).changes}
    account9 = decode(Account, value[get_account_key(account(9).address)], limit_bytes=100)
    assert account9 == Account(balance=0, nonce=1)
