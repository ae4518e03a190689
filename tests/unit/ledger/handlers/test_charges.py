"""What convicts who charges twice for one piece of work, and what does not (`PAY-1`)."""

import msgspec
import pytest

from probatum.ledger.params import Params
from probatum.protocol.custody import Release, encode_release
from probatum.protocol.dsse import PAYLOAD_TYPE, pae
from probatum.protocol.hashing import sha256
from probatum.protocol.parties import Party
from probatum.protocol.primitives import UNITS_PER_TOKEN, address_to_hex, make_digest
from probatum.protocol.receipts import LogPosition, Receipt, encode_receipt
from probatum.protocol.records import (
    Account,
    OffenceRecord,
    StakeRecord,
    get_account_key,
    get_charge_key,
    get_offence_key,
    get_stake_key,
)
from probatum.protocol.requests import compute_request_digest
from probatum.protocol.transactions.kinds import FundEscrow, ReportTwoCharges, ReportTwoReleases
from probatum.protocol.vouchers import compute_escrow_id
from tests.chain import FEE, OPENER, Chain, account, key, make_test_genesis
from tests.factories import make_facts

TOKEN = UNITS_PER_TOKEN
PARAMS = Params(unbonding_blocks=4, slash_charge_units=TOKEN // 2, reporter_share_permille=250)
OPERATOR = account(0).address
CLIENT, REPORTER = account(1), account(2)
FACTS = make_facts()
NODE = Party(role="inference", account=address_to_hex(OPERATOR), key=key(0).key.hex())
GATEWAY = msgspec.structs.replace(NODE, role="gateway")
ESCROW = "ab" * 32


def sign(payload, signer=None):
    return (signer or key(0)).sign(pae(PAYLOAD_TYPE, payload))


def get_stake(chain):
    return chain.record(get_stake_key(OPERATOR), StakeRecord).bonded


def price(units, total=None, escrow=ESCROW):
    if not units:
        return {}
    return {"price_units": units, "escrow": escrow, "running_total_units": total or units}


# Nodes


def receipt(index, *, units=5, custody=b"hand-over", session=0, total=None):
    place = LogPosition(session=session, index=index, include_by=90, opener=OPENER.hex())
    return encode_receipt(
        Receipt(
            request=FACTS,
            outputs=(),
            evidence="signed",
            node=NODE,
            log=place,
            custody=sha256(custody).hex(),
            **price(units, total),
        )
    )


def two_charges(first, second, signer=None):
    return ReportTwoCharges(
        operator=OPERATOR,
        first=first,
        first_signature=sign(first, signer),
        second=second,
        second_signature=sign(second, signer),
    )


def start_node():
    chain = Chain(make_test_genesis(params=PARAMS))
    assert chain.register() == "ok"
    for session in range(2):
        assert chain.do(account(0), chain.opening(session=session)) == "ok"
    return chain


def test_two_charges_for_one_hand_over_convict_once_each_charge_too_many():
    chain = start_node()
    before = chain.record(get_account_key(REPORTER.address), Account).balance
    assert chain.do(REPORTER, two_charges(receipt(3), receipt(7, total=10))) == "ok"
    assert get_stake(chain) == 2 * TOKEN - TOKEN // 2
    assert chain.record(get_offence_key(OPERATOR, 0, "charge", 7), OffenceRecord) == OffenceRecord(
        operator=OPERATOR,
        session=0,
        kind="charge",
        index=7,
        reporter=REPORTER.address,
        slashed_units=TOKEN // 2,
        reward_units=TOKEN // 8,
        convicted_at=chain.engine.height,
    )
    after = chain.record(get_account_key(REPORTER.address), Account).balance
    assert after == before + TOKEN // 8 - FEE
    # The other way round it is the same offence; a third charge is one more.
    again = two_charges(receipt(7, total=10), receipt(3))
    assert chain.do(REPORTER, again) == "ledger.convicted-already"
    assert chain.do(REPORTER, two_charges(receipt(9), receipt(3))) == "ok"
    assert chain.do(REPORTER, two_charges(receipt(7), receipt(9))) == "ledger.convicted-already"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (receipt(3), receipt(3)),
        (receipt(3), receipt(7, units=0)),
        (receipt(3, units=0), receipt(7)),
        (receipt(3), receipt(7, custody=b"another")),
        # A node whose disk was lost is handed the same again: its new session may answer.
        (receipt(3), receipt(0, session=1)),
    ],
)
def test_what_is_no_double_charge_convicts_nobody(first, second):
    chain = start_node()
    assert chain.do(REPORTER, two_charges(first, second)) == "ledger.no-conflict"
    assert get_stake(chain) == 2 * TOKEN


def test_nobody_else_can_sign_a_nodes_charges():
    chain = start_node()
    body = two_charges(receipt(3), receipt(7), key(1))
    assert chain.do(REPORTER, body) == "ed25519.bad-signature"


@pytest.mark.parametrize(
    "wrong",
    [
        {"price_units": 5},
        {"price_units": 5, "escrow": ESCROW},
        {"price_units": 5, "running_total_units": 5},
        {"price_units": 5, "escrow": ESCROW, "running_total_units": 4},
        {"escrow": ESCROW, "running_total_units": 4},
    ],
)
def test_a_price_that_does_not_fit_together_is_no_receipt(wrong):
    chain = start_node()
    plain = Receipt(
        request=FACTS,
        outputs=(),
        evidence="signed",
        node=NODE,
        log=LogPosition(session=0, index=1, include_by=90, opener=OPENER.hex()),
        custody=sha256(b"hand-over").hex(),
        **wrong,
    )
    body = two_charges(encode_receipt(plain), receipt(7))
    assert chain.do(REPORTER, body) == "receipt.bad-charge"


