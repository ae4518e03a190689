"""The published vectors of `PAY-1` hold, and an ordinary wallet agrees with them."""

import json
from pathlib import Path

import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data

from probatum.protocol import vouchers
from probatum.protocol.eip712 import Domain, compute_signing_digest, typed_data
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.transactions.kinds import CollectVouchers
from probatum.protocol.transactions.signed import get_eip712_fields, sign_transaction

FILE = Path(__file__).parents[2] / "vectors" / "protocol" / "2.json"
VECTORS = json.loads(FILE.read_text(encoding="utf-8"))


def each(key):
    return pytest.mark.parametrize("vector", VECTORS[key])


def get_domain(vector):
    return Domain(chain_id=vector["chain_id"], genesis_hash=bytes.fromhex(vector["genesis_hash"]))


def wallet_signs(vector, shown):
    """Sign as a stranger's wallet does, from the typed data alone."""
    signable = encode_typed_data(full_message=json.loads(json.dumps(shown)))
    return Account.from_key(vector["secret"]).sign_message(signable).signature.hex()


def test_every_kind_of_vector_is_tested():
    assert list(VECTORS) == "escrow_ids vouchers voucher_lists".split()
    assert all(VECTORS.values())


@each("escrow_ids")
def test_escrow_ids(vector):
    payer, payee = bytes.fromhex(vector["payer"]), bytes.fromhex(vector["payee"])
    assert vouchers.compute_escrow_id(get_domain(vector), payer, payee).hex() == vector["escrow"]


@each("vouchers")
def test_vouchers(vector):
    domain, signer = get_domain(vector), AccountSigner(bytes.fromhex(vector["secret"]))
    voucher = vouchers.Voucher(
        escrow=bytes.fromhex(vector["escrow"]),
        total_units=vector["total"],
        last_request=vector["last_request"],
    )
    fields = vouchers.get_voucher_fields(voucher)
    digest = compute_signing_digest(domain, vouchers.VOUCHER_NAME, fields)
    assert digest.hex() == vector["digest"]
    signed = vouchers.sign_voucher(domain, signer, voucher)
    assert signed.signature.hex() == vector["signature"]
    assert vouchers.encode_voucher(signed).hex() == vector["encoding"]
    vouchers.check_voucher(domain, signed, bytes.fromhex(vector["payer"]))
    shown = typed_data(domain, vouchers.VOUCHER_NAME, fields)
    assert wallet_signs(vector, shown).removeprefix("0x") == vector["signature"]


@each("voucher_lists")
def test_voucher_lists(vector):
    domain, signer = get_domain(vector), AccountSigner(bytes.fromhex(vector["secret"]))
    assert signer.address.hex() == vector["sender"]
    body = CollectVouchers(vouchers=tuple(map(bytes.fromhex, vector["vouchers"])))
    fields = get_eip712_fields(signer.address, vector["nonce"], vector["fee"], body)
    assert compute_signing_digest(domain, "CollectVouchers", fields).hex() == vector["digest"]
    signed = sign_transaction(
        domain, signer, nonce=vector["nonce"], fee_units=vector["fee"], body=body
    )
    assert signed.signature.hex() == vector["signature"]
    shown = typed_data(domain, "CollectVouchers", fields)
    assert wallet_signs(vector, shown).removeprefix("0x") == vector["signature"]
