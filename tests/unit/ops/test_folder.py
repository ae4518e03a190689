"""A network's folder: made whole or not at all, kept by one process, the same when opened again."""

from __future__ import annotations

import stat

import pytest

from probatum.errors import Refusal
from probatum.nodes.shell.config import GatewayConfig, InferenceConfig, load_config, write_config
from probatum.ops import folder as folders
from probatum.ops.folder import USER, NetworkPlan, open_folder
from probatum.ops.homes import write_home
from probatum.ops.ports import load_ports, save_ports
from probatum.protocol.hexes import address_from_document
from probatum.protocol.primitives import address_to_hex
from probatum.protocol.trust import decode_trust


@pytest.fixture
def network(tmp_path):
    opened = open_folder(tmp_path / "network", NetworkPlan(nodes=2, block_interval_ms=250))
    yield opened
    opened.close()


def test_a_new_folder_holds_keys_of_three_kinds_and_a_genesis_that_funds_them(network):
    accounts = [
        network.load_account(name).address for name in ("node-1", "node-2", "gateway", USER)
    ]
    assert len(set(accounts)) == 4
    funded = {address_from_document(entry.account) for entry in network.genesis.balances}
    assert set(accounts) <= funded
    assert len(funded) == 7, "each process but the ledger pays fees from a hot account"
    trust = decode_trust(network.trust_path.read_bytes())
    assert trust.key == network.genesis.key
    for path in network.path.rglob("*.json"):
        if {"keys", "accounts"} & set(path.parts):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_folder_that_is_opened_again_is_the_same_network(network):
    before = (network.domain, network.load_account(USER).address)
    network_path = network.path
    # The fixture's own lock has to go first.
    other = folders.os.dup(network.lock)
    folders.fcntl.flock(other, folders.fcntl.LOCK_UN)
    folders.os.close(other)
    again = open_folder(network_path, NetworkPlan(nodes=5))
    assert (again.domain, again.load_account(USER).address) == before
    assert again.node_names == ("node-1", "node-2"), "a folder keeps what it was made with"
    assert again.block_interval_ms == 250
    again.close()


def test_two_processes_do_not_run_one_folder(network, monkeypatch):
    monkeypatch.setattr(folders, "_LOCK_WAIT_S", 0.1)
    with pytest.raises(Refusal) as caught:
        open_folder(network.path, NetworkPlan())
    assert caught.value.code == "network.in-use"


def test_a_folder_with_other_things_in_it_is_left_alone(tmp_path):
    (tmp_path / "letter.txt").write_text("dear all")
    with pytest.raises(Refusal) as caught:
        open_folder(tmp_path, NetworkPlan())
    assert caught.value.code == "network.not-a-network"
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_an_interrupted_making_leaves_nothing(tmp_path, monkeypatch):
    def fail(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(folders, "_make_genesis", fail)
    with pytest.raises(KeyboardInterrupt):
        open_folder(tmp_path / "network", NetworkPlan())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("nodes", [0, -1, 65])
def test_an_odd_number_of_nodes_is_refused(tmp_path, nodes):
    with pytest.raises(Refusal) as caught:
        open_folder(tmp_path / "network", NetworkPlan(nodes=nodes))
    assert caught.value.code == "network.bad-plan"


def test_a_home_follows_the_ledger_and_keeps_what_a_person_changed(network):
    for name, kind in (("node-1", InferenceConfig), ("gateway", GatewayConfig)):
        write_home(network, name, ledger="http://127.0.0.1:1")
        config = load_config(network.get_home(name), kind)
        assert config.operator == address_to_hex(network.load_account(name).address)
    changed = InferenceConfig(operator=config.operator, ledger=config.ledger, price_units=7)
    write_config(network.get_home("node-1"), changed)
    write_home(network, "node-1", ledger="http://127.0.0.1:2")
    config = load_config(network.get_home("node-1"), InferenceConfig)
    assert (config.price_units, config.ledger) == (7, "http://127.0.0.1:2")


def test_ports_are_kept_and_nonsense_is_no_port(tmp_path):
    assert load_ports(tmp_path) == {}
    save_ports(tmp_path, {"ledger": 4_000, "gateway": 5_000})
    assert load_ports(tmp_path) == {"ledger": 4_000, "gateway": 5_000}
    (tmp_path / "ports.json").write_text('{"ledger": 70000}')
    assert load_ports(tmp_path) == {}
