"""Founding by parties who share no machine: keys stay, public halves meet (`FOUND-1`)."""

from __future__ import annotations

import base64
import json
import shutil
import stat

import pytest

from probatum.consensus.cometbft.settings import EngineSettings, read_setting
from probatum.errors import Refusal
from probatum.ledger.genesis import compute_genesis_hash, decode_genesis
from probatum.nodes.shell.config import FullConfig, load_config
from probatum.ops.engine_homes import check_engine_home, load_validator_key
from probatum.ops.founding import (
    FOUNDER,
    found_home,
    gather,
    install_genesis,
    is_founder_home,
    load_founder,
)
from probatum.protocol.primitives import UNITS_PER_TOKEN, address_to_hex
from probatum.protocol.secp256k1 import AccountSigner

NAMES = ("alice", "bob", "carol")
SETTINGS = EngineSettings(moniker="x", p2p_port=1, rpc_port=2, block_interval_ms=500)


def found(folder, name, host=None):
    number = NAMES.index(name) + 1
    account = AccountSigner(bytes([number]) * 32)
    host = host or f"{name}.example.org"
    found_home(folder / name, account, name=name, host=host, port=26_000 + number)
    return load_founder(folder / name / FOUNDER)


def collect(founders, **changes):
    said = {"chain_id": 7, "time_ms": 1_000, "stake_tokens": 10, "balance_tokens": 3}
    return gather(tuple(founders), **{**said, **changes})


def refuse(call, *arguments, **said):
    with pytest.raises(Refusal) as caught:
        call(*arguments, **said)
    return caught.value.code


def test_founders_meet_by_their_files_alone(tmp_path):
    founders = [found(tmp_path, name) for name in NAMES]
    genesis = collect(founders)
    assert collect(reversed(founders)) == genesis, "the order of the files says nothing"
    assert {(one.account, one.key) for one in founders} == {
        (seat.account, seat.key) for seat in genesis.validators
    }
    assert {seat.stake_units for seat in genesis.validators} == {10 * UNITS_PER_TOKEN}
    assert {entry.balance_units for entry in genesis.balances} == {3 * UNITS_PER_TOKEN}
    for one in founders:
        home = tmp_path / one.name
        assert is_founder_home(home)
        before = load_validator_key(home)
        made = install_genesis(home, genesis, SETTINGS)
        assert (made.peer, made.key) == (one.peer, before.key)
        assert made.genesis_hash == compute_genesis_hash(genesis)
        assert not is_founder_home(home)
        check_engine_home(home, decode_genesis((home / "genesis.json").read_bytes()))
        assert load_config(home, FullConfig).block_interval_ms == 500
        text = (home / "engine/config/config.toml").read_text()
        assert read_setting(text, "p2p", "external_address") == f"{one.host}:{one.port}"
        assert read_setting(text, "rpc", "laddr") == f"tcp://127.0.0.1:{one.port + 1}"
        for path in home.rglob("*key.json"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert collect(founders, balance_tokens=0).balances == ()


def test_a_founder_file_holds_no_secret(tmp_path):
    founder = found(tmp_path, "alice")
    text = (tmp_path / "alice" / FOUNDER).read_text()
    for path in (tmp_path / "alice").rglob("*key.json"):
        secret = base64.b64decode(json.loads(path.read_bytes())["priv_key"]["value"])
        for seed in (secret, secret[:32]):
            assert seed.hex() not in text
            assert base64.b64encode(seed).decode() not in text
    assert (bytes([1]) * 32).hex() not in text
    assert founder.account == address_to_hex(AccountSigner(bytes([1]) * 32).address)
    assert not any("account" in path.name for path in (tmp_path / "alice").rglob("*"))


def test_nobody_is_gathered_twice(tmp_path):
    alice, bob = found(tmp_path, "alice"), found(tmp_path, "bob")
    assert refuse(collect, [alice, bob, alice]) == "network.founder-twice"
    shutil.rmtree(tmp_path / "bob")
    account = AccountSigner(bytes([9]) * 32)
    host, port = "alice.example.org", 26_001
    other = found_home(tmp_path / "bob", account, name="bob", host=host, port=port)
    assert refuse(collect, [alice, other]) == "network.founder-twice"


LOCAL = ("127.0.0.1", "127.1.2.3", "localhost", "[::1]", "0.0.0.0")


@pytest.mark.parametrize("host", LOCAL)
def test_a_founder_whom_the_others_cannot_reach_is_named(tmp_path, host):
    alice, bob = found(tmp_path, "alice"), found(tmp_path, "bob", host)
    with pytest.raises(Refusal) as caught:
        collect([alice, bob])
    assert caught.value.code == "network.founder-out-of-reach"
    assert f"bob ({host}:26002)" in caught.value.message
    assert "alice" not in caught.value.message
    carol = found(tmp_path, "carol", "127.0.0.1")
    assert len(collect([bob, carol]).validators) == 2, "all on one machine reach each other"


def test_a_genesis_without_this_founder_is_refused(tmp_path):
    alice, bob, carol = (found(tmp_path, name) for name in NAMES)
    without = collect([bob, carol])
    assert refuse(install_genesis, tmp_path / "alice", without, SETTINGS) == "network.not-a-founder"
    # Somebody else's key for this founder's account.
    stolen = collect([bob, carol, alice])
    seats = {seat.account: seat for seat in stolen.validators}
    assert seats[alice.account].key == alice.key
    voter = "engine/config/priv_validator_key.json"
    (tmp_path / "bob" / voter).replace(tmp_path / "alice" / voter)
    assert refuse(install_genesis, tmp_path / "alice", stolen, SETTINGS) == "network.not-a-founder"
    assert is_founder_home(tmp_path / "alice"), "nothing was begun"


def test_what_is_there_is_left_alone(tmp_path):
    account = AccountSigner(bytes([1]) * 32)
    said = {"name": "alice", "host": "a.example.org", "port": 1}
    assert refuse(found_home, tmp_path, account, **said) == "network.home-exists"
    for bad in ({"host": "a b"}, {"port": 0}, {"name": "-"}):
        with pytest.raises(Refusal):
            found_home(tmp_path / "new", account, **{**said, **bad})
    assert list(tmp_path.iterdir()) == []
