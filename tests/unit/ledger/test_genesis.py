"""The genesis document: one encoding, one hash, a sane start."""

import json

import pytest
from msgspec.structs import asdict

from probatum.errors import Misuse, Refusal
from probatum.ledger.consensus_params import decode_consensus_params
from probatum.ledger.genesis import (
    compute_genesis_changes,
    compute_genesis_hash,
    compute_genesis_set,
    decode_genesis,
    encode_genesis,
    get_domain,
    get_engine_key,
    make_genesis,
)
from probatum.ledger.invariants import check_records
from probatum.ledger.params import Params, decode_params
from probatum.ledger.queries import decode_record
from probatum.protocol.hashing import sha256
from probatum.protocol.primitives import AMOUNT_BOUND
from probatum.protocol.records import PARAMS_KEY, SUPPLY_KEY
from probatum.protocol.validators import (
    CONSENSUS_PARAMS_KEY,
    VALIDATOR_SET_KEY,
    compute_consensus_address,
    get_consensus_key_key,
)
from tests.chain import ENGINE, RICH, account, make_test_genesis
from tests.validators import (
    SMALL,
    STAKE,
    consensus_address,
    consensus_key,
    make_test_validator_genesis,
)


def encode_changed(**changes):
    document = json.loads(encode_genesis(make_test_genesis()))
    return json.dumps(document | changes, separators=(",", ":")).encode()


def test_the_document_is_readable_and_its_hash_is_of_its_bytes():
    genesis = make_test_genesis()
    data = encode_genesis(genesis)
    assert decode_genesis(b" \n" + data + b"\n") == genesis
    assert compute_genesis_hash(genesis) == sha256(data)
    assert get_domain(genesis).genesis_hash == sha256(data)
    document = json.loads(data)
    assert document["params"]["unbonding_blocks"] == 3
    assert document["balances"][0]["balance_units"] == RICH


def test_the_state_starts_in_order_and_balanced():
    changes = compute_genesis_changes(make_test_genesis())
    keys = [change.key for change in changes]
    assert keys == sorted(keys)
    assert len(keys) == 4 + 2
    params = next(change.value for change in changes if change.key == PARAMS_KEY)
    assert decode_params(params) == Params(unbonding_blocks=3)
    check_records(decode_record(c.key, c.value) for c in changes if c.key != PARAMS_KEY)


def entry(number, units=1):
    return {"account": "0x" + account(number).address.hex(), "balance_units": units}


def in_order(*numbers):
    return sorted((entry(number) for number in numbers), key=lambda found: found["account"])


@pytest.mark.parametrize(
    ("balances", "code"),
    [
        (in_order(0, 1)[::-1], "genesis.bad-balances"),
        ([entry(0), entry(0)], "genesis.bad-balances"),
        ([entry(0, 0)], "genesis.bad-balances"),
        ([entry(0, AMOUNT_BOUND)], "encoding.malformed"),
        ([entry(0) | {"account": "0xAB" + "00" * 19}], "encoding.malformed"),
    ],
)
def test_bad_balances(balances, code):
    decode_genesis(encode_changed(balances=in_order(0, 1)))
    with pytest.raises(Refusal) as caught:
        decode_genesis(encode_changed(balances=balances))
    assert caught.value.code == code


def test_the_supply_is_bounded():
    with pytest.raises(Refusal) as caught:
        make_genesis(
            chain_id=1,
            time_ms=0,
            key=ENGINE.key,
            balances={account(n).address: AMOUNT_BOUND // 2 for n in range(2)},
        )
    assert caught.value.code == "genesis.supply-too-large"


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "probatum-genesis/2"},
        {"chain_id": 0},
        {"engine": "other"},
        {"key": "00"},
        {"params": {"min_fee_units": 1}},
        {"extra": 1},
    ],
)
def test_strict_decoding(changes):
    with pytest.raises(Refusal, match="encoding"):
        decode_genesis(encode_changed(**changes))


def validator_document(**changes):
    document = json.loads(encode_genesis(make_test_validator_genesis()))
    return json.dumps(document | changes, separators=(",", ":")).encode()


