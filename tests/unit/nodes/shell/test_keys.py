"""Key files: made once, kept private, never shown."""

import json
import os

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from probatum.errors import Fault, Refusal
from probatum.nodes.shell.keys import (
    create_account_key,
    create_operating_key,
    create_publisher_key,
    load_account_key,
    load_operating_key,
    load_publisher_key,
    lock_keys,
)

KINDS = [
    (create_operating_key, load_operating_key, "key"),
    (create_account_key, load_account_key, "address"),
    (create_publisher_key, load_publisher_key, "key"),
]
each_kind = pytest.mark.parametrize(("create", "load", "public"), KINDS)


@each_kind
def test_a_key_is_loaded_as_it_was_made(tmp_path, create, load, public):
    path = tmp_path / "keys" / "k.json"
    made = create(path)
    assert getattr(load(path), public) == getattr(made, public)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    secret = json.loads(path.read_text())["secret"]
    assert secret not in repr(load(path))


@each_kind
def test_a_key_is_never_overwritten(tmp_path, create, load, public):
    create(tmp_path / "k")
    before = (tmp_path / "k").read_bytes()
    with pytest.raises(Refusal) as refused:
        create(tmp_path / "k")
    assert refused.value.code == "key.exists"
    assert (tmp_path / "k").read_bytes() == before


@each_kind
@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o777])
def test_loose_permissions_are_refused(tmp_path, create, load, public, mode):
    create(tmp_path / "k")
    (tmp_path / "k").chmod(mode)
    with pytest.raises(Refusal) as refused:
        load(tmp_path / "k")
    assert refused.value.code == "key.loose-permissions"
    assert "chmod 600" in refused.value.hint


def spoil_public(data):
    data["public"] = data["public"][:-1] + ("0" if data["public"][-1] != "0" else "1")


def spoil_secret(data):
    data["secret"] = "zz" + data["secret"][2:]


def shorten_secret(data):
    data["secret"] = data["secret"][2:]


def add_field(data):
    data["more"] = 1


@each_kind
@pytest.mark.parametrize("spoil", [spoil_public, spoil_secret, shorten_secret, add_field])
def test_a_spoilt_file_is_refused_without_showing_the_secret(tmp_path, create, load, public, spoil):
    create(tmp_path / "k")
    data = json.loads((tmp_path / "k").read_text())
    secret = data["secret"]
    spoil(data)
    (tmp_path / "k").write_text(json.dumps(data))
    with pytest.raises(Refusal) as refused:
        load(tmp_path / "k")
    assert refused.value.code == "key.malformed"
    assert secret[2:] not in str(refused.value)


def test_the_other_kind_is_refused(tmp_path):
    create_operating_key(tmp_path / "k")
    with pytest.raises(Refusal) as refused:
        load_account_key(tmp_path / "k")
    assert refused.value.code == "key.wrong-kind"


@pytest.mark.parametrize("data", [b"", b"\xff", b"[]", b"{}" * 4000])
def test_no_key_file_at_all(tmp_path, data):
    with pytest.raises(Refusal) as refused:
        load_operating_key(tmp_path / "absent")
    assert refused.value.code == "key.missing"
    (tmp_path / "k").write_bytes(data)
    (tmp_path / "k").chmod(0o600)
    with pytest.raises(Refusal) as refused:
        load_operating_key(tmp_path / "k")
    assert refused.value.code == "key.malformed"


def test_a_publishers_key_may_be_a_pem_file_as_private_as_ours(tmp_path):
    made = create_publisher_key(tmp_path / "k")
    secret = ec.derive_private_key(int.from_bytes(made.secret, "big"), ec.SECP256R1())
    path = tmp_path / "k.pem"
    path.write_bytes(
        secret.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    path.chmod(0o644)
    with pytest.raises(Refusal) as refused:
        load_publisher_key(path)
    assert refused.value.code == "key.loose-permissions"
    path.chmod(0o600)
    assert load_publisher_key(path) == made
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(Refusal) as refused:
        load_publisher_key(path)
    assert refused.value.code == "key.malformed"


def test_key_files_have_one_process_whatever_their_homes_are_called(tmp_path):
    """PAY-1: a link is the same key; a key that is not there, or a copy, is nobody's."""
    mine, other = tmp_path / "mine", tmp_path / "other"
    create_operating_key(mine / "operating.json")
    create_account_key(mine / "account.json")
    create_operating_key(other / "operating.json")
    (other / "account.json").hardlink_to(mine / "account.json")
    held = lock_keys(mine)
    assert len(held) == 2
    for _ in range(2):  # what it took before it was refused, it gave back
        with pytest.raises(Fault) as refused:
            lock_keys(other)
        assert refused.value.code == "home.locked"
    for descriptor in held:
        os.close(descriptor)
    for descriptor in lock_keys(other):
        os.close(descriptor)
    (other / "account.json").unlink()
    (other / "account.json").write_bytes((mine / "account.json").read_bytes())
    held = (*lock_keys(mine), *lock_keys(other))
    assert len(held) == 4
    for descriptor in held:
        os.close(descriptor)
    assert lock_keys(tmp_path / "nowhere") == ()
