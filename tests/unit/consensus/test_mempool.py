"""The pool: what may wait, how much of it, and in which order it leaves."""

import msgspec
import pytest

from probatum.consensus.mempool import EXPIRY_BLOCKS, Mempool
from probatum.errors import Refusal
from probatum.ledger.params import Params
from probatum.protocol import limits
from probatum.protocol.encoding import encode
from probatum.protocol.records import Account
from probatum.protocol.transactions.kinds import Transfer
from probatum.protocol.transactions.signed import decode_transaction
from tests.chain import FEE, RICH, Chain, account

CHAIN = Chain()


class Pool:
    def __init__(self, **limits):
        self.accounts = {account(n).address: Account(balance=RICH, nonce=0) for n in range(4)}
        self.pool = Mempool(
            CHAIN.domain,
            lambda address: self.accounts.get(address, Account(balance=0, nonce=0)),
            **limits,
        )

    def add(self, number, nonce, *, fee=FEE, height=1, amount=1):
        body = Transfer(to=account(0).address, amount=amount)
        data = CHAIN.make(account(number), body, nonce=nonce, fee=fee)
        return self.pool.add(data, Params(), height)

    def refusal(self, *args, **settings):
        size = len(self.pool)
        with pytest.raises(Refusal) as caught:
            self.add(*args, **settings)
        assert len(self.pool) == size
        return caught.value.code

    def order(self, stuck=()):
        entries = self.pool.iterate(set(stuck))
        numbers = {account(n).address: n for n in range(9)}
        return [(numbers[e.transaction.sender], e.transaction.nonce) for e in entries]


def test_accounts_leave_in_order_of_arrival_and_of_nonces():
    pool = Pool()
    for number, nonce in [(0, 0), (1, 1), (0, 2), (2, 0), (1, 0), (0, 1), (3, 5)]:
        pool.add(number, nonce)
    assert pool.order() == [(0, 0), (2, 0), (1, 0), (1, 1), (0, 1), (0, 2)]


def test_a_stuck_account_holds_up_itself_alone():
    pool = Pool()
    for number, nonce in [(0, 0), (0, 1), (1, 0), (0, 2)]:
        pool.add(number, nonce)
    stuck = set()
    seen = []
    for entry in pool.pool.iterate(stuck):
        seen.append((entry.transaction.sender, entry.transaction.nonce))
        if entry.transaction.sender == account(0).address:
            stuck.add(entry.transaction.sender)
    assert seen == [(account(0).address, 0), (account(1).address, 0)]


def test_turns_count_from_the_committed_nonce():
    pool = Pool()
    pool.accounts[account(0).address] = Account(balance=RICH, nonce=3)
    assert pool.refusal(0, 2) == "ledger.wrong-nonce"
    pool.add(0, 4)
    assert pool.order() == []
    pool.add(0, 3)
    assert pool.order() == [(0, 3), (0, 4)]


def test_nothing_waits_twice_or_is_replaced():
    pool = Pool()
    entry = pool.add(0, 0)
    assert pool.refusal(0, 0) == "mempool.duplicate"
    assert pool.refusal(0, 0, fee=2 * FEE) == "mempool.nonce-taken"
    pool.pool.remove(entry.hash)
    assert entry.hash not in pool.pool
    pool.add(0, 0, fee=2 * FEE)


def test_room_is_bounded_in_number_bytes_and_by_account():
    pool = Pool(limit=2)
    pool.add(0, 0)
    pool.add(1, 0)
    assert pool.refusal(2, 0) == "mempool.full"
    size = len(CHAIN.make(account(0), Transfer(to=account(0).address, amount=1)))
    pool = Pool(limit_bytes=2 * size + 1)
    first = pool.add(0, 0)
    pool.add(1, 0)
    assert pool.refusal(2, 0) == "mempool.full"
    pool.pool.remove(first.hash)
    pool.add(2, 0)
    pool = Pool(limit_account=2)
    pool.add(0, 1)
    assert pool.refusal(0, 2) == "mempool.nonce-too-far"
    pool.add(0, 0)
    pool.accounts[account(0).address] = Account(balance=RICH, nonce=1)
    assert pool.refusal(0, 2) == "mempool.account-full"


