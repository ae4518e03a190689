"""The genesis document: one encoding, one hash, a sane start."""

import json

import pytest

from probatum.errors import Refusal
from probatum.ledger.genesis import (
    compute_genesis_changes,
    compute_genesis_hash,
    decode_genesis,
    encode_genesis,
    get_domain,
    make_genesis,
)
from probatum.ledger.invariants import check_records
from probatum.ledger.params import Params, decode_params
from probatum.ledger.queries import decode_record
from probatum.protocol.hashing import sha256
from probatum.protocol.primitives import AMOUNT_BOUND
from probatum.protocol.records import PARAMS_KEY
from tests.chain import ENGINE, RICH, account, make_test_genesis


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
