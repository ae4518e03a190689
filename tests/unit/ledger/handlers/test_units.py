"""Transfers, staking, unstaking, withdrawing: units move and are never made."""

from probatum.protocol.primitives import AMOUNT_BOUND
from probatum.protocol.records import (
    SUPPLY_KEY,
    Account,
    StakeRecord,
    Supply,
    get_account_key,
    get_stake_key,
)
from probatum.protocol.transactions.kinds import Stake, Transfer, Unstake, Withdraw
from tests.chain import FEE, RICH, Chain, account


def balance(chain, number):
    return chain.record(get_account_key(account(number).address), Account).balance


def stake(chain, number=0):
    return chain.record(get_stake_key(account(number).address), StakeRecord)


def test_a_transfer_moves_units_and_burns_the_fee():
    chain = Chain()
    assert chain.do(account(0), Transfer(to=account(1).address, amount=500)) == "ok"
    assert balance(chain, 0) == RICH - 500 - FEE
    assert balance(chain, 1) == RICH + 500
    assert chain.record(SUPPLY_KEY, Supply) == Supply(issued=4 * RICH, burned=FEE)


def test_a_transfer_to_oneself_changes_nothing_but_the_fee():
    chain = Chain()
    assert chain.do(account(0), Transfer(to=account(0).address, amount=500)) == "ok"
    assert balance(chain, 0) == RICH - FEE


def test_a_transfer_to_a_new_account_makes_it():
    chain = Chain()
    assert chain.do(account(0), Transfer(to=account(9).address, amount=1)) == "ok"
    assert balance(chain, 9) == 1


def test_a_refused_transfer_costs_fee_and_nonce_and_nothing_else():
    chain = Chain()
    before = chain.records()
    to = account(1).address
    assert chain.do(account(0), Transfer(to=to, amount=RICH)) == "ledger.balance-too-low"
    assert chain.do(account(0), Transfer(to=to, amount=0)) == "ledger.zero-amount"
    assert chain.do(account(0), Transfer(to=to, amount=AMOUNT_BOUND - 1)) == (
        "ledger.balance-too-low"
    )
    sender = get_account_key(account(0).address)
    changed = {k for k, v in chain.records().items() if before.get(k) != v}
    assert changed == {sender, SUPPLY_KEY}
    assert chain.record(sender, Account) == Account(balance=RICH - 3 * FEE, nonce=3)


def test_stake_bonds_and_unbonds_after_its_time():
    chain = Chain()
    assert chain.do(account(0), Stake(amount=100)) == "ok"
    assert stake(chain) == StakeRecord(bonded=100, unbonding=())
    assert chain.do(account(0), Unstake(amount=40)) == "ok"
    assert chain.do(account(0), Withdraw()) == "ledger.nothing-matured"
    (entry,) = stake(chain).unbonding
    assert (entry.amount, entry.matures_at) == (40, 2 + 3)
    chain.block()
    before = balance(chain, 0)
    assert chain.engine.height == 4
    assert chain.do(account(0), Withdraw()) == "ok"
    assert balance(chain, 0) == before + 40 - FEE
    assert stake(chain) == StakeRecord(bonded=60, unbonding=())


def test_an_empty_stake_leaves_no_record():
    chain = Chain()
    chain.do(account(0), Stake(amount=100))
    chain.do(account(0), Unstake(amount=100))
    chain.block()
    chain.block()
    assert chain.do(account(0), Withdraw()) == "ok"
    assert stake(chain) is None


def test_what_cannot_be_staked_or_unstaked():
    chain = Chain()
    assert chain.do(account(0), Stake(amount=0)) == "ledger.zero-amount"
    assert chain.do(account(0), Stake(amount=RICH)) == "ledger.balance-too-low"
    assert chain.do(account(0), Unstake(amount=0)) == "ledger.zero-amount"
    assert chain.do(account(0), Unstake(amount=1)) == "ledger.stake-too-low"
    assert chain.do(account(0), Withdraw()) == "ledger.nothing-matured"


def test_unstaking_within_a_block_is_one_entry_and_entries_are_bounded():
    chain = Chain()
    chain.do(account(0), Stake(amount=1_000))
    nonce = chain.nonce(account(0))
    many = [chain.make(account(0), Unstake(amount=1), nonce=nonce + n) for n in range(40)]
    assert set(chain.block(*many)) == {"ok"}
    assert [entry.amount for entry in stake(chain).unbonding] == [40]
    codes = [chain.do(account(0), Unstake(amount=1)) for _ in range(32)]
    assert codes == ["ok"] * 31 + ["ledger.unbonding-full"]
    assert chain.do(account(0), Withdraw()) == "ok"
    assert chain.do(account(0), Unstake(amount=1)) == "ok"
