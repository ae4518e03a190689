"""What a refusal of the ledger means: a sentence and a next step, for codes that people meet."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec
import pytest

from probatum.cli import explaining, main, sending
from probatum.cli.settings import POINTER_FORMAT, Common, Pointer
from probatum.client.wallet import SentOutcome
from probatum.errors import Fault, Refusal
from probatum.protocol.primitives import make_address
from probatum.protocol.records import Account, get_account_key
from probatum.protocol.secp256k1 import AccountSigner
from probatum.protocol.transactions.kinds import Stake

PAYER = make_address(bytes(20))
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def home(monkeypatch, tmp_path):
    monkeypatch.setenv("PROBATUM_HOME", str(tmp_path))
    return tmp_path


def leave_pointer(home, account="/there/user.json"):
    """A network that runs here, as `probatum up` leaves word of it."""
    pointer = Pointer(
        format=POINTER_FORMAT,
        gateway="http://127.0.0.1:9",
        ledger="http://127.0.0.1:9",
        trust="trust.json",
        pid=os.getpid(),
        account=account,
    )
    (home / "running.json").write_bytes(msgspec.json.encode(pointer))


def explain(home, code, *, missing=1, ledger=("http://127.0.0.1:8",)):
    common = Common(home=home, ledger=ledger)
    return explaining.explain_refusal(common, code, PAYER, 10_000, missing)


def test_who_cannot_pay_the_fee_is_told_who_it_is_and_how_tokens_come(home):
    why, hint = explain(home, "ledger.fee-not-covered")
    assert why == f"0x{'0' * 40} cannot pay the fee of 10000 units"
    assert hint.endswith(f"probatum account send 0x{'0' * 40} --amount 1 --account OTHER")
    leave_pointer(home)
    code = "ledger.balance-too-low"
    for ledger, giver in (
        (None, "/there/user.json"),
        (("http://127.0.0.1:9/",), "/there/user.json"),
        (("http://127.0.0.1:8",), "OTHER"),
    ):
        hint = explain(home, code, ledger=ledger)[1]
        assert hint.endswith(f"--account {giver}"), "only its own network knows that account"


@pytest.mark.parametrize(
    ("missing", "tokens"), [(-5, 1), (0, 1), (10**9, 1), (10**9 + 1, 2), (25 * 10**8, 3)]
)
def test_as_many_tokens_are_named_as_are_missing(home, missing, tokens):
    hint = explain(home, "ledger.balance-too-low", missing=missing)[1]
    assert f"--amount {tokens} --account" in hint


@pytest.mark.parametrize(
    ("balance", "tokens"), [(3 * 10**9, 6), (8 * 10**9, 1), (None, 9), (Fault("wire.x", "x"), 9)]
)
def test_what_is_missing_is_computed_from_what_the_account_holds(
    home, monkeypatch, balance, tokens
):
    def read(_common, key, kind):
        assert (key, kind) == (get_account_key(signer.address), Account)
        if isinstance(balance, Fault):
            raise balance
        return (None if balance is None else Account(balance=balance, nonce=0)), None

    signer = AccountSigner(bytes([1]) * 32)
    refused = SentOutcome(
        ticket="command", code="ledger.balance-too-low", transaction_hash=bytes(32), height=7
    )
    monkeypatch.setattr(sending, "get_record", read)
    monkeypatch.setattr(sending, "get_domain", lambda _: None)
    monkeypatch.setattr(sending, "TransactionSender", lambda *_: None)
    monkeypatch.setattr(sending, "_drive", lambda *_: refused)
    common = Common(home=home, ledger=("http://127.0.0.1:8",))
    with pytest.raises(Refusal) as caught:
        sending.send_body(common, signer, Stake(amount=8 * 10**9))
    assert f"--amount {tokens} --account OTHER" in caught.value.hint


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
    elsewhere = ["--home", str(home / "elsewhere"), "--ledger", "http://127.0.0.1:8"]
    (home / "elsewhere").mkdir()
    leave_pointer(home / "elsewhere")
    assert main(["account", "new", *elsewhere]) == 0
    assert "/there/user.json" not in capsys.readouterr().err
    assert main(["account", "new"]) == 0
    shown = capsys.readouterr().err
    assert "probatum account send me --amount 10 --account /there/user.json" in shown
    assert main(["account", "new", "other"]) == 0
    assert "holds nothing yet" not in capsys.readouterr().err
