"""Commits that hold, by votes that the engine takes (`LIGHT-1`)."""

import pytest
from msgspec.structs import replace as change

from probatum.consensus.cometbft.light.commits import (
    check_commit,
    check_overlap,
    check_validators,
)
from probatum.consensus.cometbft.light.hashing import make_sign_bytes
from probatum.consensus.cometbft.light.seals import seal_header
from probatum.consensus.trusting import check_header
from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.commits import ABSENT, COMMITTED, NIL, Validator
from probatum.protocol.ed25519 import check_signature
from tests.light_chain import LightChain, get_now_ms, make_voters, sign_oddly

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


@pytest.mark.parametrize(("power", "holds"), [(33, True), (32, False), (31, False)])
def test_a_third_of_a_trusted_power_is_not_more_than_a_third(power, holds):
    """Powers count as they were trusted, not as they are now; votes for nothing do not count."""
    seal = WEIGHED.make_seal(5, [COMMITTED, COMMITTED, COMMITTED, NIL])
    signed, _, _, nil = UNEQUAL
    gone = make_voters([9])[0]
    trusted = (
        Validator(key=signed.value.key, power=power),
        Validator(key=nil.value.key, power=32),
        Validator(key=gone.value.key, power=32),
    )
    if holds:
        check_overlap(seal, trusted)
        return
    with pytest.raises(Refusal) as refused:
        check_overlap(seal, trusted)
    assert refused.value.code == "light.too-little-trust"


def test_a_set_has_as_much_power_as_the_engine_allows_and_no_more():
    one, other = (voter.value.key for voter in make_voters([1, 2]))
    most = Validator(key=one, power=limits.TOTAL_POWER - 1)
    assert check_validators((most, Validator(key=other, power=1))) == limits.TOTAL_POWER
    with pytest.raises(Refusal) as refused:
        check_validators((most, Validator(key=other, power=2)))
    assert refused.value.code == "light.too-much-power"


def resign(seal, place, sign):
    """The seal with another signature at a place, by a voter of `CHAIN`."""
    vote = seal.commit.votes[place]
    signer = make_voters(range(4))[place].signer
    message = make_sign_bytes(seal.header.chain_id, seal.commit, vote)
    votes = list(seal.commit.votes)
    votes[place] = change(vote, signature=sign(signer, message))
    return change(seal, commit=change(seal.commit, votes=tuple(votes)))


@pytest.mark.parametrize("flag", [COMMITTED, NIL])
def test_a_vote_that_only_the_engine_takes_holds(flag):
    seal = resign(CHAIN.make_seal(5, [COMMITTED, COMMITTED, COMMITTED, flag]), 3, sign_oddly)
    vote = seal.commit.votes[3]
    message = make_sign_bytes(seal.header.chain_id, seal.commit, vote)
    with pytest.raises(Refusal):
        check_signature(seal.validators[3].key, message, vote.signature)
    check_commit(seal)


def test_a_proposer_cannot_keep_a_block_from_being_believed():
    """It signed oddly, and put its own vote and two of three others into its block for good."""
    given = resign(CHAIN.make_seal(5, [COMMITTED, COMMITTED, COMMITTED, ABSENT]), 0, sign_oddly)
    sealed = seal_header(CHAIN.headers[4], given)
    assert sealed.seal is given
    assert check_header(CHAIN.make_trust(0), sealed, get_now_ms(6)) == CHAIN.headers[4]


def test_a_header_is_sealed_so_that_light_clients_take_it():
    good = CHAIN.make_seal(5)
    assert seal_header(CHAIN.headers[4], good).seal is good
    for header, seal, code in (
        (CHAIN.headers[4], resign(good, 1, lambda *_: bytes(64)), "light.bad-signature"),
        (CHAIN.headers[3], good, "light.other-height"),
        (change(CHAIN.headers[4], time_ms=1), good, "light.other-app-hash"),
    ):
        with pytest.raises(Refusal) as refused:
            seal_header(header, seal)
        assert refused.value.code == code
