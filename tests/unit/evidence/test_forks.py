"""Two sealed headers of one height, as evidence that anybody can check."""

import pytest
from msgspec.structs import replace as change

from probatum.consensus.trusting import make_header_check
from probatum.errors import Refusal
from probatum.evidence.forks import check_fork, decode_fork, encode_fork, make_fork
from probatum.protocol.commits import ABSENT, COMMITTED
from tests.factories import LEDGER, make_chain, make_check, make_trust
from tests.light_chain import LightChain, get_now_ms, make_voters

FOUR = make_voters(range(4))
CHAIN, FORK = LightChain({0: FOUR}), LightChain({0: FOUR}, branch=b"another past")
CHECK = make_header_check(CHAIN.make_trust(2), get_now_ms(9))


def refuse(fork, check=CHECK):
    with pytest.raises(Refusal) as refused:
        check_fork(fork, check)
    return refused.value.code


def test_whoever_signed_both_is_named():
    one = CHAIN.sign(6, flags=[COMMITTED, COMMITTED, COMMITTED, ABSENT])
    other = FORK.sign(6, flags=[ABSENT, COMMITTED, COMMITTED, COMMITTED])
    fork = make_fork(one, other)
    assert make_fork(other, one) == fork
    assert decode_fork(encode_fork(fork) + b"\n") == fork
    assert check_fork(fork, CHECK) == tuple(sorted(v.address.hex() for v in FOUR[1:3]))


def test_a_key_that_signed_two_pasts_is_named():
    fork = make_fork(make_chain(3)[2], make_chain(3, fork=b"x")[2])
    assert check_fork(fork, make_check(make_trust())) == (LEDGER.key.hex(),)


def test_what_does_not_contradict_is_no_evidence():
    assert refuse(make_fork(CHAIN.sign(6), CHAIN.sign(6))) == "fork.no-contradiction"
    assert refuse(make_fork(CHAIN.sign(6), CHAIN.sign(7))) == "fork.no-contradiction"
    # Who else signed the same header contradicts nothing.
    fewer = CHAIN.sign(6, flags=[COMMITTED, COMMITTED, COMMITTED, ABSENT])
    assert refuse(make_fork(CHAIN.sign(6), fewer)) == "fork.no-contradiction"


def test_a_header_that_does_not_follow_contradicts_the_one_before():
    fork = make_fork(CHAIN.sign(6), FORK.sign(7))
    assert check_fork(fork, CHECK) == tuple(sorted(voter.address.hex() for voter in FOUR))
    assert refuse(make_fork(CHAIN.sign(6), FORK.sign(8))) == "fork.no-contradiction"


def test_two_blocks_of_the_engine_over_one_state_contradict_each_other():
    other = CHAIN.sign(6, data_hash=b"\1" * 32)
    assert other.header == CHAIN.sign(6).header
    assert len(check_fork(make_fork(CHAIN.sign(6), other), CHECK)) == 4


def test_what_nobody_sealed_is_no_evidence():
    few = FORK.sign(6, flags=[COMMITTED, COMMITTED, ABSENT, ABSENT])
    assert refuse(make_fork(CHAIN.sign(6), few)) == "light.too-little-power"
    strangers = LightChain({0: make_voters(range(10, 14))})
    assert refuse(make_fork(CHAIN.sign(6), strangers.sign(6))) == "light.too-little-trust"


def test_evidence_has_one_form():
    fork = make_fork(CHAIN.sign(6), FORK.sign(6))
    assert refuse(change(fork, headers=("?", fork.headers[0]))) == "fork.malformed"
    assert refuse(change(fork, headers=("", fork.headers[0]))) == "encoding.malformed"
    with pytest.raises(Refusal):
        decode_fork(b"x" * 300_000)
