"""The recorded headers and commits of CometBFT hold, encoding by encoding (`LIGHT-1`)."""

import base64
import json
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace as change

from probatum.consensus.cometbft.light.answers import read_commit, read_validators
from probatum.consensus.cometbft.light.commits import check_commit
from probatum.consensus.cometbft.light.hashing import (
    compute_commit_hash,
    compute_engine_hash,
    compute_validators_hash,
    encode_header_fields,
    encode_validator,
    encode_vote,
    make_sign_bytes,
)
from probatum.consensus.cometbft.light.states import advance, start_from_seal
from probatum.consensus.trusting import check_header
from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.commits import COMMITTED, CommitVote, EngineTime
from probatum.protocol.encoding import decode, encode
from probatum.protocol.headers import CommitSeal, SignedHeader
from probatum.protocol.trust import decode_trust

FOLDER = Path(__file__).parents[2] / "vectors" / "cometbft"
LIGHT = json.loads((FOLDER / "light.json").read_bytes())
MORE = json.loads((FOLDER / "light_more.json").read_bytes())["cases"]
NAMES = [f"{c['signed_header']['header']['height']}" for c in MORE]
HOUR_MS = 3_600_000


def read_seal(signed_header, validators):
    header, commit = read_commit(json.dumps({"signed_header": signed_header}).encode())
    page = {"block_height": "1", "validators": validators, "total": str(len(validators))}
    _, found, total = read_validators(json.dumps(page).encode())
    assert total == len(found)
    return CommitSeal(header=header, commit=commit, validators=found)


def load_seal(height):
    """A recorded header of the first chain, whose validators never changed."""
    answer = json.loads((FOLDER / f"commit_h{height}.json").read_bytes())["result"]
    validators = json.loads((FOLDER / "validators.json").read_bytes())["result"]["validators"]
    return read_seal(answer["signed_header"], validators)


def compute_ms(seal):
    return seal.header.time.seconds * 1_000


SEAL = read_seal(
    LIGHT["inputs"]["commit_h4"]["signed_header"], LIGHT["inputs"]["validators_h4"]["validators"]
)


def test_a_header_is_hashed_field_by_field():
    expected = LIGHT["expected"]
    assert [found.hex() for found in encode_header_fields(SEAL.header)] == expected[
        "header_field_encodings"
    ]
    assert compute_engine_hash(SEAL.header).hex().upper() == expected["header_hash"]


def test_validators_are_hashed_in_order():
    expected = LIGHT["expected"]
    assert [encode_validator(one).hex() for one in SEAL.validators] == expected["validator_leaves"]
    assert compute_validators_hash(SEAL.validators).hex().upper() == expected["validators_hash"]


def test_a_commit_is_hashed_as_the_next_header_cites_it():
    expected = LIGHT["expected"]
    assert [encode_vote(vote).hex() for vote in SEAL.commit.votes] == expected[
        "commit_sig_encodings"
    ]
    found = compute_commit_hash(SEAL.commit).hex().upper()
    assert found == expected["commit_hash_equals_h5_last_commit_hash"]


def test_what_validators_signed():
    made = [
        make_sign_bytes(SEAL.header.chain_id, SEAL.commit, vote).hex() for vote in SEAL.commit.votes
    ]
    assert made == LIGHT["expected"]["canonical_vote_sign_bytes"]
    check_commit(SEAL)


def test_the_changed_signature_is_refused():
    negative = LIGHT["expected"]["negative"]
    votes = list(SEAL.commit.votes)
    at = negative["signature_index"]
    bad = base64.b64decode(negative["mutated_signature_b64"])
    assert bad != votes[at].signature
    votes[at] = change(votes[at], signature=bad)
    with pytest.raises(Refusal) as refused:
        check_commit(change(SEAL, commit=change(SEAL.commit, votes=tuple(votes))))
    assert refused.value.code == "light.bad-signature"


@pytest.mark.parametrize("case", MORE, ids=NAMES)
def test_commits_with_nil_and_absent_votes_and_later_rounds(case):
    seal, expected = read_seal(case["signed_header"], case["validators"]), case["expected"]
    assert compute_engine_hash(seal.header).hex().upper() == expected["header_hash"]
    assert compute_validators_hash(seal.validators).hex().upper() == expected["validators_hash"]
    assert [encode_vote(vote).hex() for vote in seal.commit.votes] == expected[
        "commit_sig_encodings"
    ]
    found = compute_commit_hash(seal.commit).hex().upper()
    assert found == expected["commit_hash_in_next_header"]
    made = [
        make_sign_bytes(seal.header.chain_id, seal.commit, vote).hex() if vote.signature else None
        for vote in seal.commit.votes
    ]
    assert made == [text or None for text in expected["canonical_vote_sign_bytes"]]
    power = sum(
        validator.power
        for validator, vote in zip(seal.validators, seal.commit.votes, strict=True)
        if vote.flag == COMMITTED
    )
    assert power == expected["signed_power_for_block"]
    check_commit(seal)
    assert decode(CommitSeal, encode(seal), limit_bytes=4_096) == seal


