"""Forged headers, commits, sets and trust files: each refused by its own code (`LIGHT-1`)."""

import pytest
from msgspec.structs import replace as change

from probatum.consensus.cometbft.light.hashing import compute_engine_hash
from probatum.consensus.cometbft.light.states import advance, start_from_seal, start_from_trust
from probatum.consensus.trusting import check_header
from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.commits import ABSENT, COMMITTED, NIL, EngineTime, Validator
from probatum.protocol.hashing import sha256
from probatum.protocol.headers import SignedHeader
from tests.factories import make_header, make_trust
from tests.light_chain import (
    NO_VOTE,
    PERIOD_MS,
    START_MS,
    LightChain,
    get_now_ms,
    get_time,
    list_values,
    make_engine_header,
    make_seal,
    make_voters,
)

FOUR = make_voters(range(4))
OTHERS = make_voters(range(10, 14))
CHAIN = LightChain({0: FOUR})
FORK = LightChain({0: FOUR}, branch=b"another past")
TRUST = CHAIN.make_trust(3)
NOW = get_now_ms(6)


def refuse(signed, trust=TRUST, now_ms=NOW):
    with pytest.raises(Refusal) as refused:
        check_header(trust, signed, now_ms)
    return refused.value.code


def with_seal(**changes):
    """The header of height 5, something of whose seal is changed."""
    signed = CHAIN.sign(5)
    return change(signed, seal=change(signed.seal, **changes))


def with_engine(**changes):
    """The same with something of the engine's header changed, and the votes as they were."""
    seal = CHAIN.sign(5).seal
    return with_seal(header=change(seal.header, **changes))


def with_commit(**changes):
    return with_seal(commit=change(CHAIN.sign(5).seal.commit, **changes))


def with_votes(*votes):
    """The same with the first votes replaced."""
    found = CHAIN.sign(5).seal.commit.votes
    return with_commit(votes=(*votes, *found[len(votes) :]))


def resigned(voters=FOUR, flags=None, following=None, **changes):
    """The header of height 5, sealed anew by whoever: the signatures hold."""
    good = CHAIN.make_engine_header(6)
    header = make_engine_header(6, voters, following or voters, good.app_hash, **changes)
    return SignedHeader(header=CHAIN.headers[5], seal=make_seal(header, voters, flags))


def vote(**changes):
    return change(CHAIN.sign(5).seal.commit.votes[0], **changes)


def flip(data, at=0):
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


GOOD = CHAIN.sign(5).seal
SIGNATURE = GOOD.commit.votes[0].signature
ORDER = 2**252 + 27742317777372353535851937790883648493
HIGHER_S = SIGNATURE[:32] + (int.from_bytes(SIGNATURE[32:], "little") + ORDER).to_bytes(
    32, "little"
)


@pytest.mark.parametrize("trusted", [0, 1, 3, 5, 6])
def test_the_honest_header_is_believed_from_any_earlier_state(trusted):
    assert check_header(CHAIN.make_trust(trusted), CHAIN.sign(5), NOW) == CHAIN.headers[5]


