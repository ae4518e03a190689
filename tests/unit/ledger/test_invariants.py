"""The invariants catch what a broken handler would do."""

import msgspec
import pytest

from probatum.errors import Misuse
from probatum.ledger import apply
from probatum.ledger.invariants import InvariantBroken, check_changes, check_records
from probatum.ledger.queries import decode_record
from probatum.protocol.hashing import sha256
from probatum.protocol.primitives import AMOUNT_BOUND, make_publisher_key
from probatum.protocol.records import (
    Account,
    ChallengeRecord,
    EscrowRecord,
    KeyRecord,
    LogRecord,
    ModelRecord,
    NodeRecord,
    OffenceRecord,
    PackageNameRecord,
    PublisherKeyRecord,
    PublisherRecord,
    StakeRecord,
    Supply,
    Unbonding,
)
from probatum.protocol.transactions.kinds import Transfer
from tests.chain import Chain, account, key

LOG = LogRecord(
    operator=account(0).address,
    session=0,
    opener=sha256(b"opener"),
    operating_key=key(0).key,
    size=5,
    root=sha256(b""),
    opened_at=1,
    settled_at=2,
)
NODE = NodeRecord(
    account=account(0).address,
    operating_key=key(0).key,
    endpoint="http://a:1",
    roles=("inference",),
    registered_at=3,
    heartbeat_at=5,
    sequence=4,
    sessions=2,
)
KEY = KeyRecord(account=account(0).address, registered_at=1, retired_at=None)
MODEL = ModelRecord(
    name="m",
    version="1",
    publisher=account(0).address,
    package=sha256(b""),
    size_bytes=1,
    published_at=1,
)

SIGNED_BY = PublisherKeyRecord(
    account=account(0).address,
    key=make_publisher_key(bytes(65)),
    registered_at=1,
    retired_at=None,
)
PUBLISHER = PublisherRecord(account=account(0).address, key_id=sha256(b""))
PACKAGE_NAME = PackageNameRecord(name="m", version="1")
CHALLENGE = ChallengeRecord(
    operator=account(0).address,
    session=0,
    index=3,
    entry=sha256(b""),
    challenger=account(1).address,
    bond_units=5,
    opened_at=4,
    deadline_at=9,
)
ESCROW = EscrowRecord(
    payer=account(0).address,
    payee=account(1).address,
    deposited_units=9,
    collected_units=4,
    closing_at=None,
    opened_at=3,
)
OFFENCE = OffenceRecord(
    operator=account(0).address,
    session=0,
    kind="omission",
    index=3,
    reporter=account(1).address,
    slashed_units=5,
    reward_units=1,
    convicted_at=9,
)


def change(record, **fields):
    return (b"key", record, msgspec.structs.replace(record, **fields))


