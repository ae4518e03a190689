"""`SIGN-2`: publishers' keys and signatures, held against an ordinary library's own forms."""

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from probatum.errors import Refusal
from probatum.protocol import p256
from probatum.protocol.hashing import sha256
from probatum.protocol.primitives import make_publisher_key, make_publisher_signature

SIGNER = p256.PublisherSigner(sha256(b"publisher"))
OTHER = p256.PublisherSigner(sha256(b"other"))


def code_of(call, *args):
    with pytest.raises(Refusal) as caught:
        call(*args)
    return caught.value.code


def test_rfc_6979_s_example_comes_out():
    """RFC 6979, A.2.5: P-256, SHA-256, message "sample"; its s is high, so ours is n - s."""
    secret = "C9AFA9D845BA75166B5C215767B1D6934E50C3DB36E89B127B8A622B120F6721"
    r = "EFD48B2AACB6A8FD1140DD9CD45E81D69D2C877B56AAF991C34D0EA84EAF3716"
    s = "F7CB1C942D657C41D436C7A1B6E29F65F3E900DBB9AFF4064DC4AB2F843ACDA8"
    signature = p256.PublisherSigner(bytes.fromhex(secret)).sign(b"sample")
    assert signature[:32].hex().upper() == r
    assert int.from_bytes(signature[32:], "big") == p256.P256_ORDER - int(s, 16)


def test_a_signature_holds_for_one_key_and_message():
    signature = SIGNER.sign(b"message")
    p256.check_publisher_signature(SIGNER.key, b"message", signature)
    for key, message in ((OTHER.key, b"message"), (SIGNER.key, b"another")):
        code = code_of(p256.check_publisher_signature, key, message, signature)
        assert code == "p256.bad-signature"


def test_a_signature_has_one_form():
    signature = SIGNER.sign(b"message")
    s = p256.P256_ORDER - int.from_bytes(signature[32:], "big")
    twin = make_publisher_signature(signature[:32] + s.to_bytes(32, "big"))
    bad = (twin, make_publisher_signature(bytes(64)))
    for each in (*bad, make_publisher_signature(signature[:32] + bytes(32))):
        code = code_of(p256.check_publisher_signature, SIGNER.key, b"message", each)
        assert code == "p256.bad-signature"


def test_another_library_reads_keys_and_signatures():
    key = serialization.load_pem_public_key(p256.key_to_pem(SIGNER.key).encode())
    key.verify(SIGNER.sign_der(b"message"), b"message", ec.ECDSA(hashes.SHA256()))
    pem = key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert pem.decode() == p256.key_to_pem(SIGNER.key)
    assert p256.key_from_pem(pem.decode()) == SIGNER.key
    assert p256.compute_publisher_key_id(SIGNER.key) == sha256(pem)


def test_der_signatures_of_others_are_taken_with_either_s():
    secret = ec.derive_private_key(int.from_bytes(SIGNER.secret, "big"), ec.SECP256R1())
    halves = set()
    for number in range(12):
        message = b"%d" % number
        signature = secret.sign(message, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))
        p256.check_der_signature(SIGNER.key, message, signature)
        halves.add(decode_dss_signature(signature)[1] > p256.P256_ORDER // 2)
        wrong = bytearray(signature)
        wrong[-1] ^= 1
        for bent in (bytes(wrong), signature[:-1], signature + b"\0", b"", b"0"):
            assert code_of(p256.check_der_signature, SIGNER.key, message, bent) == (
                "p256.bad-signature"
            )
    assert halves == {True, False}


@pytest.mark.parametrize(
    "key",
    [
        bytes(65),
        b"\x04" + bytes(64),
        b"\x04" + b"\xff" * 64,
        b"\x06" + SIGNER.key[1:],
        SIGNER.key[:-1] + bytes((SIGNER.key[-1] ^ 1,)),
    ],
)
def test_what_is_no_point_of_the_curve_is_no_key(key):
    key = make_publisher_key(key)
    assert code_of(p256.check_publisher_key, key) == "p256.bad-key"
    signature = SIGNER.sign(b"")
    assert code_of(p256.check_publisher_signature, key, b"", signature) == "p256.bad-key"


@pytest.mark.parametrize("secret", [b"", bytes(32), b"\xff" * 32, b"\x01" * 31])
def test_secrets_out_of_range_are_refused(secret):
    assert code_of(p256.PublisherSigner, secret) == "p256.bad-secret"


def test_a_secret_is_not_shown():
    assert SIGNER.secret.hex() not in repr(SIGNER)
    assert repr(SIGNER.secret) not in repr(SIGNER)


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "ö", p256.key_to_pem(SIGNER.key)[:-60], p256.key_to_pem(SIGNER.key) * 2],
)
def test_what_is_no_pem_of_such_a_key_is_refused(text):
    assert code_of(p256.key_from_pem, text) == "p256.bad-pem"


def test_keys_of_other_curves_are_refused():
    for curve in (ec.SECP384R1(), ec.SECP256K1()):
        pem = (
            ec.generate_private_key(curve)
            .public_key()
            .public_bytes(
                serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
            )
        )
        assert code_of(p256.key_from_pem, pem.decode()) == "p256.bad-pem"


def test_a_secret_key_in_pem_is_read_in_either_form():
    secret = ec.derive_private_key(int.from_bytes(SIGNER.secret, "big"), ec.SECP256R1())
    plain, locked = serialization.NoEncryption(), serialization.BestAvailableEncryption(b"x")
    for form in (
        serialization.PrivateFormat.PKCS8,
        serialization.PrivateFormat.TraditionalOpenSSL,
    ):
        pem = secret.private_bytes(serialization.Encoding.PEM, form, plain)
        assert p256.signer_from_pem(pem) == SIGNER
        shut = secret.private_bytes(serialization.Encoding.PEM, form, locked)
        for bad in (shut, pem[:-40], b"", p256.key_to_pem(SIGNER.key).encode()):
            assert code_of(p256.signer_from_pem, bad) == "p256.bad-pem"
    other = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain
    )
    assert code_of(p256.signer_from_pem, other) == "p256.bad-pem"
