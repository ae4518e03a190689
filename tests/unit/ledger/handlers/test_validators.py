"""Validators' own transactions: who votes, how much it weighs, when stake is back (`VAL-1`)."""

import pytest
from msgspec.structs import replace

from probatum.protocol.primitives import UNITS_PER_TOKEN
from probatum.protocol.transactions.kinds import Transfer
from probatum.protocol.transactions.validators import (
    StakeConsensus,
    Unjail,
    UnstakeConsensus,
    WithdrawConsensus,
)
from probatum.protocol.validators import UNBONDING_ENTRIES
from tests.chain import FEE, RICH, Chain, account
from tests.validators import (
    POWER,
    SMALL,
    STAKE,
    ValidatorChain,
    consensus_key,
    consensus_signer,
    make_test_validator_genesis,
)


def test_whoever_stakes_enough_has_a_seat_from_the_next_set_on():
    chain = ValidatorChain(make_test_validator_genesis(2))
    assert chain.block((2, chain.registration(2))) == ["ok"]
    assert chain.seats() == {0: POWER, 1: POWER}
    assert chain.block((2, StakeConsensus(amount=UNITS_PER_TOKEN - 1))) == ["ok"]
    assert chain.applied[-1].validator_updates == ()
    assert chain.block((2, StakeConsensus(amount=STAKE + 1))) == ["ok"]
    assert chain.seats() == {0: POWER, 1: POWER, 2: POWER + 1}
    (update,) = chain.applied[-1].validator_updates
    assert (update.key, update.power) == (consensus_key(2), POWER + 1)
    assert chain.balance(2) == RICH - STAKE - UNITS_PER_TOKEN - 3 * FEE
    assert chain.block((2, StakeConsensus(amount=UNITS_PER_TOKEN - 1))) == ["ok"]
    assert chain.applied[-1].validator_updates == ()


def test_more_stake_takes_a_seat_and_less_gives_it_back():
    chain = ValidatorChain(make_test_validator_genesis(4))
    stake = StakeConsensus(amount=STAKE + UNITS_PER_TOKEN)
    assert chain.block((5, chain.registration(5)), (5, stake)) == ["ok", "ok"]
    assert len(chain.seats()) == SMALL.max_validators == 4
    assert chain.seats()[5] == POWER + 1
    (waiting,) = chain.set.waiting
    assert waiting.power == POWER
    assert {u.power for u in chain.applied[-1].validator_updates} == {0, POWER + 1}
    assert chain.block((5, UnstakeConsensus(amount=2 * UNITS_PER_TOKEN))) == ["ok"]
    assert 5 not in chain.seats()
    assert waiting.key in {seat.key for seat in chain.set.seats}
    assert chain.block((5, UnstakeConsensus(amount=STAKE - UNITS_PER_TOKEN))) == ["ok"]
    assert chain.set.waiting == ()
    assert chain.validator(5).bonded == 0


@pytest.mark.parametrize("settings", [{"key": 1}, {"key": 0}])
def test_a_key_serves_one_account_once(settings):
    chain = ValidatorChain()
    assert chain.block((5, chain.registration(5, **settings))) == ["ledger.consensus-key-taken"]


def test_nobody_registers_a_key_that_they_do_not_hold():
    chain = ValidatorChain()
    mine = chain.registration(5)
    for body in (
        chain.registration(5, signer=consensus_signer(6)),
        replace(chain.registration(6), possession=mine.possession),
        ValidatorChain(make_test_validator_genesis(3)).registration(5),
    ):
        assert chain.block((5, body)) == ["ed25519.bad-signature"]
    assert chain.block((6, mine)) == ["ed25519.bad-signature"]
    assert chain.block((5, mine)) == ["ok"]


