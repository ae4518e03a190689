"""Joining a network that runs elsewhere: keys of one's own, others' genesis, peers by name."""

from __future__ import annotations

import os
import stat
import threading

import pytest

from probatum.consensus.cometbft.settings import EngineSettings, read_setting
from probatum.errors import Fault, Refusal
from probatum.ledger.genesis import decode_genesis
from probatum.nodes.shell.config import FullConfig, load_config
from probatum.nodes.shell.journal import lock_home
from probatum.ops.cometbft import VARIABLE
from probatum.ops.engine_homes import check_engine_home, load_validator_key
from probatum.ops.folder import NetworkPlan, open_folder
from probatum.ops.joining import join_network, load_network, read_peer, read_peers
from probatum.ops.keeping import keep_up

PEER = f"{'ab' * 20}@validator.example.org:26656"


@pytest.fixture(scope="module")
def genesis_path(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network") / "net"
    open_folder(folder, NetworkPlan(nodes=1, validators=1)).close()
    return folder / "genesis.json"


def make_settings():
    return EngineSettings(
        moniker="mine",
        host="mine.example.org",
        p2p_port=1,
        rpc_port=2,
        peers=(read_peer(PEER),),
        is_local=False,
        block_interval_ms=400,
    )


def test_a_home_is_made_whole(tmp_path, genesis_path):
    home = tmp_path / "mine"
    made = join_network(home, load_network(genesis_path), make_settings())
    check_engine_home(home, decode_genesis(genesis_path.read_bytes()))
    assert made.peer.endswith("@mine.example.org:1")
    assert load_validator_key(home).key == made.key
    config = load_config(home, FullConfig)
    assert config.port > 0, "it stays where it is"
    assert config.block_interval_ms == 400, "what it tells others is what its engine does"
    text = (home / "engine/config/config.toml").read_text()
    assert read_setting(text, "p2p", "persistent_peers") == PEER
    for path in home.rglob("*key.json"):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_what_is_there_is_left_alone(tmp_path, genesis_path):
    with pytest.raises(Refusal) as caught:
        join_network(tmp_path, load_network(genesis_path), make_settings())
    assert caught.value.code == "network.home-exists"


def test_a_network_of_one_key_has_no_engine_to_join(tmp_path):
    open_folder(tmp_path / "net", NetworkPlan(nodes=1)).close()
    with pytest.raises(Refusal) as caught:
        load_network(tmp_path / "net/genesis.json")
    assert caught.value.code == "network.no-engine"


def test_a_genesis_that_is_none_is_refused(tmp_path):
    (tmp_path / "genesis.json").write_text("{}")
    for path in (tmp_path / "genesis.json", tmp_path / "nowhere"):
        with pytest.raises(Refusal):
            load_network(path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x@h:1",
        f"{'AB' * 20}@h:1",
        f"{'ab' * 20}@h",
        f"{'ab' * 20}@h:0",
        f"{'ab' * 20}@h:70000",
        f"{'ab' * 20}@h,{'ab' * 20}@g:1",
        f'{"ab" * 20}@h":1',
        f"{'ab' * 20}@h:1\n",
    ],
)
def test_a_peer_that_is_none_is_refused(text):
    with pytest.raises(Refusal) as caught:
        read_peer(text)
    assert caught.value.code == "network.bad-peer"


def test_peers_are_read():
    assert str(read_peer(PEER)) == PEER
    assert read_peer(f"{'ab' * 20}@[::1]:7").host == "[::1]"
    assert read_peers((f"{PEER},{PEER}\n", PEER)) == (read_peer(PEER),) * 3
    assert read_peers(()) == ()


def test_keeping_looks_before_it_starts(tmp_path, genesis_path, monkeypatch):
    home = tmp_path / "mine"
    join_network(home, load_network(genesis_path), make_settings())
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    with pytest.raises(Refusal) as caught:
        keep_up(home, print)
    assert caught.value.code == "cometbft.missing"
    (home / "engine/config/node_key.json").chmod(0o644)
    with pytest.raises(Refusal) as caught:
        keep_up(home, print)
    assert caught.value.code == "key.loose-permissions"
    with pytest.raises((Refusal, Fault)):
        keep_up(tmp_path / "nowhere", print)


def test_a_home_has_one_keeper(tmp_path, genesis_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    home = tmp_path / "mine"
    join_network(home, load_network(genesis_path), make_settings())
    held = lock_home(home)
    with pytest.raises(Fault) as caught:
        keep_up(home, print, left_s=0.2)
    assert caught.value.code == "home.locked"
    # What a keeper that was just killed left is waited for.
    threading.Timer(0.3, os.close, (held,)).start()
    with pytest.raises(Refusal) as refused:
        keep_up(home, print, left_s=20)
    assert refused.value.code == "cometbft.missing"
