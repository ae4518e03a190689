import pytest
from hypothesis import given
from hypothesis import strategies as st

from probatum.errors import Refusal
from probatum.protocol.dsse import Envelope, check_envelope, sign_envelope
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.encoding import decode_document, encode_document

SIGNER = OperatingSigner(b"\x01" * 32)
GOOD = encode_document(sign_envelope(b'{"some":"payload"}', (SIGNER,)))


@given(st.binary(max_size=300))
def test_loose_bytes_are_refused(data):
    with pytest.raises(Refusal):
        decode_document(Envelope, data, limit_bytes=200)


def test_every_changed_bit_is_refused():
    """PROTO-1: one encoding a value, so no bit is free."""
    for bit in range(8 * len(GOOD)):
        changed = bytearray(GOOD)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(Refusal):
            check_envelope(
                decode_document(Envelope, bytes(changed), limit_bytes=10_000), (SIGNER.key,)
            )


@given(st.text(max_size=40), st.text(max_size=90))
def test_loose_fields_are_refused(payload, sig):
    good = decode_document(Envelope, GOOD, limit_bytes=10_000)
    entry = type(good.signatures[0])(keyid=good.signatures[0].keyid, sig=sig)
    envelope = Envelope(payload=payload, payloadType=good.payloadType, signatures=(entry,))
    with pytest.raises(Refusal):
        check_envelope(envelope, (SIGNER.key,))
