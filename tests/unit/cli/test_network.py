"""`probatum network`: what is made, what is said, what is left alone."""

from __future__ import annotations

import json
import stat
from pathlib import Path

from probatum.cli import main
from probatum.nodes.shell.process import EXIT_CODES
from probatum.ops.founding import load_founder
from probatum.ops.joining import name_home
from tests.unit.cli.test_explaining import leave_pointer


def test_a_network_is_founded_and_joined(tmp_path, capsys):
    folder = tmp_path / "net"
    assert main(["network", "init", "--validators", "2", "--nodes", "1", str(folder)]) == 0
    shown = capsys.readouterr()
    assert "validator-2" in shown.out
    assert f"Next: probatum up {folder}" in shown.err
    keys = list(folder.rglob("priv_validator_key.json"))
    assert len(keys) == 2
    assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}
    assert main(["network", "init", str(folder)]) != 0
    assert "network.exists" in capsys.readouterr().err

    peer = f"{'ab' * 20}@192.0.2.1:26656"
    home = tmp_path / "mine"
    words = ["network", "join", str(home), "--genesis", str(folder / "genesis.json")]
    assert main([*words, "--peer", peer, "--host", "192.0.2.2", "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert made["engine"].endswith("@192.0.2.2:26656")
    assert len(bytes.fromhex(made["consensus_key"])) == 32
    config = (home / "engine/config/config.toml").read_text()
    assert peer in config
    assert 'external_address = "192.0.2.2:26656"' in config
    assert main([*words, "--peer", peer]) != 0
    assert "network.home-exists" in capsys.readouterr().err
    assert main([*words[:-3], str(tmp_path / "other"), *words[-2:], "--peer", "nobody"]) != 0
    assert "network.bad-peer" in capsys.readouterr().err


def test_what_is_made_is_told_to_programs(tmp_path, capsys):
    folder = tmp_path / "net"
    assert main(["network", "init", str(folder), "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in made["validators"]] == [f"validator-{n}" for n in (1, 2, 3, 4)]
    assert json.loads((folder / "trust.json").read_text())["engine"] == "cometbft"


def test_no_validators_are_no_network(tmp_path, capsys):
    assert main(["network", "init", str(tmp_path / "net"), "--validators", "0"]) != 0
    assert "network.bad-plan" in capsys.readouterr().err
    assert not (tmp_path / "net").exists()


def test_a_full_node_is_run_by_genesis_and_peer(tmp_path, capsys, monkeypatch):
    kept = []
    monkeypatch.setattr("probatum.cli.node.keep_up", lambda home, _say: kept.append(home) or 0)
    for name in ("net", "other"):
        assert main(["network", "init", str(tmp_path / name), "--validators", "1"]) == 0
    genesis, home = str(tmp_path / "net/genesis.json"), tmp_path / "mine"
    run = ["node", "run", "--role", "full", str(home)]
    assert main(run) != 0
    assert "network.no-genesis" in capsys.readouterr().err
    assert main([*run, "--genesis", genesis]) != 0
    assert "network.no-peer" in capsys.readouterr().err
    peer = ["--peer", f"{'ab' * 20}@192.0.2.1:26656"]
    trust = ["--trust", str(tmp_path / "other/trust.json")]
    servers = ["--snapshot-from", "192.0.2.1:1", "--snapshot-from", "192.0.2.2:1"]
    assert main([*run, "--genesis", genesis, *peer, *trust, *servers]) != 0
    assert "network.other-chain" in capsys.readouterr().err
    assert not home.exists()
    assert kept == []
    for _ in range(2):  # as a service manager does
        assert main([*run, "--genesis", genesis, *peer]) == 0
    assert kept == [home, home]
    assert main(["node", "run", str(home)]) == 0
    assert len(kept) == 3, "its engine belongs to it"
    capsys.readouterr()
    assert main([*run, "--genesis", str(tmp_path / "other/genesis.json"), *peer]) != 0
    assert "network.other-chain" in capsys.readouterr().err
    assert main(["node", "run", "--role", "full", str(tmp_path / "net/homes/node-1")]) != 0


def test_no_account_of_a_network_here_founds_another(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PROBATUM_HOME", str(tmp_path / "ours"))
    assert main(["account", "new", "user"]) == 0
    user = tmp_path / "ours/accounts/user.json"
    leave_pointer(tmp_path / "ours", str(user))
    found = ["network", "found", str(tmp_path / "mine")]
    capsys.readouterr()
    assert main(found) == 1
    assert "account.unknown" in capsys.readouterr().err
    assert not (tmp_path / "mine").exists()
    assert main([*found, "--account", str(user)]) == 0
    shown = capsys.readouterr()
    assert f"account file   {user}" in shown.out
    assert "Only this machine reaches 127.0.0.1" in shown.err
    assert main(["account", "new"]) == 0
    assert main(["network", "found", str(tmp_path / "other"), "--host", "192.0.2.1"]) == 0
    shown = capsys.readouterr()
    assert f"account file   {tmp_path / 'ours/accounts/me.json'}" in shown.out
    assert "Only this machine" not in shown.err


def test_founders_gather_and_join(tmp_path, capsys, monkeypatch):
    names = ("alice", "bob")
    for number, name in enumerate(names):
        monkeypatch.setenv("PROBATUM_HOME", str(tmp_path / f"{name}-accounts"))
        assert main(["account", "new"]) == 0
        port = str(26_000 + 10 * number)
        assert main(["network", "found", str(tmp_path / name), "--p2p-port", port]) == 0
    assert "holds no secret" in capsys.readouterr().err
    files = [str(tmp_path / name / "founder.json") for name in names]
    words = ["network", "gather", *files, "-o", str(tmp_path / "founding"), "--json"]
    assert main(words) == 0
    said = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in said["founders"]] == ["alice", "bob"]
    assert said["parameters"] == "the defaults"
    assert main(words) != 0
    assert "network.exists" in capsys.readouterr().out
    peers = (tmp_path / "founding/peers.txt").read_text()
    genesis = str(tmp_path / "founding/genesis.json")
    join = ["network", "join", str(tmp_path / "alice"), "--genesis", genesis, "--peer", peers]
    assert main([*join, "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["genesis_hash"] == said["genesis_hash"]
    assert f"genesis hash: {said['genesis_hash']}" in shown.err
    config = (tmp_path / "alice/engine/config/config.toml").read_text()
    alice, bob = peers.strip().split(",")
    assert bob in config
    assert alice not in config, "no engine connects to itself"
    assert main(join) != 0
    assert "network.home-exists" in capsys.readouterr().err


def test_who_keeps_a_process_up_is_told_by_exit_code(tmp_path, capsys):
    assert (EXIT_CODES["refusal"], EXIT_CODES["fault"]) == (64, 69)
    home = tmp_path / "mine"
    home.mkdir()
    (home / "node.toml").write_text('role = "full"\nanonymus = 1\n')
    for words in (["network", "keep"], ["node", "run"]):
        assert main([*words, str(home)]) == 64
        assert "config.unknown-setting" in capsys.readouterr().err
        assert main([*words, str(home / "node.toml")]) == 69
        assert "config.unreadable" in capsys.readouterr().err
        assert main([*words, str(home), "--json"]) == 64
        assert json.loads(capsys.readouterr().out)["error"]["code"] == "config.unknown-setting"


def test_what_no_engine_could_use_is_refused_before_a_home_is_made(
    tmp_path, tmp_path_factory, capsys, monkeypatch
):
    monkeypatch.setenv("PROBATUM_HOME", str(tmp_path_factory.mktemp("ours")))
    folder = tmp_path / "net"
    for block_ms in ("0", "49", "600001"):
        assert main(["network", "init", str(folder), "--nodes", "1", "--block-ms", block_ms]) == 1
        assert "network.bad-plan" in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []
    assert main(["network", "init", str(folder), "--nodes", "1"]) == 0
    assert main(["account", "new", "alice"]) == 0
    peer = f"{'ab' * 20}@192.0.2.1:26656"
    join = ["network", "join", "--genesis", str(folder / "genesis.json"), "--peer", peer]
    found = ["network", "found", "--account", "alice"]
    capsys.readouterr()
    for words in (join, found):
        home = tmp_path / "mine"
        for place in (
            ("--host", "a b"),
            ("--host", "::1"),
            ("--host", "a:26656"),
            ("--p2p-port", "0"),
            ("--p2p-port", "-4"),
            ("--p2p-port", "65535"),
        ):
            assert main([*words, str(home), *place]) == 1
            assert "network.bad-place" in capsys.readouterr().err
            assert not home.exists()
        home = tmp_path / words[1] / 'mein "Haus" in Öd'
        assert main([*words, str(home), "--host", "[::1]", "--p2p-port", "65534"]) == 0
    assert main(["network", "keep", str(home)]) == 64
    assert "waits for the genesis document" in capsys.readouterr().err
    config = (tmp_path / "join" / home.name / "engine/config/config.toml").read_text()
    assert 'moniker = "mein-Haus-in-d"' in config
    assert load_founder(home / "founder.json").name == "mein-Haus-in-d"
    assert main([*join, str(tmp_path / "quick"), "--block-ms", "1"]) == 1
    assert "network.bad-plan" in capsys.readouterr().err


def test_a_name_is_found_for_every_home():
    names = {"validator-1": "validator-1", "Ä": "node", ".hidden": "hidden", "x" * 200: "x" * 64}
    assert {folder: name_home(Path("/a") / folder) for folder in names} == names
