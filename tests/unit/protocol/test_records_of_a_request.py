"""Receipts, hand-overs and releases: they read back, agree with themselves, or are refused."""

import msgspec
import pytest

from probatum.errors import Refusal
from probatum.protocol import custody, receipts
from probatum.protocol.parties import Party
from probatum.protocol.primitives import make_request_id
from probatum.protocol.requests import ModelRef, RequestFacts, compute_request_digest
from probatum.protocol.tensors import TensorHead

GATEWAY = Party(role="gateway", account="0x" + "1" * 40, key="1" * 64)
NODE = Party(role="inference", account="0x" + "2" * 40, key="2" * 64)
HEAD = TensorHead(name="x", dtype="float32", shape=(1,), root="3" * 64)
FACTS = RequestFacts(
    request_id=make_request_id(bytes(16)),
    model=ModelRef(package="4" * 64),
    arithmetic="float",
    assurance="signed",
    inputs=(HEAD,),
    salt_commitment="5" * 64,
    salt_by="client",
    nonce="6" * 64,
    nonce_by="gateway",
)
DIGEST = compute_request_digest(FACTS).hex()
RECEIPT = receipts.Receipt(
    request=FACTS,
    outputs=(HEAD,),
    evidence="signed",
    node=NODE,
    log=receipts.LogPosition(session=0, index=1, include_by=9),
    custody="7" * 64,
)
HANDOVER = custody.HandOver(
    request_id=FACTS.request_id,
    request_digest=DIGEST,
    branch=0,
    giver=GATEWAY,
    taker=NODE,
    accepts=True,
    promise="answer",
    given_at=1,
    answer_by=5,
)
RELEASE = custody.Release(
    request_id=FACTS.request_id,
    request_digest=DIGEST,
    gateway=GATEWAY,
    outcome="answered",
    asked=("signed",),
    obtained=("signed",),
    missing=(),
    released_at=2,
    branches=("8" * 64,),
    acknowledged=("8" * 64,),
    previous="8" * 64,
    receipt="9" * 64,
    answered_branch="8" * 64,
)
change = msgspec.structs.replace


def test_they_read_back():
    assert receipts.decode_receipt(receipts.encode_receipt(RECEIPT)) == RECEIPT
    assert custody.decode_handover(custody.encode_handover(HANDOVER)) == HANDOVER
    assert custody.decode_release(custody.encode_release(RELEASE)) == RELEASE


def test_the_fields_of_later_steps_are_absent():
    text = receipts.encode_receipt(RECEIPT)
    for name in (b"escrow", b"running_total", b"value_at_risk", b"canonical", b"sealed", b"price"):
        assert name not in text


def test_what_costs_nothing_says_nothing_of_money():
    plain = receipts.encode_receipt(RECEIPT), custody.encode_handover(HANDOVER)
    for text in (*plain, custody.encode_release(RELEASE)):
        for name in (b"escrow", b"running_total", b"price", b"opener"):
            assert name not in text


def test_what_costs_reads_back():
    charge = {"price_units": 5, "escrow": "a" * 64, "running_total_units": 5}
    priced = change(RECEIPT, **charge)
    assert receipts.decode_receipt(receipts.encode_receipt(priced)) == priced
    priced = change(RELEASE, **charge)
    assert custody.decode_release(custody.encode_release(priced)) == priced
    priced = change(HANDOVER, price_units=5, opener="b" * 64)
    assert custody.decode_handover(custody.encode_handover(priced)) == priced


@pytest.mark.parametrize(
    "wrong",
    [
        {"price_units": 5},
        {"price_units": 5, "escrow": "a" * 64},
        {"price_units": 5, "running_total_units": 5},
        {"escrow": "a" * 64, "running_total_units": 5},
        {"price_units": 5, "escrow": "a" * 64, "running_total_units": 4},
    ],
)
def test_a_receipts_charge_fits_together(wrong):
    with pytest.raises(Refusal) as caught:
        receipts.decode_receipt(receipts.encode_receipt(change(RECEIPT, **wrong)))
    assert caught.value.code == "receipt.bad-charge"


