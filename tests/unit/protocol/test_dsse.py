from base64 import b64encode

import msgspec
import pytest

from probatum.errors import Misuse, Refusal
from probatum.protocol import limits
from probatum.protocol.dsse import (
    Envelope,
    add_signature,
    check_added_signature,
    check_envelope,
    compute_key_id,
    decode_payload,
    pae,
    sign_envelope,
)
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.encoding import decode_document, encode_document

ALICE = OperatingSigner(b"\x01" * 32)
BOB = OperatingSigner(b"\x02" * 32)
PAYLOAD = b'{"a":1}'


def refused(envelope, keys):
    with pytest.raises(Refusal) as caught:
        check_envelope(envelope, keys)
    return caught.value.code


def test_pae_vector():
    # The example of the DSSE specification, protocol.md.
    assert pae("http://example.com/HelloWorld", b"hello world") == (
        b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


def test_one_and_two_signatures():
    envelope = sign_envelope(PAYLOAD, (ALICE,))
    assert check_envelope(envelope, (ALICE.key,)) == PAYLOAD
    both = add_signature(envelope, BOB)
    assert check_envelope(both, (ALICE.key, BOB.key)) == PAYLOAD
    assert both == sign_envelope(PAYLOAD, (ALICE, BOB))
    assert both.signatures[1].keyid == compute_key_id(BOB.key)


def test_travels_as_a_document():
    envelope = sign_envelope(PAYLOAD, (ALICE, BOB))
    data = encode_document(envelope)
    assert decode_document(Envelope, data, limit_bytes=limits.ENVELOPE_BYTES) == envelope
    assert list(msgspec.json.decode(data)) == ["payload", "payloadType", "signatures"]


def test_every_other_set_of_keys_is_refused():
    envelope = sign_envelope(PAYLOAD, (ALICE, BOB))
    assert refused(envelope, (ALICE.key,)) == "dsse.signature-count"
    assert refused(envelope, (BOB.key, ALICE.key)) == "dsse.key-id"
    assert refused(envelope, (ALICE.key, ALICE.key)) == "dsse.duplicate-key"
    with pytest.raises(Misuse):
        check_envelope(envelope, ())


def test_changed_contents_are_refused():
    envelope = sign_envelope(PAYLOAD, (ALICE,))
    keys = (ALICE.key,)
    other = b64encode(b'{"a":2}').decode()
    assert refused(msgspec.structs.replace(envelope, payload=other), keys) == "dsse.bad-signature"
    renamed = msgspec.structs.replace(envelope, payloadType="text/plain")
    assert refused(renamed, keys) == "dsse.payload-type"
    wrong = msgspec.structs.replace(
        envelope.signatures[0], sig=sign_envelope(PAYLOAD, (BOB,)).signatures[0].sig
    )
    forged = msgspec.structs.replace(envelope, signatures=(wrong,))
    assert refused(forged, keys) == "dsse.bad-signature"


@pytest.mark.parametrize(
    "payload",
    [
        "eyJhIjoxfR==",  # unused bits set: decodes to the same bytes
        "eyJhIjoxfQ",  # no padding
        "eyJhIjox\nfQ==",
        "eyJhIjoxfQ==\n",
        "eyJhIjoxfQ===",
        "ey-_",  # the other alphabet
        "éé==",
    ],
)
def test_other_base64_is_refused(payload):
    envelope = msgspec.structs.replace(sign_envelope(PAYLOAD, (ALICE,)), payload=payload)
    assert refused(envelope, (ALICE.key,)) == "dsse.bad-base64"


def test_other_base64_of_a_signature_is_refused():
    envelope = sign_envelope(PAYLOAD, (ALICE,))
    sig = envelope.signatures[0].sig
    assert sig.endswith("==")
    spare = sig[:-3] + chr(ord(sig[-3]) + 1) + "=="
    changed = msgspec.structs.replace(envelope.signatures[0], sig=spare)
    forged = msgspec.structs.replace(envelope, signatures=(changed,))
    assert refused(forged, (ALICE.key,)) == "dsse.bad-base64"


def test_a_countersignature_is_checked_by_itself():
    before = sign_envelope(PAYLOAD, (ALICE,))
    after = add_signature(before, BOB)
    check_added_signature(before, after, BOB.key)
    alices, bobs = after.signatures
    forged = msgspec.structs.replace(bobs, sig=alices.sig)
    for other, code in (
        (before, "dsse.other-envelope"),
        (msgspec.structs.replace(after, signatures=()), "dsse.other-envelope"),
        (msgspec.structs.replace(after, signatures=(bobs, alices)), "dsse.other-envelope"),
        (
            msgspec.structs.replace(after, signatures=(*after.signatures, bobs)),
            "dsse.other-envelope",
        ),
        (add_signature(sign_envelope(b"{}", (ALICE,)), BOB), "dsse.other-envelope"),
        (msgspec.structs.replace(after, payloadType="text/plain"), "dsse.other-envelope"),
        (add_signature(before, ALICE), "dsse.key-id"),
        (msgspec.structs.replace(after, signatures=(alices, forged)), "dsse.bad-signature"),
    ):
        with pytest.raises(Refusal) as caught:
            check_added_signature(before, other, BOB.key)
        assert caught.value.code == code


def test_sizes_are_bounded():
    largest = sign_envelope(bytes(limits.STATEMENT_BYTES), (ALICE,))
    assert len(decode_payload(largest)) == limits.STATEMENT_BYTES
    for extra in (1, 2, 3):
        text = b64encode(bytes(limits.STATEMENT_BYTES + extra)).decode()
        envelope = Envelope(payload=text, payloadType=largest.payloadType, signatures=())
        with pytest.raises(Refusal) as caught:
            decode_payload(envelope)
        assert caught.value.code == "dsse.too-large"
    with pytest.raises(Misuse):
        sign_envelope(bytes(limits.STATEMENT_BYTES + 1), (ALICE,))
    with pytest.raises(Misuse):
        sign_envelope(PAYLOAD, (ALICE,) * (limits.ENVELOPE_SIGNATURES + 1))
