"""`PAY-1`: a voucher is one payer's, for one escrow of one network, whatever wallet signs it."""

import msgspec
import pytest
from eth_account import Account as Wallet
from eth_account.messages import encode_typed_data

from probatum.errors import Refusal
from probatum.protocol import limits, vouchers
from probatum.protocol.eip712 import Domain, typed_data
from probatum.protocol.encoding import encode
from probatum.protocol.primitives import (
    make_address,
    make_digest,
    make_recoverable_signature,
    make_request_id,
)
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.transactions import kinds

DOMAIN = Domain(chain_id=31337, genesis_hash=make_digest(b"g" * 32))
PAYER = AccountSigner(b"\x11" * 32)
PAYEE = make_address(b"p" * 20)
ESCROW = vouchers.compute_escrow_id(DOMAIN, PAYER.address, PAYEE)
VOUCHER = vouchers.Voucher(
    escrow=ESCROW, total_units=2**63 - 1, last_request=make_request_id(b"\x33" * 16)
)
SIGNED = vouchers.sign_voucher(DOMAIN, PAYER, VOUCHER)
change = msgspec.structs.replace


def refuse(domain, signed, payer=PAYER.address):
    with pytest.raises(Refusal) as caught:
        vouchers.check_voucher(domain, signed, payer)
    return caught.value.code


def test_it_reads_back_and_fits_its_limit_however_large_it_is():
    data = vouchers.encode_voucher(SIGNED)
    assert vouchers.decode_voucher(data) == SIGNED
    assert len(data) < limits.VOUCHER_BYTES
    # As many as go into one transaction do, beside a checkpoint.
    assert limits.VOUCHERS * (limits.VOUCHER_BYTES + 3) < limits.TRANSACTION_BYTES // 2


def test_it_holds_for_its_payer_and_network_only():
    vouchers.check_voucher(DOMAIN, SIGNED, PAYER.address)
    assert refuse(DOMAIN, SIGNED, PAYEE) == "voucher.wrong-signer"
    for other in (
        Domain(chain_id=1, genesis_hash=DOMAIN.genesis_hash),
        Domain(chain_id=31337, genesis_hash=make_digest(b"h" * 32)),
    ):
        assert refuse(other, SIGNED) in {"voucher.wrong-signer", "secp256k1.bad-signature"}


@pytest.mark.parametrize(
    "voucher",
    [
        change(VOUCHER, total_units=2**63 - 2),
        change(VOUCHER, last_request=""),
        change(VOUCHER, escrow=make_digest(bytes(32))),
    ],
)
def test_every_field_is_signed(voucher):
    code = refuse(DOMAIN, change(SIGNED, voucher=voucher))
    assert code in {"voucher.wrong-signer", "secp256k1.bad-signature"}


def test_a_signature_has_one_form():
    raw = SIGNED.signature
    high = (2**256 - int.from_bytes(raw[32:64], "big")).to_bytes(32, "big")
    for bad in (raw[:32] + high + raw[64:], raw[:64] + b"\x00", bytes(65)):
        assert refuse(DOMAIN, change(SIGNED, signature=make_recoverable_signature(bad))) == (
            "secp256k1.bad-signature"
        )


def test_an_escrow_is_one_pair_of_one_network():
    other = Domain(chain_id=31337, genesis_hash=make_digest(b"h" * 32))
    ids = {
        vouchers.compute_escrow_id(domain, payer, payee)
        for domain in (DOMAIN, other, Domain(chain_id=1, genesis_hash=DOMAIN.genesis_hash))
        for payer, payee in ((PAYER.address, PAYEE), (PAYEE, PAYER.address), (PAYEE, PAYEE))
    }
    assert len(ids) == 9


@pytest.mark.parametrize("last_request", ["x", "0" * 25, "0" * 27, "8" + "0" * 25, "O" * 26])
def test_the_last_request_is_an_id_or_empty(last_request):
    data = encode(change(SIGNED, voucher=change(VOUCHER, last_request=last_request)))
    with pytest.raises(Refusal) as caught:
        vouchers.decode_voucher(data)
    assert caught.value.code == "encoding.malformed"


def test_an_ordinary_wallet_signs_it():
    wallet = Wallet.from_key(PAYER.secret)
    fields = vouchers.get_voucher_fields(VOUCHER)
    shown = typed_data(DOMAIN, vouchers.VOUCHER_NAME, fields)
    assert shown["message"]["total"] == 2**63 - 1
    signature = wallet.sign_message(encode_typed_data(full_message=shown)).signature
    assert bytes(signature) == SIGNED.signature


def test_no_transaction_passes_for_a_voucher():
    assert vouchers.VOUCHER_NAME not in {kind.__name__ for kind in kinds.Body.__args__}
