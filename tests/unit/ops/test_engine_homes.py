"""An engine's folder: keys nobody else may read, settings that move, nothing of another chain."""

from __future__ import annotations

import stat
import time

import pytest

from probatum.consensus.cometbft.settings import EngineSettings, Peer, read_setting
from probatum.errors import Fault, Refusal
from probatum.ledger.genesis import make_validator_genesis
from probatum.nodes.shell.engine_files import get_rpc_port
from probatum.ops.engine_homes import (
    check_engine_home,
    create_engine_keys,
    get_node_id,
    is_engine_home,
    load_validator_key,
    move_engine,
    write_engine_home,
)
from probatum.protocol.primitives import UNITS_PER_TOKEN, make_address, make_consensus_key


def make_genesis(key, *, chain_id=7):
    return make_validator_genesis(
        chain_id=chain_id,
        time_ms=time.time_ns() // 1_000_000,
        validators={make_address(bytes(20)): (make_consensus_key(key), 5 * UNITS_PER_TOKEN)},
        balances={},
    )


@pytest.fixture
def made(tmp_path):
    home = tmp_path / "home"
    voter = create_engine_keys(home)
    genesis = make_genesis(voter.key)
    write_engine_home(home, genesis, EngineSettings(moniker="v", p2p_port=1_001, rpc_port=1_002))
    return home, genesis, voter


def test_a_home_is_made_that_passes(made):
    home, genesis, voter = made
    assert is_engine_home(home)
    assert not is_engine_home(home.parent)
    check_engine_home(home, genesis)
    assert load_validator_key(home) == voter
    assert get_rpc_port(home) == 1_002
    assert len(get_node_id(home)) == 40
    secret = ["config/priv_validator_key.json", "config/node_key.json"]
    for name in [*secret, "data/priv_validator_state.json"]:
        assert stat.S_IMODE((home / "engine" / name).stat().st_mode) == 0o600
    for name in ("engine/config", "engine/data"):
        assert stat.S_IMODE((home / name).stat().st_mode) == 0o700


def test_keys_are_never_overwritten(made):
    home, _, voter = made
    with pytest.raises(Refusal) as caught:
        create_engine_keys(home)
    assert caught.value.code == "key.exists"
    assert load_validator_key(home) == voter


@pytest.mark.parametrize("name", ["priv_validator_key.json", "node_key.json"])
def test_keys_that_others_may_read_are_refused(made, name):
    home, genesis, _ = made
    (home / "engine/config" / name).chmod(0o640)
    with pytest.raises(Refusal) as caught:
        check_engine_home(home, genesis)
    assert caught.value.code == "key.loose-permissions"
    assert "chmod 600" in caught.value.hint


def test_a_genesis_of_another_chain_is_refused(made):
    home, _, voter = made
    with pytest.raises(Refusal) as caught:
        check_engine_home(home, make_genesis(voter.key, chain_id=8))
    assert caught.value.code == "genesis.other-engine-genesis"


def test_an_engine_is_moved_and_keeps_what_people_set(made):
    home, genesis, _ = made
    path = home / "engine/config/config.toml"
    path.write_text(path.read_text().replace("1000ms", "5s") + "\n[storage]\n# mine\n")
    peers = (Peer(id="ab" * 20, host="127.0.0.1", port=9),)
    move_engine(home, p2p_port=2_001, rpc_port=2_002, peers=peers)
    text = path.read_text()
    assert get_rpc_port(home) == 2_002
    assert read_setting(text, "p2p", "laddr") == "tcp://127.0.0.1:2001"
    assert read_setting(text, "p2p", "persistent_peers") == f"{'ab' * 20}@127.0.0.1:9"
    assert read_setting(text, "consensus", "timeout_commit") == "5s"
    assert "# mine" in text
    check_engine_home(home, genesis)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('proxy_app = "unix://abci.sock"', 'proxy_app = "kvstore"'),
        ('laddr = "tcp://127.0.0.1:1002"', 'laddr = "unix:///tmp/x"'),
        ('laddr = "tcp://127.0.0.1:1002"', "laddr = 5"),
        ("[rpc]", "[rpc"),
    ],
)
def test_settings_that_cannot_work_are_refused(made, old, new):
    home, genesis, _ = made
    path = home / "engine/config/config.toml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(Refusal) as caught:
        check_engine_home(home, genesis)
    assert caught.value.code == "engine.bad-config"


def test_a_file_that_cannot_be_written_is_told(made):
    home, genesis, _ = made
    path = home / "engine/config/genesis.json"
    path.unlink()
    (path / "in-the-way").mkdir(parents=True)
    with pytest.raises(Fault) as caught:
        write_engine_home(home, genesis, EngineSettings(moniker="v", p2p_port=1, rpc_port=2))
    assert caught.value.code == "engine.unwritable"


def test_a_damaged_key_is_named(made):
    home, genesis, _ = made
    for name in ("node_key.json", "priv_validator_key.json"):
        (home / "engine/config" / name).write_text("garbage")
        with pytest.raises(Refusal, match=name) as caught:
            check_engine_home(home, genesis)
        assert caught.value.code == "engine.bad-key"


def test_unknown_votes_are_refused(made):
    home, genesis, _ = made
    state = home / "engine/data/priv_validator_state.json"
    signed = '{"height": "7", "round": 1, "step": 3, "signature": "AA==", "signbytes": "08"}'
    for known in (signed, '{"height": "900", "round": 0, "step": 3}'):
        state.write_text(known)
        check_engine_home(home, genesis)
    for unknown in ("", "garbage", '{"height": 7, "round": 0, "step": 3}', '{"height": "7"}'):
        state.write_text(unknown)
        with pytest.raises(Refusal) as caught:
            check_engine_home(home, genesis)
        assert caught.value.code == "engine.unknown-votes"
    state.unlink()
    with pytest.raises(Refusal) as caught:
        check_engine_home(home, genesis)
    assert caught.value.code == "engine.unknown-votes"
    assert str(state) in caught.value.message
    assert "validators.md" in caught.value.hint
