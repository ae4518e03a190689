"""Founder files: signed by both keys that they name, and by nobody else (`FOUND-1`)."""

import msgspec
import pytest

from probatum.errors import Refusal
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.encoding import encode_document
from probatum.protocol.founders import (
    FOUNDER_BYTES,
    Founder,
    decode_founder,
    encode_founder,
    sign_founder,
)
from probatum.protocol.primitives import address_to_hex
from probatum.protocol.secp256k1 import AccountSigner

ACCOUNT, OTHER = AccountSigner(bytes([1]) * 32), AccountSigner(bytes([2]) * 32)
VOTER, STRANGER = OperatingSigner(bytes([3]) * 32), OperatingSigner(bytes([4]) * 32)


def make(account=ACCOUNT, voter=VOTER, **changes):
    said = {
        "format": "probatum-founder/1",
        "name": "alice",
        "account": address_to_hex(ACCOUNT.address),
        "key": VOTER.key.hex(),
        "engine": "ab" * 20,
        "host": "alice.example.org",
        "port": 26_656,
    }
    return sign_founder(Founder(**{**said, **changes}), account, voter)


def refuse(data):
    with pytest.raises(Refusal) as caught:
        decode_founder(data)
    return caught.value.code


def test_a_founder_file_says_who_where_and_by_which_key():
    data = encode_founder(make())
    founder = decode_founder(data + b"\n")
    assert encode_founder(founder) == data
    assert founder.address == ACCOUNT.address
    assert founder.consensus_key == VOTER.key
    assert founder.peer == f"{'ab' * 20}@alice.example.org:26656"


def test_what_is_not_signed_by_both_keys_is_refused():
    good = make()
    for bad in (
        make(account=OTHER),
        make(voter=STRANGER),
        msgspec.structs.replace(good, account_signature=""),
        msgspec.structs.replace(good, key_signature=""),
    ):
        assert refuse(encode_document(bad)) == "founder.bad-signature"
    for field, value in (
        ("name", "mallory"),
        ("account", address_to_hex(OTHER.address)),
        ("key", STRANGER.key.hex()),
        ("engine", "cd" * 20),
        ("host", "mallory.example.org"),
        ("port", 1),
    ):
        changed = msgspec.structs.replace(good, **{field: value})
        assert refuse(encode_document(changed)) == "founder.bad-signature", field


@pytest.mark.parametrize(
    "changes",
    [{"host": 'h"'}, {"host": ""}, {"port": 0}, {"name": ""}, {"engine": "AB" * 20}, {"key": "00"}],
)
def test_what_is_no_founder_file_is_refused(changes):
    assert refuse(encode_document(msgspec.structs.replace(make(), **changes))).startswith(
        "encoding."
    )


def test_junk_is_refused():
    for data in (b"", b"{}", b"\xff", b"[" * 100, b" " * FOUNDER_BYTES + b"{}"):
        assert refuse(data).startswith("encoding.")
