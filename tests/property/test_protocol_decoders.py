"""Every decoder of the protocol takes bytes from outside: a value or a `Refusal`, nothing else.

Random bytes rarely get past the first check, so valid encodings are also cut, stretched and
flipped; what is then still taken must encode to exactly the bytes that were given (`PROTO-1`).
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probatum.errors import Refusal
from probatum.protocol import (
    bundles,
    custody,
    encoding,
    headers,
    manifests,
    messages,
    receipts,
    trust,
    vouchers,
)
from probatum.protocol.frames import FrameReader, encode_frame
from probatum.protocol.primitives import make_digest
from probatum.protocol.transactions import kinds, signed
from tests.unit.protocol import (
    test_manifests,
    test_records_of_a_request,
    test_transactions,
    test_vouchers,
)

TRUST = trust.KeyTrust(
    format="probatum-trust/1", chain_id=7, genesis_hash="0" * 64, engine="embedded", key="1" * 64
)
HEADER = headers.Header(
    chain_id=7,
    genesis_hash=make_digest(bytes(32)),
    height=1,
    previous=make_digest(bytes(32)),
    state_root=make_digest(bytes(32)),
    transactions_root=make_digest(bytes(32)),
    results_root=make_digest(bytes(32)),
    time_ms=5,
)
TRANSACTION = signed.sign_transaction(
    test_transactions.DOMAIN,
    test_transactions.SIGNER,
    nonce=1,
    fee_units=2,
    body=kinds.Stake(amount=3),
)
DECODERS = {
    "receipt": (
        receipts.decode_receipt,
        receipts.encode_receipt,
        test_records_of_a_request.RECEIPT,
    ),
    "handover": (
        custody.decode_handover,
        custody.encode_handover,
        test_records_of_a_request.HANDOVER,
    ),
    "release": (custody.decode_release, custody.encode_release, test_records_of_a_request.RELEASE),
    "manifest": (manifests.decode_manifest, manifests.encode_manifest, test_manifests.MANIFEST),
    "trust": (trust.decode_trust, trust.encode_trust, TRUST),
    "message": (
        messages.decode_message,
        encoding.encode,
        messages.Refused(code="a.b", message="c", hint="d", retryable=False),
    ),
    "transaction": (signed.decode_transaction, encoding.encode, TRANSACTION),
    "voucher": (vouchers.decode_voucher, vouchers.encode_voucher, test_vouchers.SIGNED),
    "header": (
        lambda data: encoding.decode(headers.Header, data, limit_bytes=4096),
        encoding.encode,
        HEADER,
    ),
}


@pytest.mark.parametrize("name", DECODERS)
@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300))
def test_random_bytes(name, data):
    decode, encode, _ = DECODERS[name]
    try:
        value = decode(data)
    except Refusal:
        return
    assert encode(value) == data


@pytest.mark.parametrize("name", DECODERS)
@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_damaged_encodings(name, data):
    decode, encode, value = DECODERS[name]
    good = encode(value)
    assert decode(good) == value
    place = data.draw(st.integers(0, len(good) - 1))
    damage = data.draw(st.binary(max_size=4))
    skip = data.draw(st.integers(0, 4))
    bad = good[:place] + damage + good[place + skip :]
    try:
        other = decode(bad)
    except Refusal:
        return
    canonical = bad.strip() if name == "trust" else bad
    assert encode(other) == canonical
    assert (other == value) == (canonical == good)


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300), cut=st.integers(1, 50))
def test_streams_of_garbage(data, cut):
    reader = FrameReader(limit_bytes=1000)
    stream = encode_frame(messages.GetStatus()) + data
    try:
        for start in range(0, len(stream), cut):
            reader.feed(stream[start : start + cut])
        reader.finish()
    except Refusal:
        pass


@settings(max_examples=200, deadline=None)
@given(data=st.binary(max_size=300))
def test_bundles_of_garbage(data):
    with pytest.raises(Refusal):
        bundles.decode_bundle(data)
