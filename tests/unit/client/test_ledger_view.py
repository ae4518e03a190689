import pytest

from probatum.client.ledger_view import LedgerView
from probatum.errors import Refusal
from probatum.ledger.params import Params
from probatum.protocol import records
from probatum.protocol.blocks import BlockView, Change
from probatum.protocol.encoding import encode
from probatum.protocol.hashing import sha256
from tests.factories import (
    NODES,
    PACKAGE,
    make_chain,
    make_log,
    make_log_record,
    make_node_record,
    make_offer,
)

A, B = NODES[:2]
HEADERS = make_chain(3)


def block(number, *pairs):
    changes = tuple(
        Change(key=key, value=None if value is None else encode(value)) for key, value in pairs
    )
    return BlockView(header=HEADERS[number], changes=changes)


def node(actor, **changes):
    return (records.get_node_key(actor.account), make_node_record(actor, **changes))


def offer(actor):
    return (records.get_offer_key(actor.account, PACKAGE, "float"), make_offer(actor))


def model(version, published_at):
    record = records.ModelRecord(
        name="magika",
        version=version,
        publisher=A.account,
        package=sha256(version.encode()),
        size_bytes=3,
        published_at=published_at,
    )
    return (records.get_model_key("magika", version), record)


def test_a_new_view_knows_nothing():
    view = LedgerView()
    assert (view.height, view.time_ms, view.header) == (0, 0, None)
    assert view.get_nodes() == view.get_offers(PACKAGE) == view.get_models() == ()
    assert view.get_params() is view.get_node(A.account) is view.get_model("magika", None) is None


def test_changes_are_applied_and_deleted():
    view = LedgerView()
    view.apply(block(0, node(B), node(A), offer(B), offer(A)), snapshot=True)
    assert view.height == 1
    assert [record.account for record in view.get_nodes()] == sorted([A.account, B.account])
    operators = [record.operator for record in view.get_offers(PACKAGE)]
    assert operators == sorted([A.account, B.account])
    view.apply(block(1, (offer(A)[0], None), node(B, sessions=4)), snapshot=False)
    assert [record.operator for record in view.get_offers(PACKAGE)] == [B.account]
    assert view.get_node(B.account).sessions == 4
    assert view.get_node(A.account) is not None
    assert view.time_ms == 2_000


def test_a_snapshot_replaces_everything():
    view = LedgerView()
    view.apply(block(0, node(A), offer(A)), snapshot=True)
    view.apply(block(2, node(B)), snapshot=True)
    assert view.get_node(A.account) is None
    assert view.get_offers(PACKAGE) == ()
    assert view.height == 3


def test_the_newest_version_is_the_one_published_last():
    view = LedgerView()
    view.apply(block(0, model("2", 5), model("10", 4), model("1", 5)), snapshot=True)
    assert view.get_model("magika", None).version == "2"
    assert view.get_model("magika", "10").published_at == 4
    assert view.get_model("magika", "3") is None
    assert view.get_model("other", None) is None
    assert len(view.get_models()) == 3


def test_logs_keys_accounts_and_parameters_are_found():
    log = make_log_record(A, make_log(None))
    key = records.KeyRecord(account=A.account, registered_at=1, retired_at=None)
    account = records.Account(balance=7, nonce=1)
    view = LedgerView()
    view.apply(
        block(
            0,
            (records.get_log_key(A.account, 0), log),
            (records.get_key_key(A.signer.key), key),
            (records.get_account_key(A.account), account),
            (records.PARAMS_KEY, Params(min_fee_units=3)),
        ),
        snapshot=True,
    )
    assert view.get_log(A.account, 0) == log
    assert view.get_log(A.account, 1) is None
    assert view.get_key(A.signer.key) == key
    assert view.get_account(A.account) == account
    assert view.get_params().min_fee_units == 3


def test_records_of_unknown_kinds_are_left_out():
    view = LedgerView()
    stray = Change(key=b"zoo/animal", value=b"\x01")
    view.apply(BlockView(header=HEADERS[0], changes=(stray,)), snapshot=True)
    assert view.height == 1


def test_a_bad_record_changes_nothing():
    view = LedgerView()
    view.apply(block(0, node(A)), snapshot=True)
    bad = Change(key=records.get_node_key(B.account), value=b"\xc1")
    good = Change(key=node(A)[0], value=None)
    with pytest.raises(Refusal, match=r"encoding\.malformed"):
        view.apply(BlockView(header=HEADERS[1], changes=(good, bad)), snapshot=False)
    assert view.get_node(A.account) is not None
    assert view.height == 1