def test_fees_must_be_high_enough_and_covered_together():
    pool = Pool()
    assert pool.refusal(0, 0, fee=FEE - 1) == "ledger.fee-too-low"
    assert pool.refusal(8, 0) == "ledger.fee-not-covered"
    pool.add(0, 0, fee=RICH - FEE)
    assert pool.refusal(0, 1, fee=FEE + 1) == "ledger.fee-not-covered"
    pool.add(0, 1, fee=FEE)


def test_what_waits_does_not_lock_the_account():
    pool = Pool()
    pool.add(0, 1, fee=RICH)
    assert pool.refusal(0, 2) == "ledger.fee-not-covered"
    pool.add(0, 0, fee=FEE)


def test_what_is_not_signed_or_not_a_transaction():
    pool = Pool()
    data = CHAIN.make(account(0), Transfer(to=account(0).address, amount=1))
    forged = msgspec.structs.replace(decode_transaction(data), sender=account(1).address)
    for bad, code in [
        (encode(forged), "transaction.wrong-signer"),
        (data[:-1], "encoding.malformed"),
        (bytes(limits.TRANSACTION_BYTES + 1), "encoding.too-large"),
    ]:
        with pytest.raises(Refusal) as caught:
            pool.pool.add(bad, Params(), 1)
        assert caught.value.code == code
    assert len(pool.pool) == 0


def test_what_waits_too_long_is_dropped():
    pool = Pool()
    old = pool.add(0, 7, height=1)
    pool.add(1, 7, height=2)
    assert pool.pool.expire(EXPIRY_BLOCKS) == ()
    assert pool.pool.expire(EXPIRY_BLOCKS + 1) == (old,)
    assert len(pool.pool) == 1
    # Room, fees and nonces are free again.
    pool.add(0, 7)


def test_turns_that_may_never_come_leave_room_for_those_that_have():
    pool = Pool(limit=16)
    for nonce in range(1, 3):
        pool.add(0, nonce)
    assert pool.refusal(0, 3) == "mempool.full"
    assert pool.refusal(1, 7) == "mempool.full"
    for nonce in range(10):
        pool.add(1, nonce)
    # Once the gap is closed those behind it are in turn, and others may wait.
    pool.add(0, 0)
    pool.add(0, 3)
    assert pool.order() == [*((1, n) for n in range(10)), *((0, n) for n in range(4))]
    pool.add(2, 1)
    assert len(pool.pool) == 15


def test_turns_that_may_never_come_are_bounded_in_bytes_too():
    size = len(CHAIN.make(account(0), Transfer(to=account(0).address, amount=1)))
    pool = Pool(limit_bytes=16 * size + 15)
    pool.add(0, 1)
    early = pool.add(0, 2)
    assert pool.refusal(0, 3) == "mempool.full"
    pool.pool.remove(early.hash)
    pool.add(0, 3)
    for nonce in range(14):
        pool.add(1, nonce)
    assert pool.refusal(2, 0) == "mempool.full"


def test_behind_what_left_without_a_block_all_are_early_again():
    pool = Pool(limit=16)
    entries = [pool.add(0, nonce) for nonce in range(4)]
    assert pool.pool.list_behind(entries[1]) == tuple(entries[2:])
    assert pool.pool.list_behind(entries[3]) == ()
    pool.pool.remove(entries[1].hash)
    assert pool.refusal(1, 1) == "mempool.full"
    pool.add(0, 1)
    pool.add(1, 1)


def test_behind_what_is_in_a_block_the_turn_has_come():
    pool = Pool(limit=16)
    entries = [pool.add(0, nonce) for nonce in range(4)]
    pool.accounts[account(0).address] = Account(balance=RICH, nonce=2)
    for entry in entries[:2]:
        pool.pool.remove(entry.hash)
    pool.add(1, 1)
    pool.add(1, 2)
    assert pool.refusal(1, 3) == "mempool.full"
