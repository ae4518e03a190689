"""`TX-1`: an ordinary wallet's signature is accepted, on one chain, for one body."""

import msgspec
import pytest
from eth_account import Account as Wallet
from eth_account.messages import encode_typed_data

from probatum.errors import Refusal
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.eip712 import Domain, typed_data
from probatum.protocol.encoding import encode
from probatum.protocol.primitives import (
    make_address,
    make_consensus_key,
    make_digest,
    make_operating_key,
    make_operating_signature,
    make_publisher_key,
    make_publisher_signature,
    make_recoverable_signature,
)
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.transactions import kinds, signed, validators

DOMAIN = Domain(chain_id=31337, genesis_hash=make_digest(b"g" * 32))
OTHER = Domain(chain_id=31337, genesis_hash=make_digest(b"h" * 32))
SIGNER = AccountSigner(b"\x11" * 32)
OPERATING = OperatingSigner(b"\x22" * 32)
NOBODY = make_operating_signature(bytes(64))
A = make_address(b"a" * 20)
D = make_digest(b"d" * 32)

BODIES = (
    kinds.Transfer(to=A, amount=5),
    kinds.Stake(amount=1),
    kinds.Unstake(amount=2**63 - 1),
    kinds.Withdraw(),
    kinds.RegisterNode(
        operating_key=OPERATING.key,
        endpoint="http://127.0.0.1:8000",
        roles=("gateway", "inference"),
        authority=NOBODY,
    ),
    kinds.PublishModel(name="toy", version="1.0", package=D, size_bytes=3),
    kinds.Offer(
        operator=A,
        package=D,
        arithmetic="float",
        evidence="signed",
        price_units=0,
        sequence=1,
        authority=NOBODY,
    ),
    kinds.WithdrawOffer(operator=A, package=D, arithmetic="float", sequence=2, authority=NOBODY),
    kinds.OpenLog(operator=A, session=0, opener=D, authority=NOBODY),
    kinds.SettleCheckpoint(operator=A, session=0, checkpoint=b"note\n", consistency=(D, D)),
    kinds.SettleCheckpoint(
        operator=A, session=0, checkpoint=b"note\n", consistency=(), vouchers=(b"v", b"w")
    ),
    kinds.Heartbeat(operator=A, sequence=9, authority=NOBODY),
    kinds.RegisterPublisherKey(
        key=make_publisher_key(b"\x04" + bytes(64)),
        possession=make_publisher_signature(bytes(64)),
    ),
    kinds.ReportTwoReceipts(
        operator=A, first=b"{}", first_signature=NOBODY, second=b"[]", second_signature=NOBODY
    ),
    kinds.ReportWrongEntry(operator=A, receipt=b"{}", signature=NOBODY, leaf=D, inclusion=(D,)),
    kinds.ReportNoPrefix(
        operator=A, session=1, checkpoint=b"note\n", against=b"", root=D, consistency=(D,)
    ),
    kinds.ChallengeReceipt(operator=A, receipt=b"{}", signature=NOBODY),
    kinds.CloseChallenge(operator=A, session=1, index=2, inclusion=(D,)),
    kinds.ConvictOmission(operator=A, session=1, index=2),
    kinds.DeclareLoss(operator=A, session=1, sequence=2, authority=NOBODY),
    kinds.FundEscrow(payee=A, amount=4),
    kinds.CollectVouchers(vouchers=(b"voucher", b"")),
    kinds.CloseEscrow(payee=A),
    kinds.WithdrawEscrow(payee=A),
    kinds.ReportTwoCharges(
        operator=A, first=b"{}", first_signature=NOBODY, second=b"[]", second_signature=NOBODY
    ),
    kinds.ReportTwoReleases(
        operator=A, first=b"{}", first_signature=NOBODY, second=b"[]", second_signature=NOBODY
    ),
    kinds.ReturnReceipt(operator=A, session=1, index=2, in_session=3, in_index=4, inclusion=(D,)),
    validators.RegisterValidator(key=make_consensus_key(b"k" * 32), possession=NOBODY),
    validators.StakeConsensus(amount=2**63 - 1),
    validators.UnstakeConsensus(amount=1),
    validators.WithdrawConsensus(),
    validators.Unjail(),
)


def test_every_kind_is_here():
    assert {type(body) for body in BODIES} == set(kinds.Body.__args__)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_every_kind_reads_back_and_is_signed_for_one_chain(body):
    transaction = signed.sign_transaction(DOMAIN, SIGNER, nonce=7, fee_units=8, body=body)
    assert signed.decode_transaction(encode(transaction)) == transaction
    signed.check_sender(DOMAIN, transaction)
    for wrong in (
        (OTHER, transaction),
        (DOMAIN, msgspec.structs.replace(transaction, nonce=8)),
        (DOMAIN, msgspec.structs.replace(transaction, fee_units=9)),
        (DOMAIN, msgspec.structs.replace(transaction, sender=A)),
    ):
        with pytest.raises(Refusal) as caught:
            signed.check_sender(*wrong)
        assert caught.value.code in {"transaction.wrong-signer", "secp256k1.bad-signature"}


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_an_ordinary_wallet_signs_every_kind(body):
    wallet = Wallet.from_key(b"\x33" * 32)
    sender = make_address(bytes.fromhex(wallet.address[2:]))
    fields = signed.get_eip712_fields(sender, 1, 2, body)
    message = encode_typed_data(full_message=typed_data(DOMAIN, type(body).__name__, fields))
    signature = make_recoverable_signature(bytes(wallet.sign_message(message).signature))
    transaction = signed.SignedTransaction(
        sender=sender, nonce=1, fee_units=2, body=body, signature=signature
    )
    signed.check_sender(DOMAIN, transaction)


@pytest.mark.parametrize("body", BODIES, ids=lambda body: type(body).__name__)
def test_a_wallet_is_shown_every_field(body):
    shown = {name for name, _ in type(body).EIP712}
    assert shown == set(body.__struct_fields__)


NODE_BODIES = tuple(body for body in BODIES if hasattr(body, "authority"))


@pytest.mark.parametrize("body", NODE_BODIES, ids=lambda body: type(body).__name__)
def test_an_authority_holds_for_one_body_and_chain(body):
    authority = signed.sign_authority(DOMAIN, OPERATING, A, body)
    authorised = msgspec.structs.replace(body, authority=authority)
    signed.check_authority(DOMAIN, OPERATING.key, A, authorised)
    for wrong in (
        (OTHER, OPERATING.key, A, authorised),
        (DOMAIN, make_operating_key(OperatingSigner(b"\x44" * 32).key), A, authorised),
        (DOMAIN, OPERATING.key, A, body),
    ):
        with pytest.raises(Refusal) as caught:
            signed.check_authority(*wrong)
        assert caught.value.code == "ed25519.bad-signature"


def test_a_registration_is_bound_to_its_sender_and_other_bodies_are_not():
    registration, heartbeat = NODE_BODIES[0], NODE_BODIES[-1]
    other = make_address(b"b" * 20)
    for body, bound in ((registration, True), (heartbeat, False)):
        authority = signed.sign_authority(DOMAIN, OPERATING, A, body)
        authorised = msgspec.structs.replace(body, authority=authority)
        if bound:
            with pytest.raises(Refusal):
                signed.check_authority(DOMAIN, OPERATING.key, other, authorised)
        else:
            signed.check_authority(DOMAIN, OPERATING.key, other, authorised)
