import msgspec
import pytest

from probatum.errors import Refusal
from probatum.evidence.custody import check_custody, check_handover, check_release
from probatum.protocol.custody import decode_release, encode_release
from probatum.protocol.dsse import decode_payload, sign_envelope
from tests.factories import (
    GATEWAY,
    NODES,
    Actor,
    digest_of,
    make_facts,
    make_handover,
    make_release,
)

FACTS = make_facts()
FIRST = make_handover(FACTS, 0, NODES[0])
SECOND = make_handover(FACTS, 1, NODES[1], first=FIRST)


def refuse(call, *arguments):
    with pytest.raises(Refusal) as caught:
        call(*arguments)
    return caught.value.code


def test_a_countersignature_moves_the_duty_and_its_absence_does_not():
    assert check_handover(FIRST).acknowledged
    assert not check_handover(make_handover(FACTS, 0, NODES[0], acknowledged=False)).acknowledged


def test_only_giver_and_taker_sign_and_in_that_order():
    backwards = msgspec.structs.replace(FIRST, signatures=FIRST.signatures[::-1])
    assert refuse(check_handover, backwards) == "dsse.key-id"
    crowded = msgspec.structs.replace(FIRST, signatures=FIRST.signatures * 2)
    assert refuse(check_handover, crowded) == "dsse.signature-count"
    unsigned = msgspec.structs.replace(FIRST, signatures=())
    assert refuse(check_handover, unsigned) == "dsse.signature-count"


def test_a_tree_passes():
    branches = check_custody((FIRST, SECOND))
    assert [branch.record.branch for branch in branches] == [0, 1]
    assert branches[1].record.previous == branches[0].digest.hex()


@pytest.mark.parametrize(
    "custody",
    [
        (SECOND,),
        (SECOND, FIRST),
        (FIRST, FIRST),
        (FIRST, make_handover(FACTS, 2, NODES[1], first=FIRST)),
        (FIRST, make_handover(FACTS, 1, NODES[1], first=SECOND)),
        (FIRST, make_handover(make_facts(nonce="00" * 32), 1, NODES[1], first=FIRST)),
        (FIRST, make_handover(FACTS, 1, NODES[1], first=FIRST, giver=Actor("gateway", 2))),
        (make_handover(FACTS, 0, Actor("gateway", 2)),),
    ],
)
def test_what_is_no_tree_is_refused(custody):
    assert refuse(check_custody, custody) == "custody.bad-tree"


def test_no_records_and_too_many_are_refused():
    assert refuse(check_custody, ()) == "custody.no-records"
    assert refuse(check_custody, (FIRST,) * 9) == "custody.no-records"


def test_a_release_closes_exactly_its_hand_overs():
    custody = (FIRST, SECOND)
    branches = check_custody(custody)
    release = check_release(make_release(FACTS, custody, None, None), branches)
    assert release.branches == (digest_of(FIRST), digest_of(SECOND))
    for record, code in (
        (make_release(FACTS, (FIRST,), None, None), "custody.wrong-release"),
        (make_release(make_facts(nonce="00" * 32), custody, None, None), "custody.wrong-release"),
        (make_release(FACTS, custody, None, None, obtained=("signed",)), "custody.wrong-release"),
        (make_release(FACTS, custody, None, None, asked=(), missing=()), "custody.wrong-release"),
        (make_release(FACTS, custody, None, None, gateway=Actor("gateway", 2)), "dsse.key-id"),
    ):
        assert refuse(check_release, record, branches) == code


def test_a_release_in_another_name_is_refused():
    other = msgspec.structs.replace(GATEWAY.party, account=NODES[0].party.account)
    good = decode_release(decode_payload(make_release(FACTS, (FIRST,), None, None)))
    payload = encode_release(msgspec.structs.replace(good, gateway=other))
    envelope = sign_envelope(payload, (GATEWAY.signer,))
    assert refuse(check_release, envelope, check_custody((FIRST,))) == "custody.wrong-release"