@pytest.mark.parametrize(
    "broken",
    [
        [(b"a", Account(balance=5, nonce=0), Account(balance=6, nonce=0))],
        [(b"a", None, StakeRecord(bonded=5, unbonding=()))],
        [(b"s", Supply(issued=9, burned=0), Supply(issued=9, burned=1))],
        [(b"s", Supply(issued=9, burned=0), Supply(issued=10, burned=1))],
        [change(Account(balance=5, nonce=3), nonce=2)],
        [change(LOG, size=4, settled_at=9)],
        [change(LOG, root=sha256(b"x"), settled_at=9)],
        [change(LOG, size=6, operating_key=key(1).key, settled_at=9)],
        [change(NODE, sequence=3)],
        [change(NODE, sessions=1)],
        [change(NODE, heartbeat_at=4)],
        [change(KEY, account=account(1).address)],
        [change(msgspec.structs.replace(KEY, retired_at=4), retired_at=None)],
        [change(MODEL, package=sha256(b"x"))],
        [(b"m", MODEL, None)],
        [change(SIGNED_BY, account=account(1).address, retired_at=4)],
        [change(SIGNED_BY, key=make_publisher_key(b"x" * 65), retired_at=4)],
        [change(SIGNED_BY, registered_at=2, retired_at=4)],
        [change(msgspec.structs.replace(SIGNED_BY, retired_at=4), retired_at=None)],
        [(b"k", SIGNED_BY, None)],
        [change(PUBLISHER, account=account(1).address)],
        [(b"p", PUBLISHER, None)],
        [change(PACKAGE_NAME, version="2")],
        [(b"l", LOG, None)],
        [(b"c", None, CHALLENGE)],
        [change(CHALLENGE, deadline_at=10)],
        [change(OFFENCE, slashed_units=6)],
        [(b"o", OFFENCE, None)],
        [(b"e", None, ESCROW)],
        [change(ESCROW, deposited_units=10)],
        [change(ESCROW, collected_units=5)],
        # What was collected is never forgotten, nor whose it is; both would pay vouchers twice.
        [change(ESCROW, deposited_units=8, collected_units=3)],
        [change(ESCROW, payer=account(1).address)],
        [change(ESCROW, payee=account(0).address)],
        [change(ESCROW, opened_at=4)],
        [
            (b"e", msgspec.structs.replace(ESCROW, deposited_units=4), None),
        ],
        [
            change(ESCROW, deposited_units=3),
            (b"a", None, Account(balance=6, nonce=0)),
        ],
        [
            (b"a", None, Account(balance=AMOUNT_BOUND, nonce=0)),
            (b"s", Supply(issued=0, burned=0), Supply(issued=AMOUNT_BOUND, burned=0)),
        ],
    ],
)
def test_a_breach_is_found(broken):
    with pytest.raises(InvariantBroken) as caught:
        check_changes(broken)
    assert caught.value.code == "ledger.invariant-broken"
    assert isinstance(caught.value, Misuse)


def test_what_may_happen_passes():
    unbonding = (Unbonding(amount=2, matures_at=9),)
    check_changes(
        [
            (b"a", Account(balance=5, nonce=0), Account(balance=1, nonce=1)),
            (b"b", None, Account(balance=1, nonce=0)),
            (b"c", None, StakeRecord(bonded=0, unbonding=unbonding)),
            (b"s", Supply(issued=9, burned=0), Supply(issued=9, burned=1)),
            change(LOG, size=6, settled_at=9),
            change(NODE, sequence=5, sessions=3, heartbeat_at=6, endpoint="http://b:1"),
            change(KEY, retired_at=4),
            change(SIGNED_BY, retired_at=4),
            change(PUBLISHER, key_id=sha256(b"x")),
            (b"m", None, MODEL),
            (b"o", None, OFFENCE),
            (b"n", None, CHALLENGE),
            (b"x", Account(balance=5, nonce=0), Account(balance=0, nonce=1)),
            change(ESCROW, deposited_units=6, collected_units=6, closing_at=7),
            (b"y", None, Account(balance=5, nonce=0)),
        ]
    )


def test_a_handler_that_makes_money_stops_the_block(monkeypatch):
    """The check stands where blocks are applied, not only here."""

    def mint(state, context, sender, body):
        record = state.get_account(body.to)
        state.put_account(body.to, Account(balance=record.balance + 1, nonce=record.nonce))

    chain = Chain()
    monkeypatch.setattr(apply, "apply_transfer", mint)
    with pytest.raises(InvariantBroken):
        chain.do(account(0), Transfer(to=account(1).address, amount=5))


def test_the_whole_state_is_balanced():
    chain = Chain()
    chain.register()
    found = {k: v for k, v in chain.records().items() if k != b"params"}
    records = [decode_record(k, v) for k, v in found.items()]
    check_records(records)
    with pytest.raises(InvariantBroken):
        check_records([*records, Account(balance=1, nonce=0)])
    with pytest.raises(InvariantBroken):
        check_records([])