@pytest.mark.parametrize(
    ("what", "signed", "code"),
    [
        # What the seal is about.
        ("a header with one bit changed",
         change(CHAIN.sign(5), header=change(CHAIN.headers[5], state_root=sha256(b"x"))),
         "light.other-app-hash"),
        ("the seal of another header", change(CHAIN.sign(5), seal=CHAIN.sign(6).seal),
         "light.other-height"),
        ("a header of another branch", change(CHAIN.sign(5), header=FORK.headers[5]),
         "light.other-app-hash"),
        ("another chain of ours",
         change(CHAIN.sign(5), header=change(CHAIN.headers[5], chain_id=9)),
         "trust.other-chain"),
        ("another genesis",
         change(CHAIN.sign(5), header=change(CHAIN.headers[5], genesis_hash=sha256(b"x"))),
         "trust.other-chain"),
        ("the embedded engine's seal", make_header(5), "trust.other-seal"),
        ("another chain of the engine's", resigned(chain_id="probatum-4242-0000000000000000"),
         "light.other-chain"),
        # The engine's header.
        ("another application hash, signed by nobody", with_engine(app_hash=sha256(b"x")),
         "light.other-app-hash"),
        ("another time", with_engine(time=get_time(5)), "light.other-hash"),
        ("another proposer", with_engine(proposer=bytes(20)), "light.other-hash"),
        ("a version of the application", with_engine(app_version=2), "light.other-hash"),
        ("another evidence hash", with_engine(evidence_hash=b""), "light.other-hash"),
        ("other next validators", with_engine(next_validators_hash=bytes(32)), "light.other-hash"),
        ("a last block", with_engine(last_block=GOOD.commit.block), "light.other-hash"),
        # The commit.
        ("a commit of another height", with_commit(height=5), "light.other-height"),
        ("a commit of another round", with_commit(round=1), "light.bad-signature"),
        ("a commit for another block",
         with_commit(block=change(GOOD.commit.block, hash=sha256(b"x"))), "light.other-hash"),
        ("other parts of the block", with_commit(block=change(GOOD.commit.block, parts=2)),
         "light.bad-signature"),
        ("another hash of the parts",
         with_commit(block=change(GOOD.commit.block, parts_hash=sha256(b"x"))),
         "light.bad-signature"),
        ("a commit for no block", with_commit(block=change(GOOD.commit.block, hash=b"")),
         "light.other-hash"),
        ("a vote too few", with_commit(votes=GOOD.commit.votes[:3]), "light.wrong-count"),
        ("a vote too many", with_commit(votes=(*GOOD.commit.votes, NO_VOTE)), "light.wrong-count"),
        ("a changed signature", with_votes(vote(signature=flip(SIGNATURE))), "light.bad-signature"),
        ("a signature with its S above the order", with_votes(vote(signature=HIGHER_S)),
         "light.bad-signature"),
        ("a signature of zeros", with_votes(vote(signature=bytes(64))), "light.bad-signature"),
        ("a short signature", with_votes(vote(signature=SIGNATURE[:63])), "light.bad-vote"),
        ("another time of a vote", with_votes(vote(time=get_time(9))), "light.bad-signature"),
        ("one vote twice", with_votes(GOOD.commit.votes[0], GOOD.commit.votes[0]),
         "light.other-validator"),
        ("a vote by another address", with_votes(vote(validator=bytes(20))),
         "light.other-validator"),
        ("a vote without an address", with_votes(vote(validator=b"")), "light.other-validator"),
        ("votes in another order", with_commit(votes=GOOD.commit.votes[::-1]),
         "light.other-validator"),
        ("a nil vote that says it is for the block",
         with_votes(change(resigned(flags=[NIL] + [COMMITTED] * 3).seal.commit.votes[0],
                           flag=COMMITTED)), "light.bad-signature"),
        ("a vote for the block that says it is nil", with_votes(vote(flag=NIL)),
         "light.bad-signature"),
        ("an absent vote with a signature", with_votes(vote(flag=ABSENT)), "light.bad-vote"),
        ("an absent vote with a time", with_votes(change(NO_VOTE, time=get_time(6))),
         "light.bad-vote"),
        ("two thirds and no more",
         resigned(make_voters(range(3)), [COMMITTED, COMMITTED, ABSENT]), "light.too-little-power"),
        ("half for the block, half for nil", resigned(flags=[COMMITTED, COMMITTED, NIL, NIL]),
         "light.too-little-power"),
        ("nobody", resigned(flags=[ABSENT] * 4), "light.too-little-power"),
        # The set.
        ("another set than the header names", with_seal(validators=list_values(OTHERS)),
         "light.other-validators"),
        ("the set in another order", with_seal(validators=list_values(FOUR)[::-1]),
         "light.other-validators"),
        ("another power",
         with_seal(validators=(change(GOOD.validators[0], power=2), *GOOD.validators[1:])),
         "light.other-validators"),
        ("a validator twice", resigned((FOUR[0], FOUR[0], FOUR[1])), "light.duplicate-validator"),
        ("no validators", with_seal(validators=()), "light.no-validators"),
        ("more power than there can be",
         with_seal(validators=tuple(
             Validator(key=one.key, power=limits.TOTAL_POWER) for one in GOOD.validators)),
         "light.too-much-power"),
        # The way from what is trusted.
        ("strangers, all of whom signed", resigned(OTHERS), "light.too-little-trust"),
        ("a third of the trusted and no more, among strangers",
         resigned(make_voters([0, 10, 11, 12])), "light.too-little-trust"),
        ("a time that is not after what is trusted", resigned(time=change(get_time(3), nanos=0)),
         "light.time-back"),
        ("a time from the future",
         resigned(time=EngineTime(seconds=(NOW + 10_000) // 1_000 + 1, nanos=0)),
         "light.from-the-future"),
    ],
    ids=lambda value: value if isinstance(value, str) and " " in value else "",
)  # fmt: skip
def test_forgeries_are_refused_each_by_its_code(what, signed, code):
    assert refuse(signed) == code, what


def test_what_is_older_than_the_trusting_period_proves_nothing():
    last = TRUST.time_ms + PERIOD_MS
    late = resigned(time=EngineTime(seconds=last // 1_000 - 1, nanos=0))
    check_header(TRUST, late, last - 1)
    assert refuse(late, now_ms=last) == "light.expired"


@pytest.mark.parametrize(("nanos", "holds"), [(-1, True), (0, False)])
def test_a_header_may_be_ahead_of_the_clock_by_less_than_ten_seconds(nanos, holds):
    seconds, rest = divmod((NOW + 10_000) * 1_000_000 + nanos, 1_000_000_000)
    ahead = resigned(time=EngineTime(seconds=seconds, nanos=rest))
    if holds:
        check_header(TRUST, ahead, NOW)
    else:
        assert refuse(ahead) == "light.from-the-future"


def test_a_header_before_the_trusted_one_is_refused():
    assert refuse(CHAIN.sign(5), CHAIN.make_trust(7), get_now_ms(9)) == "light.before-trust"


def test_the_next_height_must_have_the_announced_validators():
    trust = CHAIN.make_trust(5)
    check_header(trust, CHAIN.sign(5), NOW)
    # Two of the four go on: enough for a skip, yet this height was announced with all four.
    half = make_voters([0, 1, 10, 11])
    assert refuse(resigned(half), trust) == "light.other-next-validators"
    check_header(CHAIN.make_trust(4), resigned(half), NOW)


def test_two_signed_blocks_of_one_height_are_a_fork():
    state = start_from_seal(CHAIN.make_seal(6))
    times = {"now_ms": NOW, "trusting_period_ms": PERIOD_MS}
    assert advance(state, CHAIN.make_seal(6), **times) is state
    with pytest.raises(Refusal) as refused:
        advance(state, FORK.make_seal(6), **times)
    assert refused.value.code == "light.fork"
    # Nobody is accused by what strangers, or too few, have signed.
    with pytest.raises(Refusal) as refused:
        advance(state, resigned(OTHERS).seal, **times)
    assert refused.value.code == "light.too-little-trust"
    with pytest.raises(Refusal) as refused:
        advance(state, FORK.make_seal(6, [COMMITTED, COMMITTED, ABSENT, ABSENT]), **times)
    assert refused.value.code == "light.too-little-power"


def test_a_trust_file_of_another_header_is_found_out_at_its_own_height():
    trust = change(CHAIN.make_trust(6), header_hash=sha256(b"x").hex())
    assert refuse(CHAIN.sign(5), trust) == "light.fork"


def test_a_trust_file_with_a_validator_twice_is_refused():
    trust = CHAIN.make_trust(3)
    twice = change(trust, validators=(trust.validators[0], *trust.validators))
    assert refuse(CHAIN.sign(5), twice) == "light.duplicate-validator"


def test_a_trust_file_of_another_engine_is_refused():
    assert refuse(CHAIN.sign(5), make_trust()) == "trust.other-seal"


def test_the_engine_header_of_a_trust_file_is_named_by_its_hash():
    state = start_from_trust(CHAIN.make_trust(6))
    assert state.hash == compute_engine_hash(CHAIN.make_engine_header(6))
    assert state.time_ns == START_MS * 1_000_000 + 6_000_000_000