def test_a_whole_chain_is_followed_from_its_first_header():
    state = start_from_seal(load_seal(1))
    for height in range(2, 6):
        seal = load_seal(height)
        state = advance(state, seal, now_ms=compute_ms(seal) + 5_000, trusting_period_ms=HOUR_MS)
        assert state.height == height
        assert seal.header.last_block.hash == compute_engine_hash(load_seal(height - 1).header)
    assert load_seal(1).header.last_block.hash == b""


def test_heights_are_skipped_by_a_third_of_what_is_trusted():
    state, seal = start_from_seal(load_seal(1)), load_seal(5)
    moved = advance(state, seal, now_ms=compute_ms(seal), trusting_period_ms=HOUR_MS)
    assert moved == start_from_seal(seal)


def test_an_absent_vote_has_the_year_one():
    absent = [
        vote
        for case in MORE
        for vote in read_seal(case["signed_header"], case["validators"]).commit.votes
        if vote.flag == 1
    ]
    nothing = EngineTime(seconds=-62_135_596_800, nanos=0)
    assert len(absent) == 2
    assert set(absent) == {CommitVote(flag=1, validator=b"", time=nothing, signature=b"")}


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("header", "height"), "04"),
        (("header", "height"), "-4"),
        (("header", "height"), "9223372036854775808"),
        (("header", "height"), 4),
        (("header", "time"), "2026-11-21T01:25:02.704394941+00:00"),
        (("header", "time"), "2026-13-21T01:25:02Z"),
        (("header", "time"), "2026-11-21T01:25:02.1234567890Z"),
        (("header", "app_hash"), "d6"),
        (("header", "app_hash"), "AA" * 33),
        (("header", "proposer_address"), "AA"),
        (("header", "chain_id"), "c" * 51),
        (("header", "chain_id"), ""),
        (("commit", "round"), -1),
        (("commit", "round"), 1 << 31),
        (("commit", "signatures"), []),
        (("commit", "signatures", 0, "block_id_flag"), 4),
        (("commit", "signatures", 0, "signature"), "?"),
        (("commit", "signatures", 0, "signature"), "A" * 120),
        (("commit", "signatures", 0, "validator_address"), "AA" * 21),
    ],
)
def test_odd_answers_are_refused(place, value):
    signed = json.loads(json.dumps(LIGHT["inputs"]["commit_h4"]["signed_header"]))
    spot = signed
    for name in place[:-1]:
        spot = spot[name]
    spot[place[-1]] = value
    with pytest.raises(Refusal) as refused:
        read_commit(json.dumps({"signed_header": signed}).encode())
    assert refused.value.code == "light.bad-answer"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("voting_power", "0"),
        ("voting_power", "1152921504606846976"),
        ("pub_key", {"type": "tendermint/PubKeySecp256k1", "value": "AAAA"}),
        ("pub_key", {"type": "tendermint/PubKeyEd25519", "value": "AAAA"}),
    ],
)
def test_odd_validators_are_refused(field, value):
    page = json.loads(json.dumps(LIGHT["inputs"]["validators_h4"]))
    page["validators"][0][field] = value
    with pytest.raises(Refusal) as refused:
        read_validators(json.dumps(page).encode())
    assert refused.value.code == "light.bad-answer"


def test_a_long_answer_is_not_read():
    with pytest.raises(Refusal):
        read_commit(msgspec.json.encode({"signed_header": "x" * (1 << 20)}))


SEALED = json.loads((FOLDER / "sealed-1.json").read_bytes())["checks"]


@pytest.mark.parametrize("case", SEALED, ids=lambda case: case["what"].replace(" ", "-"))
def test_sealed_headers_are_believed_or_refused_by_a_code(case):
    trust = decode_trust(json.dumps(case["trust"], separators=(",", ":")).encode())
    data = bytes.fromhex(case["header"])
    signed = decode(SignedHeader, data, limit_bytes=limits.SIGNED_HEADER_BYTES)
    try:
        check_header(trust, signed, case["now_ms"])
        found = "ok"
    except Refusal as refusal:
        found = refusal.code
    assert found == case["code"]
