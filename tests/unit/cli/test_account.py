"""Accounts here: keys for their owner alone, secrets in no output but the one asked for."""

from __future__ import annotations

import json
import stat

import pytest

from probatum.cli import main


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("PROBATUM_HOME", str(tmp_path))
    return tmp_path


def run(capsys, *words):
    status = main([*words, "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_a_key_is_its_owners_alone_and_stays_in_its_file(home, capsys):
    status, made = run(capsys, "account", "new", "savings")
    path = home / "accounts" / "savings.json"
    secret = json.loads(path.read_text())["secret"]
    assert status == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for words in (["list"], ["show", "savings"], ["export", "savings"]):
        for form in ([], ["--json"]):
            main(["account", *words, *form])
            shown = capsys.readouterr()
            assert secret not in shown.out + shown.err
    assert run(capsys, "account", "export", "savings", "--yes")[1] == {
        "address": made["address"],
        "secret": secret,
    }


def test_a_key_is_never_overwritten(home, capsys):
    first = run(capsys, "account", "new")[1]["address"]
    status, again = run(capsys, "account", "new")
    assert (status, again["error"]["code"]) == (1, "key.exists")
    assert run(capsys, "account", "show")[1]["address"] == first


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "x" * 65, "a b"])
def test_an_accounts_name_leads_nowhere_else(home, capsys, name):
    status, said = run(capsys, "account", "new", name)
    assert (status, said["error"]["code"]) == (1, "account.bad-name")


def test_exporting_needs_a_yes(home, capsys):
    run(capsys, "account", "new")
    status, said = run(capsys, "account", "export")
    assert (status, said["error"]["code"]) == (1, "account.not-confirmed")


@pytest.mark.parametrize("amount", ["1.5.5", "-1", "1e9", "0.1234567891"])
def test_amounts_are_read_before_anything_is_sent(home, capsys, amount):
    to = "0x" + "1" * 40
    status, said = run(capsys, "account", "send", to, f"--amount={amount}")
    assert (status, said["error"]["code"]) == (1, "amount.malformed")


def test_nobody_is_nobody(home, capsys):
    status, said = run(capsys, "account", "show", "nobody")
    assert (status, said["error"]["code"]) == (1, "account.unknown")
