"""The published vectors of `VAL-1` and of blocks hold, and an ordinary wallet agrees with them."""

import json
from pathlib import Path

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.eip712 import Domain, compute_signing_digest, typed_data
from probatum.protocol.encoding import encode
from probatum.protocol.primitives import make_consensus_key
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.transactions import validators
from probatum.protocol.transactions.possession import (
    check_consensus_possession,
    sign_consensus_possession,
)
from probatum.protocol.transactions.signed import get_eip712_fields, sign_transaction
from probatum.protocol.validators import compute_consensus_address
from tests.replaying import VECTORS as BLOCKS
from tests.replaying import replay

FILE = Path(__file__).parents[2] / "vectors" / "protocol" / "3.json"
VECTORS = json.loads(FILE.read_text(encoding="utf-8"))
CHAINS = json.loads(BLOCKS.read_text(encoding="utf-8"))["chains"]


def test_every_kind_of_vector_is_tested():
    assert list(VECTORS) == "consensus_addresses validator_bodies".split()
    assert all(VECTORS.values())
    kinds = {vector["type"] for vector in VECTORS["validator_bodies"]}
    assert kinds == {kind.__name__ for kind in validators.ValidatorBody.__args__}


@pytest.mark.parametrize("vector", VECTORS["consensus_addresses"])
def test_consensus_addresses(vector):
    key = make_consensus_key(bytes.fromhex(vector["key"]))
    assert compute_consensus_address(key).hex() == vector["address"]


@pytest.mark.parametrize("vector", VECTORS["validator_bodies"], ids=lambda v: v["type"])
def test_validator_bodies(vector):
    domain = Domain(chain_id=vector["chain_id"], genesis_hash=bytes.fromhex(vector["genesis_hash"]))
    signer = AccountSigner(bytes.fromhex(vector["secret"]))
    assert signer.address.hex() == vector["sender"]
    kind = getattr(validators, vector["type"])
    shown = dict(kind.EIP712)
    body = kind(
        **{
            name: value if shown[name] == "uint64" else bytes.fromhex(value)
            for name, value in vector["fields"].items()
        }
    )
    if isinstance(body, validators.RegisterValidator):
        voter = OperatingSigner(bytes.fromhex(vector["consensus_seed"]))
        assert voter.key == body.key
        assert sign_consensus_possession(domain, signer.address, voter) == body.possession
        check_consensus_possession(domain, signer.address, body.key, body.possession)
    fields = get_eip712_fields(signer.address, vector["nonce"], vector["fee"], body)
    assert compute_signing_digest(domain, vector["type"], fields).hex() == vector["digest"]
    signed = sign_transaction(
        domain, signer, nonce=vector["nonce"], fee_units=vector["fee"], body=body
    )
    assert signed.signature.hex() == vector["signature"]
    assert encode(signed).hex() == vector["encoding"]
    message = encode_typed_data(
        full_message=json.loads(json.dumps(typed_data(domain, vector["type"], fields)))
    )
    wallet = Account.from_key(vector["secret"]).sign_message(message)
    assert wallet.signature.hex().removeprefix("0x") == vector["signature"]


@pytest.mark.parametrize("chain", CHAINS, ids=lambda chain: chain["name"])
def test_recorded_blocks_give_the_recorded_roots(chain):
    done = replay(chain)
    assert done["genesis_hash"] == chain["genesis_hash"]
    assert done["genesis_root"] == chain["genesis_root"]
    for height, (found, recorded) in enumerate(
        zip(done["blocks"], chain["blocks"], strict=True), start=1
    ):
        assert {"block": recorded["block"], **found} == recorded, height


def test_the_recorded_blocks_show_what_there_is_to_show():
    one_key, validating = CHAINS
    assert all(not block["validator_updates"] for block in one_key["blocks"])
    told = [update for block in validating["blocks"] for update in block["validator_updates"]]
    assert any(update["power"] for update in told)
    assert any(not update["power"] for update in told)
    codes = {code for block in validating["blocks"] for code in block["codes"]}
    assert {"ok", "ledger.tombstoned", "ledger.nothing-matured"} <= codes
