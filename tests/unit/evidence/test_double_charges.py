"""Reports of double charges are made of two statements, and only where the ledger convicts."""

import msgspec
import pytest

from probatum.errors import Refusal
from probatum.evidence.accusing import hold_receipt
from probatum.evidence.double_charges import (
    hold_release,
    report_two_charges,
    report_two_releases,
)
from probatum.protocol.custody import decode_release, encode_release
from probatum.protocol.dsse import decode_payload, sign_envelope
from probatum.protocol.primitives import make_address
from probatum.protocol.receipts import decode_receipt, encode_receipt
from tests.chain import key
from tests.factories import NODES
from tests.unit.ledger.handlers import test_charges as ledger
from tests.unit.ledger.handlers.test_charges import receipt, release, start_gateway, start_node

change = msgspec.structs.replace


def held(payload, signer=None):
    return hold_receipt(sign_envelope(payload, (signer or key(0),)))


def held_release(payload, signer=None):
    return hold_release(sign_envelope(payload, (signer or key(0),)))


def altered(payload, **changes):
    return encode_receipt(change(decode_receipt(payload), **changes))


def test_a_nodes_two_charges_convict():
    chain = start_node()
    body = report_two_charges(held(receipt(3)), held(receipt(7, total=10)))
    assert body == ledger.two_charges(receipt(3), receipt(7, total=10))
    assert chain.do(ledger.REPORTER, body) == "ok"


def test_a_gateways_two_charges_convict():
    chain = start_gateway()
    pair = release(chain), release(chain, total=10)
    body = report_two_releases(*map(held_release, pair))
    assert body == ledger.two_releases(*pair)
    assert chain.do(ledger.REPORTER, body) == "ok"


@pytest.mark.parametrize(
    ("second", "why"),
    [
        (receipt(3), "given twice"),
        (receipt(7, custody=b"another"), "two hand-overs"),
        (receipt(7, session=1), "two sessions"),
        (receipt(7, units=0), "charges nothing"),
    ],
)
def test_without_a_case_there_is_no_report(second, why):
    with pytest.raises(Refusal, match=why) as caught:
        report_two_charges(held(receipt(3)), held(second))
    assert caught.value.code == "accusing.no-case"


def test_two_nodes_may_charge_for_what_each_did():
    other = altered(receipt(7), node=NODES[0].party)
    with pytest.raises(Refusal, match="two nodes"):
        report_two_charges(held(receipt(3)), held(other, NODES[0].signer))


def test_an_opener_of_another_network_makes_another_session():
    place = change(decode_receipt(receipt(7)).log, opener="0" * 64)
    with pytest.raises(Refusal, match="two sessions"):
        report_two_charges(held(receipt(3)), held(altered(receipt(7), log=place)))


def test_without_a_case_there_is_no_report_of_a_gateway():
    chain = start_gateway()
    first = release(chain)
    stranger = change(ledger.GATEWAY, account="0x" + make_address(b"s" * 20).hex())
    for second, why in (
        (first, "given twice"),
        (release(chain, first_record=b"another"), "two first records"),
        (release(chain, total=10, gateway=stranger), "two operators"),
        (release(chain, units=0), "charges nothing"),
    ):
        with pytest.raises(Refusal, match=why) as caught:
            report_two_releases(held_release(first), held_release(second))
        assert caught.value.code == "accusing.no-case"


def test_a_release_must_be_signed_by_the_key_that_it_names():
    payload = release(start_gateway())
    with pytest.raises(Refusal, match=r"dsse\."):
        hold_release(sign_envelope(payload, (key(1),)))
    envelope = sign_envelope(payload, (key(0),))
    assert hold_release(envelope).release == decode_release(decode_payload(envelope))
    assert encode_release(hold_release(envelope).release) == payload