def validator_entries(*, count=4, **changes):
    entries = json.loads(validator_document())["validators"]
    return [entry | changes for entry in entries[:count]]


def test_a_chain_of_one_key_knows_nothing_of_validators():
    document = json.loads(encode_genesis(make_test_genesis()))
    assert {"consensus", "validators"}.isdisjoint(document)
    keys = {change.key for change in compute_genesis_changes(make_test_genesis())}
    assert all(not key.startswith((b"validator", b"consensus")) for key in keys)
    assert get_engine_key(make_test_genesis()) == ENGINE.key
    with pytest.raises(Misuse, match="validators"):
        compute_genesis_set(make_test_genesis())


def test_validators_start_with_stake_that_counts_as_issued():
    genesis = make_test_validator_genesis(3, stakes={1: 2 * STAKE, 2: STAKE + 1})
    changes = {change.key: change.value for change in compute_genesis_changes(genesis)}
    check_records(decode_record(k, v) for k, v in changes.items() if k != PARAMS_KEY)
    supply = decode_record(SUPPLY_KEY, changes[SUPPLY_KEY])
    assert supply.issued == 8 * RICH + 4 * STAKE + 1
    assert decode_consensus_params(changes[CONSENSUS_PARAMS_KEY]) == SMALL
    found = decode_record(VALIDATOR_SET_KEY, changes[VALIDATOR_SET_KEY])
    assert found == compute_genesis_set(genesis)
    assert found.waiting == ()
    assert [seat.power for seat in found.seats] == [20, 10, 10]
    assert found.seats[0].key == consensus_key(1)
    others = [compute_consensus_address(seat.key) for seat in found.seats[1:]]
    assert others == sorted(others)
    for number in range(3):
        place = get_consensus_key_key(consensus_address(number))
        assert decode_record(place, changes[place]).account == account(number).address
    with pytest.raises(Misuse, match="one key"):
        get_engine_key(genesis)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"key": "00" * 32}, "encoding.not-canonical"),
        ({"engine": "embedded"}, "genesis.bad-engine"),
        ({"validators": []}, "encoding.not-canonical"),
        ({"validators": validator_entries()[::-1]}, "genesis.bad-validators"),
        ({"validators": [validator_entries()[0]] * 2}, "genesis.bad-validators"),
        ({"validators": validator_entries(key="11" * 32)}, "genesis.bad-validators"),
        ({"validators": validator_entries(stake_units=1)}, "genesis.bad-validators"),
        ({"validators": validator_entries(stake_units=AMOUNT_BOUND - 1)}, "genesis.supply"),
        (
            {"consensus": asdict(SMALL) | {"max_validators": 3}},
            "genesis.bad-validators",
        ),
        (
            {"consensus": asdict(SMALL) | {"evidence_age_blocks": 6}},
            "ledger.evidence-outlives-stake",
        ),
        (
            {"consensus": asdict(SMALL) | {"evidence_age_ms": 6_000}},
            "ledger.evidence-outlives-stake",
        ),
        ({"consensus": asdict(SMALL) | {"max_validators": 257}}, "encoding.malformed"),
        ({"consensus": asdict(SMALL) | {"min_consensus_stake_units": 1}}, "encoding.malformed"),
    ],
)
def test_bad_validators(changes, code):
    decode_genesis(validator_document())
    with pytest.raises(Refusal) as caught:
        decode_genesis(validator_document(**changes))
    assert caught.value.code.startswith(code)


@pytest.mark.parametrize("missing", ["consensus", "validators"])
def test_validators_and_their_parameters_come_together(missing):
    document = json.loads(validator_document())
    del document[missing]
    with pytest.raises(Refusal, match=r"genesis\.bad"):
        decode_genesis(json.dumps(document, separators=(",", ":")).encode())


@pytest.mark.parametrize("time_ms", [-1, 253_402_300_800_000, (1 << 63) - 1])
def test_a_time_that_no_engine_could_write_is_refused(time_ms):
    with pytest.raises(Refusal) as caught:
        decode_genesis(encode_changed(time_ms=time_ms))
    assert caught.value.code == "encoding.malformed"
