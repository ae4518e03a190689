"""The genesis document as a file: whoever meets a damaged one is told which."""

from __future__ import annotations

import pytest

from probatum.cli import main
from probatum.errors import Refusal
from probatum.ledger.genesis import encode_genesis
from probatum.nodes.shell.genesis_file import load_genesis
from probatum.ops.folder import NetworkPlan, open_folder
from probatum.ops.inspect_engine import inspect_engine
from probatum.ops.inspect_home import inspect_home


@pytest.fixture
def home(tmp_path):
    made = open_folder(tmp_path / "net", NetworkPlan(nodes=1, validators=1))
    made.close()
    home = made.get_home("validator-1")
    assert load_genesis(home / "genesis.json") == made.genesis
    assert (home / "genesis.json").read_bytes().strip() == encode_genesis(made.genesis)
    return home


@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"\xff"])
def test_a_damaged_document_is_named(home, damage):
    path = home / "genesis.json"
    path.write_bytes(damage)
    with pytest.raises(Refusal) as caught:
        load_genesis(path)
    assert caught.value.message.startswith(f"{path}: ")
    assert caught.value.hint
    (row,) = (row for row in inspect_engine(home) if row.check == "engine files")
    assert str(path) in row.detail
    (row,) = (row for row in inspect_home(home)[1] if row.check == "trust")
    assert str(path) in row.detail


def test_commands_name_the_document_that_they_were_given(tmp_path, capsys):
    path = tmp_path / "genesis.json"
    path.write_bytes(b"{")
    peer = f"{'ab' * 20}@192.0.2.1:1"
    for words in (
        ["ledger", "trust", "--genesis", str(path)],
        ["network", "join", str(tmp_path / "mine"), "--genesis", str(path), "--peer", peer],
    ):
        assert main(words) == 1
        assert str(path) in capsys.readouterr().err.replace("\n", "")


def test_a_document_that_is_not_there_is_named(tmp_path):
    with pytest.raises(Refusal, match="there-is-none") as caught:
        load_genesis(tmp_path / "there-is-none.json")
    assert caught.value.code == "config.missing"
    assert "any other node" in caught.value.hint
