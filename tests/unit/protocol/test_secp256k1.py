import pytest

from probatum.errors import Refusal
from probatum.protocol.hashing import sha256
from probatum.protocol.secp256k1 import GROUP_ORDER, AccountSigner, recover_address

SIGNER = AccountSigner(b"\x01" * 32)
DIGEST = sha256(b"digest")


def refused(digest, signature):
    with pytest.raises(Refusal) as caught:
        recover_address(digest, signature)
    return caught.value.code == "secp256k1.bad-signature"


def test_address_of_a_known_key():
    # Well-known: the address of the secret key 1.
    signer = AccountSigner((1).to_bytes(32, "big"))
    assert signer.address.hex() == "7e5f4552091a69125d5dfcb7b8c2659029395bdf"


def test_recovers_its_own_signatures():
    for number in range(64):
        digest = sha256(number.to_bytes(8, "big"))
        signature = SIGNER.sign_digest(digest)
        assert signature[64] in {27, 28}
        assert recover_address(digest, signature) == SIGNER.address


def test_the_high_twin_is_refused():
    signature = SIGNER.sign_digest(DIGEST)
    s = int.from_bytes(signature[32:64], "big")
    assert s <= GROUP_ORDER // 2
    twin = signature[:32] + (GROUP_ORDER - s).to_bytes(32, "big") + bytes([55 - signature[64]])
    assert refused(DIGEST, twin)


@pytest.mark.parametrize("v", [0, 1, 26, 29, 30, 255])
def test_other_recovery_ids_are_refused(v):
    assert refused(DIGEST, SIGNER.sign_digest(DIGEST)[:64] + bytes([v]))


@pytest.mark.parametrize("number", [0, GROUP_ORDER, GROUP_ORDER + 1, 2**256 - 1])
def test_r_and_s_out_of_range_are_refused(number):
    signature = SIGNER.sign_digest(DIGEST)
    wrong = number.to_bytes(32, "big")
    assert refused(DIGEST, wrong + signature[32:])
    assert refused(DIGEST, signature[:32] + wrong + signature[64:])


def test_an_r_that_is_no_point_is_refused():
    # x = 5 is on no point of secp256k1: 5³ + 7 = 132 is no square modulo its prime.
    assert pow(132, (2**256 - 2**32 - 977 - 1) // 2, 2**256 - 2**32 - 977) != 1
    assert refused(DIGEST, (5).to_bytes(32, "big") + (1).to_bytes(32, "big") + b"\x1b")


def test_wrong_sizes_are_refused():
    signature = SIGNER.sign_digest(DIGEST)
    assert refused(DIGEST, signature[:64])
    assert refused(DIGEST[:31], signature)
    with pytest.raises(Refusal) as caught:
        SIGNER.sign_digest(b"short")
    assert caught.value.code == "secp256k1.bad-digest"


@pytest.mark.parametrize("secret", [b"", b"\0" * 32, GROUP_ORDER.to_bytes(32, "big"), b"\1" * 31])
def test_bad_secrets_are_refused(secret):
    with pytest.raises(Refusal) as caught:
        AccountSigner(secret)
    assert caught.value.code == "secp256k1.bad-secret"


def test_the_secret_is_not_shown():
    secret = bytes(range(1, 33))
    signer = AccountSigner(secret=secret)
    for shown in (repr(signer), str(signer)):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