def test_one_record_does_not_pass_for_another():
    with pytest.raises(Refusal):
        custody.decode_handover(receipts.encode_receipt(RECEIPT))
    payload = custody.encode_handover(HANDOVER).replace(b"handover:v1", b"handover:v2")
    with pytest.raises(Refusal) as caught:
        custody.decode_handover(payload)
    assert caught.value.code == "statement.wrong-predicate"


def test_a_subject_of_another_request_is_refused():
    payload = receipts.encode_receipt(RECEIPT)
    assert payload.count(DIGEST.encode()) == 1
    with pytest.raises(Refusal) as caught:
        receipts.decode_receipt(payload.replace(DIGEST.encode(), b"0" * 64))
    assert caught.value.code == "statement.wrong-subject"


def test_only_inference_nodes_sign_receipts():
    with pytest.raises(Refusal) as caught:
        receipts.decode_receipt(receipts.encode_receipt(change(RECEIPT, node=GATEWAY)))
    assert caught.value.code == "receipt.wrong-signer-role"


@pytest.mark.parametrize(
    "wrong",
    [
        change(HANDOVER, accepts=False),
        change(HANDOVER, previous="1" * 64),
        change(HANDOVER, branch=1),
        change(HANDOVER, giver=NODE, taker=GATEWAY),
        change(HANDOVER, answer_by=1),
        change(HANDOVER, taker=GATEWAY),
        change(HANDOVER, accepts=False, previous="1" * 64, branch=1, accepted_from="key:abcd2345"),
        change(HANDOVER, accepts=False, previous="1" * 64, branch=1, opener="1" * 64),
    ],
)
def test_malformed_handovers_are_refused(wrong):
    with pytest.raises(Refusal) as caught:
        custody.decode_handover(custody.encode_handover(wrong))
    assert caught.value.code == "custody.bad-form"


def test_whom_it_accepts_from_is_said_by_a_key_and_absent_without_one():
    plain = custody.encode_handover(HANDOVER)
    assert b"accepted_from" not in plain
    keyed = change(HANDOVER, accepted_from="key:abcd2345")
    assert custody.decode_handover(custody.encode_handover(keyed)) == keyed
    for wrong in ("anonymous", "key:", "key:ABCD2345", "key:abcd23456"):
        with pytest.raises(Refusal) as caught:
            custody.decode_handover(custody.encode_handover(change(HANDOVER, accepted_from=wrong)))
        assert caught.value.code == "encoding.malformed"


@pytest.mark.parametrize(
    "wrong",
    [
        change(RELEASE, receipt=None),
        change(RELEASE, answered_branch=None),
        change(RELEASE, answered_branch="0" * 64),
        change(RELEASE, reason="x"),
        change(RELEASE, outcome="failed"),
        change(RELEASE, outcome="failed", receipt=None, answered_branch=None),
        change(RELEASE, previous="0" * 64),
        change(RELEASE, gateway=NODE),
        change(RELEASE, price_units=5),
        change(RELEASE, price_units=5, escrow="a" * 64),
        change(RELEASE, escrow="a" * 64, running_total_units=5),
        change(RELEASE, price_units=5, escrow="a" * 64, running_total_units=4),
        change(
            RELEASE,
            outcome="failed",
            receipt=None,
            answered_branch=None,
            reason="a.b",
            price_units=5,
            escrow="a" * 64,
            running_total_units=5,
        ),
    ],
)
def test_malformed_releases_are_refused(wrong):
    with pytest.raises(Refusal) as caught:
        custody.decode_release(custody.encode_release(wrong))
    assert caught.value.code == "custody.bad-form"


def test_a_releases_reason_is_a_code():
    failed = change(RELEASE, outcome="failed", receipt=None, answered_branch=None, obtained=())
    assert custody.decode_release(custody.encode_release(change(failed, reason="a.b-c")))
    for reason in ("", "in words", "a.b\x1b[2J"):
        with pytest.raises(Refusal) as caught:
            custody.decode_release(custody.encode_release(change(failed, reason=reason)))
        assert caught.value.code == "encoding.malformed"
