"""No bytes make the signature checks raise anything but a refusal."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probatum.errors import Refusal
from probatum.protocol import p256
from probatum.protocol.ed25519 import OperatingSigner, check_signature
from probatum.protocol.primitives import make_publisher_key, make_publisher_signature
from probatum.protocol.secp256k1 import AccountSigner, recover_address

SIGNER = OperatingSigner(b"\x01" * 32)
ACCOUNT = AccountSigner(b"\x01" * 32)
PUBLISHER = p256.PublisherSigner(b"\x01" * 32)


@given(st.binary(max_size=40), st.binary(max_size=40), st.binary(max_size=80))
def test_ed25519_loose_bytes(key, message, signature):
    with pytest.raises(Refusal):
        check_signature(key, message, signature)


@given(st.binary(max_size=200), st.integers(0, 511))
def test_ed25519_signs_and_binds(message, bit):
    signature = SIGNER.sign(message)
    check_signature(SIGNER.key, message, signature)
    with pytest.raises(Refusal):
        check_signature(SIGNER.key, message + b"!", signature)
    changed = (int.from_bytes(signature, "big") ^ 1 << bit).to_bytes(64, "big")
    with pytest.raises(Refusal):
        check_signature(SIGNER.key, message, changed)


def recovered_or_code(digest, signature):
    try:
        return recover_address(digest, signature)
    except Refusal as refusal:
        return refusal.code if refusal.code == "secp256k1.bad-signature" else "unexpected"


@settings(max_examples=300)
@given(
    st.binary(min_size=32, max_size=32),
    st.one_of(
        st.binary(max_size=70),
        st.binary(min_size=64, max_size=64).map(lambda data: data + b"\x1b"),
    ),
)
def test_secp256k1_loose_bytes(digest, signature):
    # Random bytes that recover at all recover somebody else.
    assert recovered_or_code(digest, signature) not in {ACCOUNT.address, "unexpected"}


@given(
    st.one_of(st.binary(min_size=65, max_size=65), st.just(bytes(PUBLISHER.key))),
    st.binary(min_size=64, max_size=64),
    st.binary(max_size=80),
)
def test_p256_loose_bytes(key, signature, der):
    """`SIGN-2`"""
    key = make_publisher_key(key)
    with pytest.raises(Refusal):
        p256.check_publisher_signature(key, b"message", make_publisher_signature(signature))
    with pytest.raises(Refusal):
        p256.check_der_signature(key, b"message", der)


@given(st.binary(max_size=200), st.integers(0, 511))
def test_p256_signs_and_binds(message, bit):
    signature = PUBLISHER.sign(message)
    p256.check_publisher_signature(PUBLISHER.key, message, signature)
    p256.check_der_signature(PUBLISHER.key, message, PUBLISHER.sign_der(message))
    changed = (int.from_bytes(signature, "big") ^ 1 << bit).to_bytes(64, "big")
    for data, bent in ((message + b"!", signature), (message, make_publisher_signature(changed))):
        with pytest.raises(Refusal):
            p256.check_publisher_signature(PUBLISHER.key, data, bent)


@given(st.one_of(st.text(max_size=300), st.binary(max_size=200).map(p256.key_to_pem)))
def test_p256_loose_pem(text):
    try:
        key = p256.key_from_pem(text)
    except Refusal:
        return
    assert p256.key_from_pem(p256.key_to_pem(key)) == key
