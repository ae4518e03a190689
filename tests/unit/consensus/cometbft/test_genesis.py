"""CometBFT's genesis file: a function of ours, and nothing else is taken for it."""

from __future__ import annotations

import base64
import json

import pytest

from probatum.consensus.cometbft.genesis import (
    ENGINE_GENESIS_BYTES,
    check_engine_genesis,
    compute_engine_chain_id,
    make_engine_genesis,
    read_app_version,
)
from probatum.consensus.cometbft.versions import APP_VERSION
from probatum.errors import Misuse, Refusal
from probatum.ledger.genesis import (
    compute_genesis_hash,
    decode_genesis,
    encode_genesis,
    make_genesis,
    make_validator_genesis,
)
from probatum.protocol import limits
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.primitives import (
    UNITS_PER_TOKEN,
    make_address,
    make_consensus_key,
)

KEYS = [OperatingSigner(bytes([number]) * 32).key for number in (1, 2, 3, 4)]
POWERS = (5, 40, 40, 7)


@pytest.fixture(scope="module")
def genesis():
    validators = {}
    for place, (key, power) in enumerate(zip(KEYS, POWERS, strict=True)):
        account = make_address(bytes([9 - place]) * 20)
        validators[account] = (make_consensus_key(key), power * UNITS_PER_TOKEN)
    return make_validator_genesis(
        chain_id=1_347_571_522,
        time_ms=1_800_000_000_007,
        validators=validators,
        balances={make_address(bytes([1]) * 20): 17},
    )


def test_it_says_what_the_engine_needs(genesis):
    made = json.loads(make_engine_genesis(genesis))
    name = made["chain_id"]
    assert name == f"probatum-1347571522-{compute_genesis_hash(genesis).hex()[:16]}"
    assert made["genesis_time"] == "2027-01-15T08:00:00.007Z"
    params = made["consensus_params"]
    # Measured: after a rollback an engine whose genesis says another version cannot start.
    assert params["version"] == {"app": str(APP_VERSION)}
    assert params["block"] == {"max_bytes": str(limits.BLOCK_BYTES), "max_gas": "-1"}
    assert int(params["evidence"]["max_age_num_blocks"]) == genesis.consensus.evidence_age_blocks
    age_ns = int(params["evidence"]["max_age_duration"])
    assert age_ns == genesis.consensus.evidence_age_ms * 1_000_000
    # Nobody can withdraw while evidence counts (`VAL-1`).
    assert age_ns < genesis.consensus.consensus_unbonding_ms * 1_000_000
    assert made["app_hash"] == ""
    assert made["initial_height"] == "1"


def test_validators_come_in_the_engines_order_with_their_power(genesis):
    found = json.loads(make_engine_genesis(genesis))["validators"]
    assert [int(one["power"]) for one in found] == [40, 40, 7, 5]
    assert found[0]["address"] < found[1]["address"]
    keys = {base64.b64decode(one["pub_key"]["value"]): int(one["power"]) for one in found}
    assert keys == dict(zip(KEYS, POWERS, strict=True))


def test_our_document_travels_in_it_byte_for_byte(genesis):
    data = make_engine_genesis(genesis)
    assert b'"app_state":' + encode_genesis(genesis) + b"}\n" in data
    state = json.loads(data)["app_state"]
    # As Go writes it when the engine keeps it in a database of its own.
    compact = json.dumps(state, separators=(",", ":")).encode()
    assert decode_genesis(compact) == genesis


def test_it_is_a_function_of_the_document_and_nothing_else_is_taken_for_it(genesis):
    data = make_engine_genesis(genesis)
    assert make_engine_genesis(genesis) == data
    check_engine_genesis(genesis, data)
    check_engine_genesis(genesis, json.dumps(json.loads(data), indent=4).encode())

    def refuse(change):
        document = json.loads(data)
        change(document)
        with pytest.raises(Refusal) as caught:
            check_engine_genesis(genesis, json.dumps(document).encode())
        assert caught.value.code == "genesis.other-engine-genesis"
        return caught.value.message

    assert "chain_id" in refuse(lambda it: it.update(chain_id="probatum-1-00"))
    assert "consensus_params" in refuse(
        lambda it: it["consensus_params"]["block"].update(max_gas="0")
    )
    assert "app version" in refuse(lambda it: it["consensus_params"]["version"].update(app="0"))
    assert "validators" in refuse(lambda it: it["validators"].pop())
    assert "validators" in refuse(lambda it: it["validators"][0].update(power="41"))
    assert "app_state" in refuse(lambda it: it["app_state"].update(time_ms=1))
    assert "genesis_time" in refuse(lambda it: it.update(genesis_time="2027-01-15T08:00:00Z"))
    assert "extra" in refuse(lambda it: it.update(extra=1))


def test_a_chain_that_began_by_other_rules_is_still_itself(genesis):
    data = make_engine_genesis(genesis, APP_VERSION + 1)
    assert read_app_version(data) == APP_VERSION + 1
    check_engine_genesis(genesis, data)
    assert data != make_engine_genesis(genesis)


@pytest.mark.parametrize("data", [b"", b"[]", b"null", b"\xff", b"[" * 10_000, b" " * 3_000_000])
def test_what_is_no_genesis_file_is_refused(genesis, data):
    assert len(data) <= ENGINE_GENESIS_BYTES or data.isspace()
    with pytest.raises(Refusal) as caught:
        check_engine_genesis(genesis, data)
    assert caught.value.code == "genesis.other-engine-genesis"


def test_the_embedded_engine_has_none():
    genesis = make_genesis(chain_id=1, time_ms=1, key=KEYS[0], balances={})
    with pytest.raises(Misuse):
        make_engine_genesis(genesis)


def test_the_engines_name_of_a_chain_is_short_enough():
    name = compute_engine_chain_id((1 << 53) - 1, bytes(32))
    assert len(name) <= 50
