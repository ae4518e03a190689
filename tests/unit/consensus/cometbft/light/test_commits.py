"""Commits that hold, and votes that only the engine takes (`LIGHT-1`)."""

import pytest
from msgspec.structs import replace as change

from probatum.consensus.cometbft.light.commits import check_commit, drop_odd_votes
from probatum.consensus.cometbft.light.seals import seal_header
from probatum.consensus.trusting import check_header
from probatum.errors import Refusal
from probatum.protocol.commits import ABSENT, COMMITTED, NIL
from tests.light_chain import NO_VOTE, LightChain, get_now_ms, make_voters

UNEQUAL = tuple(
    voter for number, power in enumerate((40, 30, 20, 10)) for voter in make_voters([number], power)
)
CHAIN = LightChain({0: make_voters(range(4))})
WEIGHED = LightChain({0: UNEQUAL})


@pytest.mark.parametrize(
    ("flags", "holds"),
    [
        ([COMMITTED, COMMITTED, ABSENT, ABSENT], True),
        ([COMMITTED, ABSENT, COMMITTED, COMMITTED], True),
        ([COMMITTED, NIL, COMMITTED, ABSENT], False),
        ([ABSENT, COMMITTED, COMMITTED, COMMITTED], False),
    ],
)
def test_power_counts_and_not_heads(flags, holds):
    seal = WEIGHED.make_seal(5, flags)
    if holds:
        check_commit(seal)
        return
    with pytest.raises(Refusal) as refused:
        check_commit(seal)
    assert refused.value.code == "light.too-little-power"


def test_a_vote_that_only_the_engine_takes_is_left_out_of_a_seal():
    seal = CHAIN.make_seal(5)
    odd = change(seal.commit.votes[2], signature=bytes(64))
    votes = (*seal.commit.votes[:2], odd, seal.commit.votes[3])
    given = change(seal, commit=change(seal.commit, votes=votes))
    with pytest.raises(Refusal):
        check_commit(given)
    kept = drop_odd_votes(given)
    assert kept.commit.votes == (*votes[:2], NO_VOTE, votes[3])
    check_commit(kept)


def test_a_header_is_sealed_so_that_light_clients_take_it():
    good = CHAIN.make_seal(5)
    votes = good.commit.votes

    def spoil(count):
        odd = [change(vote, signature=bytes(64)) for vote in votes[:count]]
        return change(good, commit=change(good.commit, votes=(*odd, *votes[count:])))

    assert seal_header(CHAIN.headers[4], good).seal is good
    sealed = seal_header(CHAIN.headers[4], spoil(1))
    assert [vote.flag for vote in sealed.seal.commit.votes] == [ABSENT, *[COMMITTED] * 3]
    assert check_header(CHAIN.make_trust(0), sealed, get_now_ms(6)) == CHAIN.headers[4]
    for header, seal, code in (
        (CHAIN.headers[4], spoil(2), "light.too-little-power"),
        (CHAIN.headers[3], good, "light.other-height"),
        (change(CHAIN.headers[4], time_ms=1), good, "light.other-app-hash"),
    ):
        with pytest.raises(Refusal) as refused:
            seal_header(header, seal)
        assert refused.value.code == code


def test_good_votes_stay_as_they_are():
    seal = CHAIN.make_seal(5, [COMMITTED, COMMITTED, COMMITTED, NIL])
    assert drop_odd_votes(seal) == seal
