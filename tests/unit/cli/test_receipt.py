"""What `receipt` says of a receipt that is not settled yet, or that nobody can compute again."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace as change

from probatum.cli import main
from probatum.protocol.bundles import encode_bundle
from tests.factories import make_bundle

MADE = make_bundle()


@pytest.fixture(autouse=True)
def desk(monkeypatch, tmp_path):
    monkeypatch.setenv("PROBATUM_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    document = {"format": "probatum-trust/1", "chain_id": 1, "genesis_hash": "0" * 64}
    document |= {"engine": "embedded", "key": "0" * 64}
    (tmp_path / "trust.json").write_text(json.dumps(document, separators=(",", ":")))
    (tmp_path / "pending.json").write_bytes(encode_bundle(change(MADE.bundle, settlement=None)))


def test_a_pending_receipt_is_not_said_to_be_worth_nothing(capsys):
    assert main(["receipt", "verify", "pending.json", "--trust", "trust.json"]) == 1
    shown = capsys.readouterr().err
    assert "not settled yet" in shown
    assert "probatum receipt settle pending.json" not in shown
    assert "probatum receipt settle " in shown
    assert "does not hold" not in shown