# Gateways


def release(chain, *, units=5, total=None, first_record=b"first", at=2, **changes):
    previous = sha256(first_record).hex()
    escrow = compute_escrow_id(chain.domain, CLIENT.address, OPERATOR).hex()
    fields = {
        "request_id": FACTS.request_id,
        "request_digest": compute_request_digest(FACTS).hex(),
        "gateway": GATEWAY,
        "outcome": "answered",
        "asked": ("signed",),
        "obtained": ("signed",),
        "missing": (),
        "released_at": at,
        "branches": (previous,),
        "acknowledged": (previous,),
        "previous": previous,
        "receipt": "9" * 64,
        "answered_branch": previous,
    }
    return encode_release(Release(**(fields | price(units, total, escrow) | changes)))


def two_releases(first, second, signer=None, operator=OPERATOR):
    return ReportTwoReleases(
        operator=operator,
        first=first,
        first_signature=sign(first, signer),
        second=second,
        second_signature=sign(second, signer),
    )


def start_gateway(*, funded=True, chain_id=7):
    chain = Chain(make_test_genesis(params=PARAMS, chain_id=chain_id))
    assert chain.register(roles=("gateway",)) == "ok"
    if funded:
        assert chain.do(CLIENT, FundEscrow(payee=OPERATOR, amount=100)) == "ok"
    return chain


def test_two_charges_for_one_request_convict_a_gateway_once():
    chain = start_gateway()
    pair = release(chain), release(chain, total=10)
    assert chain.do(REPORTER, two_releases(*pair)) == "ok"
    assert get_stake(chain) == 2 * TOKEN - TOKEN // 2
    first_record = make_digest(sha256(b"first"))
    found = chain.record(get_charge_key(OPERATOR, first_record), OffenceRecord)
    assert (found.kind, found.first_record, found.reward_units) == (
        "charge",
        first_record,
        TOKEN // 8,
    )
    for bodies in (pair[::-1], (pair[0], release(chain, at=3))):
        assert chain.do(REPORTER, two_releases(*bodies)) == "ledger.convicted-already"
    other = {"first_record": b"another"}
    pair = release(chain, **other), release(chain, total=10, **other)
    assert chain.do(REPORTER, two_releases(*pair)) == "ok"


FAILED = {
    "outcome": "failed",
    "receipt": None,
    "answered_branch": None,
    "reason": "gateway.no-answer",
    "obtained": (),
}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({}, {"units": 0, "at": 3}),
        ({"units": 0}, {"at": 3}),
        ({}, {"first_record": b"another"}),
        # After a crash the gateway gave the request up, and charged nothing.
        ({}, {"units": 0, **FAILED}),
    ],
)
def test_what_is_no_double_charge_convicts_no_gateway(first, second):
    chain = start_gateway()
    body = two_releases(release(chain, **first), release(chain, **second))
    assert chain.do(REPORTER, body) == "ledger.no-conflict"
    assert get_stake(chain) == 2 * TOKEN


def test_a_failed_request_cannot_charge():
    chain = start_gateway()
    body = two_releases(release(chain), release(chain, **FAILED))
    assert chain.do(REPORTER, body) == "custody.bad-form"


def test_releases_convict_in_their_own_network_only():
    # The same keys may serve in two networks, and a request be the same in both.
    other = start_gateway(chain_id=8)
    chain = start_gateway()
    theirs = release(other), release(other, total=10)
    assert chain.do(REPORTER, two_releases(*theirs)) == "ledger.no-such-escrow"
    mixed = release(chain), theirs[1]
    assert chain.do(REPORTER, two_releases(*mixed)) == "ledger.no-such-escrow"
    assert get_stake(chain) == 2 * TOKEN


def test_a_release_that_charges_an_escrow_for_somebody_else_convicts_nobody():
    chain = start_gateway(funded=False)
    assert chain.do(CLIENT, FundEscrow(payee=REPORTER.address, amount=100)) == "ok"
    escrow = compute_escrow_id(chain.domain, CLIENT.address, REPORTER.address).hex()
    pair = release(chain, escrow=escrow), release(chain, escrow=escrow, total=10)
    assert chain.do(REPORTER, two_releases(*pair)) == "ledger.no-such-escrow"


def test_only_the_operators_key_speaks_for_it():
    chain = start_gateway()
    pair = release(chain), release(chain, total=10)
    body = two_releases(*pair)
    for name in ("first_signature", "second_signature"):
        bent = msgspec.structs.replace(body, **{name: sign(pair[0], key(1))})
        assert chain.do(REPORTER, bent) == "ed25519.bad-signature"
    body = two_releases(*pair, operator=CLIENT.address)
    assert chain.do(REPORTER, body) == "ledger.wrong-signer"
    for changes in (
        {"account": address_to_hex(CLIENT.address)},
        {"key": key(1).key.hex()},
    ):
        stranger = msgspec.structs.replace(GATEWAY, **changes)
        pair = release(chain, gateway=stranger), release(chain, gateway=stranger, total=10)
        assert chain.do(REPORTER, two_releases(*pair)) == "ledger.wrong-signer"


def test_a_stolen_key_does_not_convict_for_ever():
    chain = start_gateway()
    pair = release(chain), release(chain, total=10)
    again = chain.registration(operating=key(9), roles=("gateway",))
    assert chain.do(account(0), again) == "ok"
    last = chain.engine.height + PARAMS.unbonding_blocks
    while chain.engine.height < last - 1:
        chain.block()
    other = {"first_record": b"another"}
    late = two_releases(release(chain, **other), release(chain, total=10, **other))
    assert chain.do(REPORTER, two_releases(*pair)) == "ok"
    assert chain.do(REPORTER, late) == "ledger.key-retired"