def test_another_key_takes_the_place_of_the_first():
    chain = ValidatorChain()
    assert chain.block((0, chain.registration(0, key=9))) == ["ok"]
    updates = {u.key: u.power for u in chain.applied[-1].validator_updates}
    assert updates == {consensus_key(0): 0, consensus_key(9): POWER}
    assert chain.seats()[0] == POWER
    assert chain.block((0, chain.registration(0, key=0))) == ["ledger.consensus-key-taken"]
    # What the old key is convicted of later is its account's.
    chain.block(misbehaviour=[chain.offence(0, 1)])
    assert chain.validator(0).tombstoned_at == 3
    assert 0 not in chain.seats()


def test_stake_comes_back_once_height_and_time_have_passed():
    chain = ValidatorChain()
    before = chain.balance(0)
    half = UnstakeConsensus(amount=STAKE // 2)
    assert chain.block((0, half), after_ms=1) == ["ok"]
    assert chain.seats()[0] == POWER // 2
    (entry,) = chain.validator(0).unbonding
    assert (entry.began_at, entry.matures_at) == (1, 7)
    assert entry.matures_ms == chain.time_ms + 6_000
    chain.wait(5, after_ms=1)
    # The height has come, the time has not.
    assert chain.block((0, WithdrawConsensus()), after_ms=1) == ["ledger.nothing-matured"]
    assert chain.block((0, WithdrawConsensus()), after_ms=6_000) == ["ok"]
    assert chain.balance(0) == before + STAKE // 2 - 3 * FEE
    # The time has come, the height has not.
    assert chain.block((0, UnstakeConsensus(amount=1))) == ["ok"]
    chain.wait(4, after_ms=60_000)
    assert chain.block((0, WithdrawConsensus())) == ["ledger.nothing-matured"]
    assert chain.block((0, WithdrawConsensus())) == ["ok"]
    assert chain.validator(0).unbonding == ()


def test_units_unstaked_in_one_block_are_one_entry_and_entries_are_bounded():
    chain = ValidatorChain()
    one = UnstakeConsensus(amount=1)
    assert chain.block((0, one), (0, one)) == ["ok", "ok"]
    (entry,) = chain.validator(0).unbonding
    assert entry.amount == 2
    for _ in range(UNBONDING_ENTRIES - 1):
        assert chain.block((0, one), after_ms=1) == ["ok"]
    assert chain.block((0, one), after_ms=1) == ["ledger.unbonding-full"]


def test_the_last_validator_cannot_leave():
    chain = ValidatorChain(make_test_validator_genesis(2))
    everything = UnstakeConsensus(amount=STAKE)
    assert chain.block((0, everything), (1, everything)) == ["ok", "ledger.last-validator"]
    assert chain.seats() == {1: POWER}
    assert chain.block((1, UnstakeConsensus(amount=STAKE - UNITS_PER_TOKEN))) == ["ok"]
    assert chain.seats() == {1: 1}
    assert chain.block((1, UnstakeConsensus(amount=1))) == ["ledger.last-validator"]


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (StakeConsensus(amount=0), "ledger.zero-amount"),
        (StakeConsensus(amount=2 * RICH), "ledger.balance-too-low"),
        (UnstakeConsensus(amount=0), "ledger.zero-amount"),
        (UnstakeConsensus(amount=STAKE + 1), "ledger.stake-too-low"),
        (WithdrawConsensus(), "ledger.nothing-matured"),
        (Unjail(), "ledger.not-jailed"),
    ],
)
def test_what_a_validator_is_refused(body, code):
    chain = ValidatorChain()
    assert chain.block((0, body)) == [code]
    if not isinstance(body, Unjail | WithdrawConsensus) and not body.amount:
        return
    assert chain.block((6, body)) == ["ledger.no-such-validator"]


@pytest.mark.parametrize(
    "body",
    [
        StakeConsensus(amount=1),
        UnstakeConsensus(amount=1),
        WithdrawConsensus(),
        Unjail(),
    ],
)
def test_a_chain_of_one_key_has_no_validators(body):
    chain = Chain()
    assert chain.do(account(0), body) == "ledger.no-validators"
    registration = ValidatorChain().registration(0)
    assert chain.do(account(0), registration) == "ledger.no-validators"
    assert chain.do(account(0), Transfer(to=account(1).address, amount=1)) == "ok"
