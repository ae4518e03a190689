"""Oracle: `securesystemslib`, the library of TUF and in-toto, reads and makes our envelopes."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from securesystemslib.dsse import Envelope as TheirEnvelope
from securesystemslib.exceptions import VerificationError
from securesystemslib.signer import CryptoSigner, SSlibKey

from probatum.protocol import dsse
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.encoding import decode_document, encode_document

SEED = b"\x03" * 32
SIGNER = OperatingSigner(SEED)
PAYLOAD = b'{"_type":"https://in-toto.io/Statement/v1"}'


def their_key():
    public = Ed25519PublicKey.from_public_bytes(SIGNER.key)
    return SSlibKey.from_crypto(public, keyid=dsse.compute_key_id(SIGNER.key))


def test_they_verify_ours():
    ours = encode_document(dsse.sign_envelope(PAYLOAD, (SIGNER,)))
    theirs = TheirEnvelope.from_dict(json.loads(ours))
    assert theirs.payload == PAYLOAD
    assert list(theirs.verify([their_key()], 1)) == [dsse.compute_key_id(SIGNER.key)]
    theirs.payload += b" "
    with pytest.raises(VerificationError):
        theirs.verify([their_key()], 1)


def test_we_verify_theirs():
    theirs = TheirEnvelope(PAYLOAD, dsse.PAYLOAD_TYPE, {})
    theirs.sign(CryptoSigner(Ed25519PrivateKey.from_private_bytes(SEED), their_key()))
    data = json.dumps(theirs.to_dict(), separators=(",", ":")).encode()
    ours = decode_document(dsse.Envelope, data, limit_bytes=10_000)
    assert dsse.check_envelope(ours, (SIGNER.key,)) == PAYLOAD
    assert ours == dsse.sign_envelope(PAYLOAD, (SIGNER,))
