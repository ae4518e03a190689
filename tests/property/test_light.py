"""Whatever is changed of a sealed header, it is refused or still the same header (`LIGHT-1`)."""

import json
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace as change

from probatum.consensus.cometbft.light.answers import read_commit, read_validators
from probatum.consensus.cometbft.light.commits import check_commit, check_overlap
from probatum.consensus.trusting import believe, check_header, check_next
from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.commits import ABSENT, COMMITTED, NIL
from probatum.protocol.encoding import decode, encode
from probatum.protocol.headers import SignedHeader
from probatum.protocol.trust import decode_trust, encode_trust
from tests.light_chain import LightChain, get_now_ms, list_values, make_seal, make_voters

FOUR = make_voters(range(4))
CHAIN = LightChain({0: FOUR})
TRUST = CHAIN.make_trust(2)
GOOD = CHAIN.sign(6)
DATA = encode(GOOD)
NOW = get_now_ms(8)
VECTORS = Path(__file__).parents[2] / "vectors" / "cometbft"
COMMIT = json.dumps(json.loads((VECTORS / "commit_h4.json").read_bytes())["result"]).encode()
VALIDATORS = json.dumps(json.loads((VECTORS / "validators.json").read_bytes())["result"]).encode()


def find_code(check, *arguments):
    """The code of the refusal, None if there is none."""
    try:
        check(*arguments)
    except Refusal as refusal:
        return refusal.code
    return None


flags = st.lists(st.sampled_from([ABSENT, COMMITTED, NIL]), min_size=4, max_size=4)
powers = st.lists(st.integers(1, 5), min_size=4, max_size=4)


@given(st.integers(0, len(DATA) - 1), st.integers(0, 3), st.binary(max_size=3))
def test_no_piece_of_a_sealed_header_changes_unnoticed(at, length, piece):
    data = DATA[:at] + piece + DATA[at + length :]
    try:
        signed = decode(SignedHeader, data, limit_bytes=limits.SIGNED_HEADER_BYTES)
        check_header(TRUST, signed, NOW)
    except Refusal:
        assert data != DATA
    else:
        assert data == DATA


def test_no_bit_of_a_sealed_header_changes_unnoticed():
    for at in range(8 * len(DATA)):
        data = bytearray(DATA)
        data[at // 8] ^= 1 << at % 8
        try:
            signed = decode(SignedHeader, bytes(data), limit_bytes=limits.SIGNED_HEADER_BYTES)
            check_header(TRUST, signed, NOW)
        except Refusal:
            continue
        raise AssertionError(f"bit {at} may be flipped")


@settings(max_examples=40, deadline=None)
@given(powers, flags)
def test_more_than_two_thirds_by_power_and_nothing_else(weights, found):
    voters = tuple(
        voter for number, power in enumerate(weights) for voter in make_voters([number], power)
    )
    seal = make_seal(LightChain({0: voters}, length=4).make_engine_header(4), voters, found)
    signed = sum(power for power, flag in zip(weights, found, strict=True) if flag == COMMITTED)
    enough = 3 * signed > 2 * sum(weights)
    assert find_code(check_commit, seal) == (None if enough else "light.too-little-power")


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(0, 9), min_size=1, max_size=6))
def test_more_than_a_third_of_what_is_trusted(numbers):
    voters = make_voters(sorted(numbers))
    seal = make_seal(LightChain({0: voters}, length=4).make_engine_header(4), voters)
    enough = len(numbers & set(range(4))) >= 2
    found = find_code(check_overlap, seal, list_values(FOUR))
    assert found == (None if enough else "light.too-little-trust")


@settings(max_examples=30, deadline=None)
@given(st.lists(st.integers(1, 12), min_size=1, max_size=6))
def test_who_moves_on_believes_what_the_trust_file_leads_to(heights):
    believed = believe(CHAIN.make_trust(0))
    top = 0
    for height in heights:
        signed = CHAIN.sign(height)
        found = find_code(check_next, believed, signed, get_now_ms(14))
        assert found == (None if height >= top else "light.before-trust")
        if found is None:
            believed, top = check_next(believed, signed, get_now_ms(14)), height
    assert believed.state.height == top + 1


@given(st.binary(max_size=300))
def test_bytes_from_anywhere_are_refused_as_answers(data):
    for read in (read_commit, read_validators, decode_trust):
        try:
            read(data)
        except Refusal:
            continue
        raise AssertionError("random bytes are an answer")


@given(st.integers(0, len(COMMIT) - 1), st.integers(0, 4), st.binary(max_size=4))
def test_a_changed_answer_is_refused_or_read(at, length, piece):
    try:
        header, commit = read_commit(COMMIT[:at] + piece + COMMIT[at + length :])
    except Refusal:
        return
    encode(header), encode(commit)


@given(st.integers(0, len(VALIDATORS) - 1), st.integers(0, 4), st.binary(max_size=4))
def test_changed_validators_are_refused_or_read(at, length, piece):
    try:
        _, validators, _ = read_validators(VALIDATORS[:at] + piece + VALIDATORS[at + length :])
    except Refusal:
        return
    for validator in validators:
        encode(validator)


@given(st.integers(0, 400), st.integers(0, 3), st.binary(max_size=3))
def test_a_trust_file_has_one_form(at, length, piece):
    whole = encode_trust(TRUST)
    data = whole[:at] + piece + whole[at + length :]
    try:
        read = decode_trust(data)
    except Refusal:
        assert data.strip() != whole
    else:
        assert encode_trust(read) == data.strip()


def test_a_vote_too_many_can_be_left_out():
    """The one thing that may change: who else signed is nothing that a header says."""
    seal = GOOD.seal
    fewer = CHAIN.make_seal(7, [COMMITTED, COMMITTED, COMMITTED, ABSENT])
    assert fewer.commit != seal.commit
    assert check_header(TRUST, change(GOOD, seal=fewer), NOW) == GOOD.header
