"""Keys as people write them, records as names and values."""

from __future__ import annotations

import pytest

from probatum.cli.describing import describe_record, parse_state_key
from probatum.errors import Refusal
from probatum.protocol import records
from probatum.protocol.encoding import encode
from probatum.protocol.primitives import make_address

WHO = make_address(bytes(range(20)))
TEXT = "0x" + WHO.hex()


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("params", records.PARAMS_KEY),
        ("supply", records.SUPPLY_KEY),
        (f"account/{TEXT}", records.get_account_key(WHO)),
        (f"stake/{TEXT}", records.get_stake_key(WHO)),
        (f"node/{TEXT}", records.get_node_key(WHO)),
        (f"publisher/{TEXT}", records.get_publisher_key(WHO)),
        ("publisher-key/" + "ab" * 32, records.get_publisher_key_key(b"\xab" * 32)),
        ("escrow/" + "ab" * 32, records.get_escrow_key(b"\xab" * 32)),
        (f"log/{TEXT}/3", records.get_log_key(WHO, 3)),
        ("name/net", records.get_name_key("net")),
        ("model/net/1.0", records.get_model_key("net", "1.0")),
        ("0x" + records.get_node_key(WHO).hex(), records.get_node_key(WHO)),
    ],
)
def test_a_key_is_found_by_what_people_write(text, key):
    assert parse_state_key(text) == key


@pytest.mark.parametrize(
    "text", ["", "bla", "account", "account/x", f"log/{TEXT}", f"log/{TEXT}/-1", "0xzz", "key/00"]
)
def test_what_is_no_key_is_refused(text):
    with pytest.raises(Refusal):
        parse_state_key(text)


def test_a_record_becomes_names_and_values():
    record = records.NameRecord(publisher=WHO, claimed_at=7)
    described = describe_record(records.get_name_key("net"), encode(record))
    assert described == {"publisher": TEXT, "claimed_at": 7}


def test_an_escrow_is_shown():
    record = records.EscrowRecord(
        payer=WHO, payee=WHO, deposited_units=9, collected_units=4, closing_at=None, opened_at=3
    )
    described = describe_record(records.get_escrow_key(b"\xab" * 32), encode(record))
    assert described == {
        "payer": TEXT,
        "payee": TEXT,
        "deposited_units": 9,
        "collected_units": 4,
        "closing_at": None,
        "opened_at": 3,
    }


def test_a_record_of_an_unknown_kind_is_shown_as_bytes():
    assert describe_record(b"future/1", b"\x01\x02") == "0102"
