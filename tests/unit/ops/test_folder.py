"""A network's folder: made whole or not at all, kept by one process, the same when opened again."""

from __future__ import annotations

import socket
import stat

import pytest

from probatum.consensus.cometbft.genesis import check_engine_genesis
from probatum.consensus.cometbft.settings import read_setting
from probatum.errors import Refusal
from probatum.ledger.genesis import decode_genesis
from probatum.nodes.shell.config import GatewayConfig, InferenceConfig, load_config, write_config
from probatum.ops import folder as folders
from probatum.ops.engine_homes import get_node_id, load_validator_key
from probatum.ops.engines import place_engines
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

    monkeypatch.setattr(folders, "_found", fail)
    with pytest.raises(KeyboardInterrupt):
        open_folder(tmp_path / "network", NetworkPlan())
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def validated(tmp_path):
    plan = NetworkPlan(nodes=1, validators=4, block_interval_ms=500)
    opened = open_folder(tmp_path / "validated", plan)
    yield opened
    opened.close()


def test_validators_have_homes_keys_and_stake_of_their_own(validated):
    assert validated.validator_names == tuple(f"validator-{n}" for n in (1, 2, 3, 4))
    genesis = validated.genesis
    assert genesis.engine == "cometbft"
    keys = {load_validator_key(home).key.hex() for home in validated.validator_homes.values()}
    assert keys == {entry.key for entry in genesis.validators}
    assert len(keys) == 4
    stakes = {entry.account: entry.stake_units for entry in genesis.validators}
    for name in validated.validator_names:
        assert stakes[address_to_hex(validated.load_account(name).address)] > 0
    assert len(set(stakes.values())) == 1, "nobody has more to say than others"
    for home in validated.validator_homes.values():
        data = (home / "engine/config/genesis.json").read_bytes()
        check_engine_genesis(genesis, data)
        assert decode_genesis((home / "genesis.json").read_bytes()) == genesis
        for path in home.rglob("*key.json"):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not (validated.path / "homes/ledger").exists()


def test_the_trust_file_of_a_chain_that_begins_names_its_first_validators(validated):
    trust = decode_trust(validated.trust_path.read_bytes())
    assert (trust.engine, trust.height) == ("cometbft", 0)
    powers = {one.key: one.power for one in trust.validators}
    assert powers == {entry.key: 1_000 for entry in validated.genesis.validators}
    unbonding_ms = validated.genesis.consensus.consensus_unbonding_ms
    assert trust.trusting_period_ms < unbonding_ms, "whoever lied can still be slashed"
    home = validated.get_home("node-1")
    assert decode_trust((home / "trust.json").read_bytes()) == trust


def test_engines_are_placed_at_free_ports_and_know_each_other(validated):
    def place():
        return place_engines(validated.path, validated.validator_homes, validated.genesis)

    first = place()
    ports = load_ports(validated.path)
    assert len(set(ports.values())) == 8
    assert place() == first, "everybody comes back where they were"
    home = validated.get_home("validator-2")
    text = (home / "engine/config/config.toml").read_text()
    peers = read_setting(text, "p2p", "persistent_peers").split(",")
    expected = {
        f"{get_node_id(validated.get_home(name))}@127.0.0.1:{ports[f'{name}-p2p']}"
        for name in ("validator-1", "validator-3", "validator-4")
    }
    assert set(peers) == expected
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", ports["validator-1-p2p"]))
        somebody.listen()
        place()
        moved = load_ports(validated.path)
    assert moved["validator-1-p2p"] != ports["validator-1-p2p"]
    assert str(moved["validator-1-p2p"]) in (home / "engine/config/config.toml").read_text()
    assert {k: v for k, v in moved.items() if k != "validator-1-p2p"} == {
        k: v for k, v in ports.items() if k != "validator-1-p2p"
    }


def test_a_key_that_others_may_read_stops_everything(validated):
    path = validated.get_home("validator-3") / "engine/config/priv_validator_key.json"
    path.chmod(0o644)
    with pytest.raises(Refusal) as caught:
        place_engines(validated.path, validated.validator_homes, validated.genesis)
    assert caught.value.code == "key.loose-permissions"


def test_a_folder_from_before_validators_is_read(network):
    assert b"validators" not in (network.path / "network.json").read_bytes()
    assert network.validator_names == ()


@pytest.mark.parametrize("count", [-1, 17])
def test_an_odd_number_of_validators_is_refused(tmp_path, count):
    with pytest.raises(Refusal) as caught:
        open_folder(tmp_path / "network", NetworkPlan(validators=count))
    assert caught.value.code == "network.bad-plan"


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
