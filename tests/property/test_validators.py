"""Whatever validators do and the engine reports: units are conserved, the engine is never misled.

Every block runs through `ValidatorChain`, which refuses what CometBFT refuses (the set empty, a
key twice, an unknown key removed), holds what was told to the records, and checks the whole state.
"""

from hypothesis import given, settings
from hypothesis import strategies as st

from probatum.ledger.apply import apply_block
from probatum.ledger.consensus_params import ConsensusParams
from probatum.ledger.genesis import compute_genesis_changes
from probatum.protocol.blocks import Block, Misbehaviour, Vote
from probatum.protocol.encoding import decode, encode
from probatum.protocol.primitives import UNITS_PER_TOKEN, make_consensus_address
from probatum.protocol.transactions.kinds import Transfer
from probatum.protocol.transactions.validators import (
    StakeConsensus,
    Unjail,
    UnstakeConsensus,
    WithdrawConsensus,
)
from tests.chain import RICH, account
from tests.validators import (
    STAKE,
    ValidatorChain,
    consensus_address,
    make_test_validator_genesis,
)

ACCOUNTS = 5
KEYS = 8
TINY = ConsensusParams(
    max_validators=3,
    vote_window_blocks=4,
    least_signed_permille=500,
    jail_blocks=2,
    slash_double_sign_permille=500,
    slash_downtime_permille=333,
    consensus_unbonding_blocks=3,
    consensus_unbonding_ms=2_500,
    evidence_age_blocks=2,
    evidence_age_ms=2_000,
)
GENESIS = make_test_validator_genesis(3, ACCOUNTS, consensus=TINY, stakes={1: 3 * STAKE})
number = st.integers(0, ACCOUNTS - 1)
amount = st.one_of(
    st.sampled_from([0, 1, UNITS_PER_TOKEN, STAKE, STAKE - 1, 3 * STAKE, RICH, 2**63 - 1]),
    st.integers(0, 4 * STAKE),
)
bodies = st.one_of(
    st.builds(lambda n, k: lambda c: c.registration(n, key=k), number, st.integers(0, KEYS)),
    st.builds(lambda a: lambda _: StakeConsensus(amount=a), amount),
    st.builds(lambda a: lambda _: UnstakeConsensus(amount=a), amount),
    st.just(lambda _: WithdrawConsensus()),
    st.just(lambda _: Unjail()),
    st.builds(lambda a: lambda _: Transfer(to=account(0).address, amount=a), amount),
)
address = st.one_of(
    st.integers(0, KEYS).map(consensus_address), st.just(make_consensus_address(bytes(20)))
)
offences = st.builds(
    Misbehaviour,
    kind=st.sampled_from(["duplicate-vote", "light-client-attack"]),
    validator=address,
    height=st.integers(0, 12),
    time_ms=st.integers(0, 20_000),
    power=st.sampled_from([0, 1, 10, 30, 2**63 - 1]),
    total_power=st.just(50),
)
votes = st.builds(Vote, validator=address, signed=st.booleans())
blocks = st.lists(
    st.fixed_dictionaries(
        {
            "acts": st.lists(st.tuples(number, bodies), max_size=4),
            "absent": st.sets(st.integers(0, KEYS), max_size=3),
            "misbehaviour": st.lists(offences, max_size=2),
            "after_ms": st.sampled_from([1, 1_000, 3_000]),
        }
    ),
    min_size=1,
    max_size=14,
)


def run(plan):
    chain = ValidatorChain(GENESIS)
    for block in plan:
        acts = [(n, make(chain)) for n, make in block["acts"]]
        chain.block(*acts, **{name: block[name] for name in block if name != "acts"})
    return chain


@given(plan=blocks)
def test_units_are_conserved_and_the_engine_is_told_what_the_records_say(plan):
    chain = run(plan)
    told = {seat.key: seat.power for seat in chain.set.seats}
    assert told == chain.told
    assert 1 <= len(told) <= TINY.max_validators
    for n in range(ACCOUNTS):
        record = chain.validator(n)
        out = record is not None and (record.jailed_until or record.tombstoned_at)
        if out and any(other != n for other in chain.seats()):
            standing = [chain.validator(other) for other in chain.seats()]
            stuck = all(r.jailed_until or r.tombstoned_at or r.bonded < STAKE for r in standing)
            assert stuck or n not in chain.seats()


@settings(max_examples=25)
@given(plan=blocks)
def test_recorded_blocks_replay_alike_from_their_bytes(plan):
    chain = run(plan)
    state = {change.key: change.value for change in compute_genesis_changes(GENESIS)}
    for block, applied in zip(chain.blocks, chain.applied, strict=True):
        again = decode(Block, encode(block), limit_bytes=1 << 24)
        # A store restored from elsewhere holds the same records in another order.
        state = dict(sorted(state.items(), reverse=True))
        assert apply_block(state, again, chain.domain) == applied
        for change in applied.changes:
            if change.value is None:
                del state[change.key]
            else:
                state[change.key] = change.value
    assert state == chain.state


@given(
    reported=st.lists(votes, max_size=6),
    found=st.lists(offences, max_size=4),
    height=st.integers(1, 40),
)
def test_whatever_an_engine_reports_is_taken(reported, found, height):
    """Twice the same validator, strangers, heights to come: nothing of it is an error."""
    chain = ValidatorChain(GENESIS)
    chain.height = height - 1
    chain.apply(
        Block(
            height=height,
            time_ms=height * 1_000,
            transactions=(),
            proposer=None,
            votes=tuple(reported),
            misbehaviour=tuple(found),
        )
    )


def test_the_plan_reaches_jail_convictions_and_withdrawals():
    """The strategies are worth something only if what they draw can happen."""
    one = UNITS_PER_TOKEN
    chain = ValidatorChain(GENESIS)
    assert chain.block((3, chain.registration(3)), (3, StakeConsensus(amount=5 * STAKE))) == [
        "ok",
        "ok",
    ]
    chain.wait(2)
    third, waits = sorted({0, 2}, key=lambda n: n not in chain.seats())
    chain.wait(3, absent=[third])
    assert chain.validator(third).jailed_until == 8
    chain.wait(1, misbehaviour=[chain.offence(1)])
    assert chain.validator(1).tombstoned_at == 7
    assert set(chain.seats()) == {waits, 3}
    assert chain.block((3, UnstakeConsensus(amount=one))) == ["ok"]
    chain.wait(3)
    assert chain.block((3, WithdrawConsensus())) == ["ok"]
