"""What the engine reports of validators, and what becomes of the set (`VAL-1`)."""

import pytest
from msgspec.structs import replace

from probatum.ledger.consensus_params import ConsensusParams, check_consensus_params
from probatum.ledger.invariants import InvariantBroken, check_changes, check_records
from probatum.ledger.params import list_parameters
from probatum.ledger.queries import decode_record
from probatum.ledger.seats import compute_updates
from probatum.ledger.validator_invariants import is_set, is_set_due
from probatum.protocol import limits
from probatum.protocol.blocks import Vote
from probatum.protocol.encoding import encode
from probatum.protocol.hashing import sha256
from probatum.protocol.primitives import (
    AMOUNT_BOUND,
    UNITS_PER_TOKEN,
    make_address,
    make_consensus_address,
    make_consensus_key,
)
from probatum.protocol.records import PARAMS_KEY, SUPPLY_KEY
from probatum.protocol.transactions.validators import (
    StakeConsensus,
    Unjail,
    UnstakeConsensus,
    WithdrawConsensus,
)
from probatum.protocol.validators import (
    VALIDATOR_SET_KEY,
    ConsensusUnbonding,
    Seat,
    ValidatorSet,
    get_consensus_key_key,
    get_validator_key,
)
from tests.chain import FEE, account
from tests.validators import (
    POWER,
    SMALL,
    STAKE,
    ValidatorChain,
    consensus_address,
    consensus_key,
    make_test_validator_genesis,
)


def supply(chain):
    return chain.record(SUPPLY_KEY)


def test_the_parameters_say_what_they_are_for_and_their_defaults_hold_together():
    table = list_parameters(ConsensusParams)
    assert [row.name for row in table] == list(ConsensusParams.__struct_fields__)
    assert all(row.description.endswith(".") for row in table)
    check_consensus_params(ConsensusParams())


def test_blocks_that_everybody_signs_write_nothing():
    chain = ValidatorChain()
    chain.wait(3)
    assert [applied.changes for applied in chain.applied] == [()] * 3


def test_who_misses_too_many_votes_of_a_window_is_jailed_and_slashed_a_little():
    chain = ValidatorChain()
    chain.wait(9)  # the window from height 10 on
    chain.wait(5, absent=[1])
    assert chain.missed(1).missed == 5
    assert chain.validator(1).jailed_until is None
    chain.wait(1, absent=[1])
    assert chain.height == 15
    assert chain.validator(1).jailed_until == 15 + SMALL.jail_blocks
    assert chain.validator(1).bonded == STAKE - STAKE // 100
    assert supply(chain).burned == STAKE // 100
    assert chain.missed(1) is None
    assert 1 not in chain.seats()
    (update,) = chain.applied[-1].validator_updates
    assert (update.key, update.power) == (consensus_key(1), 0)
    # The engine heeds that two blocks later; what it reports until then counts no more.
    chain.wait(3, absent=[1])
    assert chain.missed(1) is None
    assert chain.block((1, Unjail())) == ["ledger.jail-not-over"]
    assert chain.block((1, Unjail())) == ["ok"]
    assert chain.seats()[1] == POWER - 1


def test_windows_do_not_slide():
    chain = ValidatorChain()
    chain.wait(4)
    chain.wait(5, absent=[1])
    assert chain.missed(1).missed == 5
    chain.wait(5, absent=[1])
    assert (chain.missed(1).window, chain.missed(1).missed) == (1, 5)
    assert chain.validator(1).jailed_until is None


def test_jail_is_left_with_stake_enough_only():
    chain = ValidatorChain(make_test_validator_genesis(stakes={1: UNITS_PER_TOKEN}))
    chain.wait(9)
    chain.wait(6, absent=[1])
    chain.wait(5)
    assert chain.block((1, Unjail())) == ["ledger.stake-too-low"]
    assert chain.block((1, StakeConsensus(amount=UNITS_PER_TOKEN)), (1, Unjail())) == ["ok", "ok"]
    assert chain.seats()[1] == 1


