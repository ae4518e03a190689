"""Who is to blame for a second past, as the engine works it out; and its words (`LIGHT-1`)."""

import json
from pathlib import Path

import pytest
from msgspec.structs import replace as change

from probatum.consensus.cometbft.light.answers import read_commit, read_validators
from probatum.consensus.cometbft.light.attacks import (
    check_attack,
    list_common_heights,
    make_attack,
)
from probatum.consensus.cometbft.light.writing import write_attack
from probatum.errors import Refusal
from probatum.protocol.commits import ABSENT, COMMITTED, NIL
from probatum.protocol.headers import CommitSeal
from tests.light_chain import EMPTY, LightChain, list_values, make_seal, make_voters

VECTORS = Path(__file__).parents[5] / "vectors" / "cometbft"
UNEQUAL = tuple(
    voter for number, power in enumerate((40, 30, 20, 10)) for voter in make_voters([number], power)
)
CHAIN = LightChain({0: UNEQUAL}, length=9)
FALSE = LightChain({0: UNEQUAL}, length=9, branch=b"another past")
COMMON = CHAIN.make_seal(4)


def make(false, own=None, common=COMMON):
    own = own or CHAIN.make_seal(5)
    check_attack(false, own)
    return make_attack(false, own, common)


def test_of_a_made_up_header_all_who_signed_it_are_to_blame():
    flags = [COMMITTED, ABSENT, COMMITTED, COMMITTED]
    own = CHAIN.make_seal(5, [ABSENT, COMMITTED, COMMITTED, COMMITTED])
    attack = make(FALSE.make_seal(5, flags), own)
    assert [one.power for one in attack.convicted] == [40, 20, 10]
    assert (attack.common_height, attack.total_power) == (4, 100)
    assert attack.common_time == COMMON.header.time


def test_only_who_had_power_at_the_common_height_is_to_blame_and_with_the_power_of_then():
    signers = (*make_voters([0], power=7), *make_voters([8, 9], power=5))
    header = FALSE.make_engine_header(5)
    mine = LightChain({0: signers}, length=9).make_engine_header(5)
    header = change(header, validators_hash=mine.validators_hash)
    attack = make(make_seal(header, signers))
    assert attack.convicted == list_values(make_voters([0], power=40))


def test_of_two_blocks_of_one_round_who_signed_both_is_to_blame():
    own = CHAIN.make_seal(5, [COMMITTED, COMMITTED, ABSENT, NIL])
    other = CHAIN.make_seal(5, [COMMITTED, COMMITTED, COMMITTED, COMMITTED], data_hash=b"\1" * 32)
    attack = make(other, own, own)
    assert [one.power for one in attack.convicted] == [40, 30]
    assert attack.common_height == 5


def test_of_two_rounds_nobody_is_provably_to_blame():
    own = CHAIN.make_seal(5)
    other = make_seal(CHAIN.make_engine_header(5, data_hash=EMPTY[::-1]), UNEQUAL, round=1)
    with pytest.raises(Refusal) as refused:
        make(other, own, own)
    assert refused.value.code == "light.nobody-convicted"


@pytest.mark.parametrize(
    ("seal", "code"),
    [
        (CHAIN.make_seal(5), "light.own-header"),
        (FALSE.make_seal(5, [COMMITTED, NIL, ABSENT, ABSENT]), "light.too-little-power"),
        (
            change(FALSE.make_seal(5), validators=list_values(make_voters(range(4)))),
            "light.other-validators",
        ),
    ],
)
def test_what_is_no_attack_is_refused(seal, code):
    with pytest.raises(Refusal) as refused:
        check_attack(seal, CHAIN.make_seal(5))
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("believed", "heights"), [(0, (4, 1)), (2, (4, 2, 3)), (3, (4, 3)), (4, (4,)), (9, (4,))]
)
def test_the_height_before_and_what_is_believed_may_have_to_answer(believed, heights):
    own = CHAIN.make_seal(5)
    assert list_common_heights(FALSE.make_seal(5), own, believed) == heights
    same = CHAIN.make_seal(5, data_hash=b"\1" * 32)
    assert list_common_heights(same, own, believed) == (5,)


@pytest.mark.parametrize("height", range(1, 6))
def test_headers_and_commits_are_written_as_the_engine_writes_them(height):
    """The recorded answers, read and written again."""
    answer = json.loads((VECTORS / f"commit_h{height}.json").read_bytes())["result"]
    listed = json.loads((VECTORS / "validators.json").read_bytes())["result"]
    header, commit = read_commit(json.dumps(answer).encode())
    _, validators, _ = read_validators(json.dumps(listed).encode())
    seal = CommitSeal(header=header, commit=commit, validators=validators)
    other = change(seal, header=change(header, app_hash=b"\1" * 32))
    said = write_attack(make_attack(seal, other, seal))
    assert said["type"] == "tendermint/LightClientAttackEvidence"
    block = said["value"]["ConflictingBlock"]
    written = json.loads(json.dumps(block["signed_header"]))
    assert written == answer["signed_header"]
    for found, recorded in zip(
        block["validator_set"]["validators"], listed["validators"], strict=True
    ):
        assert found == recorded | {"proposer_priority": "0"}
    assert said["value"]["TotalVotingPower"] == str(sum(one.power for one in validators))
    assert said["value"]["Timestamp"] == answer["signed_header"]["header"]["time"]


@pytest.mark.parametrize("case", json.loads((VECTORS / "light_more.json").read_bytes())["cases"])
def test_absent_and_nil_votes_and_later_rounds_are_written_so_too(case):
    header, commit = read_commit(json.dumps({"signed_header": case["signed_header"]}).encode())
    _, validators, _ = read_validators(
        json.dumps({"block_height": "1", "validators": case["validators"], "total": "4"}).encode()
    )
    seal = CommitSeal(header=header, commit=commit, validators=validators)
    other = change(seal, header=change(header, app_hash=b"\1" * 32))
    block = write_attack(make_attack(seal, other, seal))["value"]["ConflictingBlock"]
    assert json.loads(json.dumps(block["signed_header"])) == case["signed_header"]
