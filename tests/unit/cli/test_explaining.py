"""What a refusal of the ledger means: a sentence and a next step, for codes that people meet."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec
import pytest

from probatum.cli import explaining, main
from probatum.cli.settings import POINTER_FORMAT, Common, Pointer
from probatum.protocol.primitives import make_address

PAYER = make_address(bytes(20))
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("PROBATUM_HOME", str(tmp_path))
    return tmp_path


def leave_pointer(home):
    pointer = Pointer(
        format=POINTER_FORMAT,
        gateway="http://127.0.0.1:9",
        ledger="http://127.0.0.1:9",
        trust="trust.json",
        pid=os.getpid(),
        account="/there/user.json",
    )
    (home / "running.json").write_bytes(msgspec.json.encode(pointer))


def explain(home, code):
    return explaining.explain_refusal(Common(home=home), code, PAYER, 10_000)


def test_who_cannot_pay_the_fee_is_told_who_it_is_and_how_tokens_come(home):
    why, hint = explain(home, "ledger.fee-not-covered")
    assert why == f"0x{'0' * 40} cannot pay the fee of 10000 units"
    assert hint.endswith(f"probatum account send 0x{'0' * 40} --amount 10 --account OTHER")
    leave_pointer(home)
    assert explain(home, "ledger.fee-not-covered")[1].endswith("--account /there/user.json")


def test_codes_that_nobody_meets_say_all_there_is(home):
    assert explain(home, "ledger.wrong-sequence") == ("", "")


@pytest.mark.parametrize("code", sorted(explaining._SAYINGS))
def test_what_is_explained_can_be_refused_and_is_whole(home, code):
    codes = (ROOT / "docs" / "spec" / "refusals.md").read_text()
    assert f"| `{code}` | Refusal |" in codes
    why, hint = explain(home, code)
    assert why
    assert not re.search(r"[{}]", why + hint)


def test_a_new_account_of_ones_own_is_said_to_be_empty_where_a_network_pays(home, capsys):
    leave_pointer(home)
    assert main(["account", "new"]) == 0
    shown = capsys.readouterr().err
    assert "probatum account send me --amount 10 --account /there/user.json" in shown
    assert main(["account", "new", "other"]) == 0
    assert "holds nothing yet" not in capsys.readouterr().err