def test_who_signs_twice_is_slashed_once_a_height_and_out_for_ever():
    chain = ValidatorChain()
    chain.wait(3)
    chain.block(misbehaviour=[chain.offence(2, 3), chain.offence(2, 3, kind="light-client-attack")])
    assert supply(chain).burned == STAKE // 10
    assert chain.validator(2).bonded == STAKE - STAKE // 10
    assert chain.validator(2).tombstoned_at == 4
    assert 2 not in chain.seats()
    record = chain.infraction(2, 3)
    assert (record.kind, record.slashed_units, record.convicted_at) == (
        "duplicate-vote",
        STAKE // 10,
        4,
    )
    chain.block(misbehaviour=[chain.offence(2, 3)])
    assert supply(chain).burned == STAKE // 10
    chain.block(misbehaviour=[chain.offence(2, 2)])
    assert supply(chain).burned == 2 * (STAKE // 10)
    assert chain.validator(2).tombstoned_at == 4
    for body in (StakeConsensus(amount=1), chain.registration(2, key=9), Unjail()):
        assert chain.block((2, body)) == ["ledger.tombstoned"]
    assert chain.block((2, UnstakeConsensus(amount=STAKE - STAKE // 5))) == ["ok"]


def test_one_attack_on_light_clients_is_punished_once_however_often_it_is_shown():
    chain = ValidatorChain()
    chain.wait(5)
    shown = [chain.offence(2, height, kind="light-client-attack") for height in (5, 4, 3)]
    chain.block(misbehaviour=shown)
    chain.block(misbehaviour=shown[1:])
    assert supply(chain).burned == STAKE // 10
    assert (chain.attack(2).kind, chain.attack(2).height) == ("light-client-attack", 5)
    chain.block(misbehaviour=[chain.offence(2, 5)])
    assert supply(chain).burned == STAKE // 10, "once a height"
    chain.block(misbehaviour=[chain.offence(2, 4)])
    assert supply(chain).burned == 2 * (STAKE // 10), "two votes are another deed"
    assert (chain.infraction(2, 4).kind, chain.infraction(2, 5)) == ("duplicate-vote", None)


def test_two_votes_of_little_power_do_not_pay_for_an_attack_of_much():
    """Who attacks could show the cheap thing first, and be out already."""
    chain = ValidatorChain()
    chain.wait(3)
    cheap = chain.offence(1, 2)
    assert chain.block((1, StakeConsensus(amount=49 * STAKE))) == ["ok"]
    chain.wait(3)
    chain.block(misbehaviour=[cheap])
    assert supply(chain).burned == FEE + STAKE // 10
    attack = chain.offence(1, 7, kind="light-client-attack", power=50 * POWER)
    chain.block(misbehaviour=[attack])
    assert supply(chain).burned == FEE + STAKE // 10 + 50 * STAKE // 10
    assert chain.validator(1).tombstoned_at == 8


def test_a_vote_that_is_reported_twice_is_missed_once():
    chain = ValidatorChain()
    chain.wait(1)
    assert chain.block((1, chain.registration(1, key=9))) == ["ok"]
    absent = tuple(Vote(validator=consensus_address(key), signed=False) for key in (1, 1, 9))
    chain.apply(replace(chain.blocks[-1], height=3, transactions=(), votes=absent))
    assert chain.missed(1).missed == 1


def test_misbehaviour_is_punished_before_votes_are_counted():
    chain = ValidatorChain()
    chain.wait(3)
    chain.block(absent=[1], misbehaviour=[chain.offence(1)])
    assert chain.validator(1).tombstoned_at == 4
    assert chain.missed(1) is None


def test_jail_does_not_shelter_from_evidence():
    chain = ValidatorChain()
    chain.wait(9)
    chain.wait(6, absent=[1])
    chain.block(misbehaviour=[chain.offence(1, 12)])
    record = chain.validator(1)
    assert (record.jailed_until, record.tombstoned_at) == (None, 16)
    chain.wait(5)
    assert chain.block((1, Unjail())) == ["ledger.tombstoned"]


@pytest.mark.parametrize(
    ("height", "touched"), [(3, True), (4, True), (5, True), (6, True), (7, False), (9, False)]
)
def test_stake_that_left_after_the_offence_is_slashed_too(height, touched):
    """It counted until the engine heeded the update: at the height after it was unstaked."""
    chain = ValidatorChain()
    chain.wait(4)
    chain.block((0, UnstakeConsensus(amount=STAKE)))
    chain.wait(4)
    chain.block(misbehaviour=[chain.offence(0, height)])
    (entry,) = chain.validator(0).unbonding
    assert entry.began_at == 5
    assert entry.amount == (STAKE - STAKE // 10 if touched else STAKE)


def test_what_is_to_be_slashed_cannot_be_withdrawn_in_the_same_block():
    chain = ValidatorChain()
    chain.block((0, UnstakeConsensus(amount=STAKE)))
    chain.wait(5)
    before = chain.balance(0)
    chain.block((0, WithdrawConsensus()), misbehaviour=[chain.offence(0, 1)])
    assert chain.balance(0) < before + STAKE - STAKE // 10
    assert supply(chain).burned > STAKE // 10


def test_more_than_there_is_cannot_be_burned():
    chain = ValidatorChain()
    chain.block((0, UnstakeConsensus(amount=STAKE // 2)))
    chain.block(misbehaviour=[chain.offence(0, 1, power=AMOUNT_BOUND - 1)])
    record = chain.validator(0)
    assert (record.bonded, record.unbonding) == (0, ())
    assert chain.infraction(0, 1).slashed_units == STAKE


def test_whoever_the_ledger_does_not_know_is_passed_over():
    chain = ValidatorChain()
    stranger = make_consensus_address(bytes(20))
    chain.wait(2)
    offence = chain.offence(19)
    assert offence.validator == consensus_address(19)
    chain.block(misbehaviour=[offence])
    block = replace(
        chain.blocks[-1],
        height=chain.height + 1,
        votes=(Vote(validator=stranger, signed=False),),
        misbehaviour=(),
    )
    chain.apply(block)
    assert [applied.changes for applied in chain.applied] == [()] * 4


def test_the_set_stays_as_it_was_while_nobody_qualifies():
    chain = ValidatorChain(make_test_validator_genesis(2))
    chain.wait(2)
    told = dict(chain.told)
    chain.block(misbehaviour=[chain.offence(0, 2), chain.offence(1, 2)])
    assert chain.told == told
    assert chain.applied[-1].validator_updates == ()
    chain.wait(3, absent=[0])
    assert chain.missed(0) is None
    assert chain.block((5, chain.registration(5)), (5, StakeConsensus(amount=STAKE))) == [
        "ok",
        "ok",
    ]
    assert chain.seats() == {5: POWER}
    assert len(chain.applied[-1].validator_updates) == 3


def make_seat(number, power):
    seed = sha256(b"seat %d" % number)
    return Seat(account=make_address(seed[:20]), key=make_consensus_key(seed), power=power)


def test_updates_lead_from_one_set_to_the_other():
    one, two, three = (make_seat(n, 5) for n in range(3))
    assert compute_updates((one, two), (one, two)) == ()
    found = compute_updates((one, two), (two, three, make_seat(4, 7)))
    assert [update.key for update in found] == sorted(update.key for update in found)
    assert {u.key: u.power for u in found} == {one.key: 0, three.key: 5, make_seat(4, 7).key: 7}


def test_all_power_together_stays_below_what_the_engine_can_count():
    assert (AMOUNT_BOUND - 1) // UNITS_PER_TOKEN < limits.TOTAL_POWER


def test_the_largest_set_fits_into_a_record():
    seats = tuple(make_seat(n, (AMOUNT_BOUND - 1) // UNITS_PER_TOKEN) for n in range(256 + 512))
    found = ValidatorSet(seats=seats[:256], waiting=seats[256:])
    assert len(encode(found)) <= limits.STATE_VALUE_BYTES
    assert decode_record(VALIDATOR_SET_KEY, encode(found)) == found


def test_a_set_that_is_none_is_a_breach():
    chain = ValidatorChain()
    found = chain.set
    seats = found.seats
    assert is_set(found)
    for bad in (
        ValidatorSet(seats=(), waiting=seats),
        ValidatorSet(seats=seats[::-1], waiting=()),
        ValidatorSet(seats=seats, waiting=seats[-1:]),
        ValidatorSet(seats=(*seats, make_seat(1, 0)), waiting=()),
    ):
        assert not is_set(bad)
        with pytest.raises(InvariantBroken):
            check_changes([(VALIDATOR_SET_KEY, found, bad)])
    records = [decode_record(k, v) for k, v in chain.state.items() if k != PARAMS_KEY]
    check_records(records)
    other = ValidatorSet(seats=seats[:-1], waiting=())
    with pytest.raises(InvariantBroken, match="another set"):
        check_records([other if record == found else record for record in records])
    assert not is_set_due(found, [], None)
    assert is_set_due(None, [], None)


def test_who_was_forgotten_among_very_many_may_qualify_and_wait_for_its_next_act(monkeypatch):
    monkeypatch.setattr(limits, "VALIDATOR_CANDIDATES", 2)
    genesis = make_test_validator_genesis(1, consensus=replace(SMALL, max_validators=1))
    chain = ValidatorChain(genesis)  # it checks all records after each block
    amounts = {number: STAKE - number * UNITS_PER_TOKEN for number in (1, 2, 3)}
    for number, amount in amounts.items():
        acts = ((number, chain.registration(number)), (number, StakeConsensus(amount=amount)))
        assert chain.block(*acts) == ["ok", "ok"]
    listed = [account(number).address for number in (0, 1, 2)]
    assert [seat.account for seat in (*chain.set.seats, *chain.set.waiting)] == listed
    for number in (1, 2):
        chain.block((number, UnstakeConsensus(amount=amounts[number])))
    assert [seat.account for seat in (*chain.set.seats, *chain.set.waiting)] == listed[:1]
    # What the set holds is held to the records all the same.
    records = [decode_record(k, v) for k, v in chain.state.items() if k != PARAMS_KEY]
    (seat,) = chain.set.seats
    other = ValidatorSet(seats=(replace(seat, power=seat.power + 1),), waiting=())
    with pytest.raises(InvariantBroken, match="another set"):
        check_records([other if record == chain.set else record for record in records])
    chain.block((3, StakeConsensus(amount=1)))
    assert [seat.account for seat in chain.set.waiting] == [account(3).address]


def test_what_only_grows_or_stays_is_watched():
    chain = ValidatorChain()
    chain.block(misbehaviour=[chain.offence(0, 1)])
    place = get_validator_key(account(0).address)
    convicted = chain.validator(0)
    key_place = get_consensus_key_key(consensus_address(0))
    held = chain.record(key_place)
    for key, before, now in (
        (place, convicted, replace(convicted, tombstoned_at=None)),
        (place, convicted, None),
        (key_place, held, replace(held, registered_at=9)),
        (key_place, held, None),
        (VALIDATOR_SET_KEY, chain.set, None),
    ):
        with pytest.raises(InvariantBroken):
            check_changes([(key, before, now)])
    grown = replace(
        convicted,
        unbonding=(ConsensusUnbonding(amount=1, began_at=1, matures_at=2, matures_ms=3),),
    )
    with pytest.raises(InvariantBroken, match="came from nowhere"):
        check_changes([(place, convicted, grown)])
