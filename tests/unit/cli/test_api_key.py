"""Keys of a gateway's door from the command line."""

import json

import pytest

from probatum.cli import main
from probatum.nodes.shell.api_keys import ApiKeys
from probatum.nodes.shell.config import GatewayConfig, InferenceConfig, write_config

OPERATOR = {"operator": "0x" + "11" * 20, "ledger": "http://127.0.0.1:9"}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("PROBATUM_HOME", str(tmp_path / "person"))
    folder = tmp_path / "gateway"
    folder.mkdir()
    write_config(folder, GatewayConfig(**OPERATOR))
    return folder


def run(capsys, *words):
    assert main(["node", "api-key", *map(str, words)]) == 0
    return capsys.readouterr().out


def test_a_key_is_made_listed_and_revoked(home, capsys):
    assert "no API keys" in run(capsys, "list", home)
    made = json.loads(run(capsys, "new", home, "--label", "alice", "--per-second", "2", "--json"))
    assert "sha256" not in made
    assert ApiKeys(home).find(made["key"]).per_s == 2
    listed = run(capsys, "list", home)
    assert made["id"] in listed
    assert "alice" in listed
    assert "2/s" in listed
    assert made["key"] not in listed
    assert made["id"] in run(capsys, "revoke", home, made["id"])
    assert json.loads(run(capsys, "list", home, "--json"))[0]["revoked"] is True
    assert ApiKeys(home).find(made["key"]).revoked


def test_only_gateways_have_keys(home, capsys):
    write_config(home, InferenceConfig(**OPERATOR))
    assert main(["node", "api-key", "new", str(home)]) == 1
    assert not (home / "api-keys.json").exists()
