"""The command line as a whole: help everywhere, exit codes, what a start costs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from probatum.cli import app as page
from probatum.cli import main
from probatum.cli.failures import report_error
from probatum.cli.output import print_table
from probatum.client.failures import RequestFailed
from probatum.errors import Fault, Misuse, Refusal
from probatum.protocol.messages import Status

COMMANDS = """
    up | demo | demo chat | demo package | demo question | doctor | ask | chat | blame
    receipt accuse | receipt list | receipt show | receipt verify | receipt fetch | receipt settle
    receipt recheck | receipt renew
    account new | account list | account show | account balance | account send | account stake
    account unstake | account withdraw | account export
    pay fund | pay status | pay close | pay withdraw | pay accuse
    account publisher-key new | account publisher-key show | account publisher-key register
    model init | model pack | model check | model publish | model list | model show | model fetch
    model import | model upstream | model relay | model sign | model verify | model bom
    node init | node add-model | node register | node run | node status | node offences
    node api-key new | node api-key list | node api-key revoke
    node api-key budget | node undo
    validator register | validator stake | validator unstake | validator withdraw
    validator unjail | validator list | validator show
    network init | network found | network gather | network join | network keep
    network upgrade-at
    ledger status | ledger header | ledger account | ledger nodes | ledger models | ledger offers
    ledger logs | ledger state | ledger tx | ledger send | ledger trust
    ledger fork
""".replace("\n", "|").split("|")
COMMANDS = [command.split() for command in COMMANDS if command.strip()]
WORLD = "aiohttp numpy onnxruntime starlette uvicorn sqlite3 asyncio rich http.client".split()


@pytest.fixture(autouse=True)
def alone(monkeypatch, tmp_path):
    for name in ("GATEWAY", "LEDGER", "TRUST", "DEBUG"):
        monkeypatch.delenv(f"PROBATUM_{name}", raising=False)
    monkeypatch.setenv("PROBATUM_HOME", str(tmp_path / "home"))


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_explains_itself(words, capsys):
    assert main([*words, "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Usage: probatum " + " ".join(words) in shown
    assert len(shown.splitlines()) > 4


def test_the_list_of_commands_is_complete():
    app = page.build_app()
    found = set()
    for name in app:
        if name.startswith("-"):
            continue
        below = [f"{name} {word}" for word in app[name] if not word.startswith("-")]
        found |= {*below, *([name] if app[name].default_command else [])}
    assert found == {" ".join(words[:2]) for words in COMMANDS}


def test_alone_it_says_what_to_do(capsys):
    assert main([]) == 0
    shown = capsys.readouterr().out
    assert "probatum demo" in shown
    assert "probatum up" in shown


def test_its_version(capsys):
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("probatum 0.")


@pytest.mark.parametrize(
    "words", [["nonsense"], ["ledger", "nonsense"], ["receipt", "verify"], ["up", "--nodes", "x"]]
)
def test_what_is_not_understood_ends_with_2(words, capsys):
    assert main(words) == 2
    assert "not understood" in capsys.readouterr().err
    assert main([*words, "--json"]) == 2
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "usage.not-understood"


def test_options_stand_before_the_command_too(capsys, tmp_path):
    assert main(["--home", str(tmp_path), "--json", "account", "list"]) == 0
    assert json.loads(capsys.readouterr().out) == {"accounts": []}


def test_without_a_network_it_says_how_to_get_one(capsys):
    assert main(["ledger", "status"]) == 1
    shown = capsys.readouterr().err
    assert "[settings.no-network]" in shown
    assert "probatum up" in shown


def test_who_does_not_answer_is_named(capsys):
    assert main(["ledger", "status", "--ledger", "http://127.0.0.1:9"]) == 3
    shown = capsys.readouterr().err
    assert "http://127.0.0.1:9" in shown
    assert "is `probatum up` running" in shown
    assert "Traceback" not in shown


@pytest.mark.parametrize("key", [None, bytes(32)])
def test_a_chain_without_a_key_is_shown_without_one(key, capsys, monkeypatch):
    status = Status(
        chain_id=7,
        genesis_hash=bytes(32),
        engine="cometbft",
        key=key,
        height=3,
        time_ms=1,
        block_interval_ms=1_000,
        pending_transactions=0,
    )
    monkeypatch.setattr("probatum.cli.ledger.exchange", lambda *_: status)
    words = ["ledger", "status", "--ledger", "http://127.0.0.1:9"]
    assert main(words) == 0
    shown = capsys.readouterr().out
    assert "None" not in shown
    assert ("\nkey " in shown) == (key is not None)
    assert main([*words, "--json"]) == 0
    assert "key" in json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("address", ["127.0.0.1:9", "ftp://x", "http://x:y", "http://x/path", "x"])
def test_what_is_no_address_is_refused(address, capsys):
    assert main(["ledger", "status", "--json", "--ledger", address]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "wire.bad-address"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Refusal("some.code", "no"), 1),
        (Fault("some.code", "no"), 3),
        (Fault("some.code", "no", retryable=False), 3),
        (Misuse("some.code", "no"), 70),
    ],
)
def test_each_kind_of_error_has_its_exit_code(error, code, capsys):
    assert report_error(error, as_json=False, debug=False) == code
    shown = capsys.readouterr().err
    assert "[some.code]" in shown
    assert ("try again" in shown) == getattr(error, "retryable", False)


def test_a_bug_is_reported_without_a_traceback_unless_asked(monkeypatch, capsys):
    def fail():
        raise ZeroDivisionError("so it is")

    app = page.build_app()
    app.command(fail, name="fail")
    monkeypatch.setattr(page, "build_app", lambda: app)
    assert main(["fail"]) == 70
    shown = capsys.readouterr().err
    assert "ZeroDivisionError" in shown
    assert "Traceback" not in shown
    monkeypatch.setenv("PROBATUM_DEBUG", "1")
    assert main(["fail"]) == 70
    assert "Traceback" in capsys.readouterr().err


def test_ctrl_c_ends_with_130(monkeypatch):
    def interrupt():
        raise KeyboardInterrupt

    app = page.build_app()
    app.command(interrupt, name="interrupt")
    monkeypatch.setattr(page, "build_app", lambda: app)
    assert main(["interrupt"]) == 130


def test_ctrl_c_while_the_program_is_read_ends_with_130(monkeypatch):
    class Interrupted:
        def find_spec(self, name, *_):
            if name == "probatum.cli.app":
                raise KeyboardInterrupt

    monkeypatch.delitem(sys.modules, "probatum.cli.app")
    monkeypatch.setattr(sys, "meta_path", [Interrupted(), *sys.meta_path])
    assert main(["--version"]) == 130


def test_a_misspelt_command_is_told_the_nearest_one(capsys):
    assert main(["aks", "magika"]) == 2
    assert 'Did you mean "ask"?' in capsys.readouterr().err


def run_apart(*words, stdout=subprocess.PIPE, **environment):
    return subprocess.run(
        [sys.executable, "-m", "probatum.cli", *words],
        env={**os.environ, **environment},
        stdout=stdout,
        stderr=subprocess.PIPE,
        check=False,
    )


def test_a_terminal_that_lacks_a_letter_gets_a_question_mark():
    done = run_apart(PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert b"INPUT ?" in done.stdout


def test_json_is_utf_8_whatever_the_terminal_is():
    words = ("ledger", "state", "…", "--json", "--ledger", "http://127.0.0.1:9")
    done = run_apart(*words, PYTHONUTF8="0", PYTHONIOENCODING="ascii")
    assert "…" in json.loads(done.stdout.decode())["error"]["message"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the device of a full disk is needed")
@pytest.mark.parametrize("words", [[], ["--help"], ["receipt", "show", "x", "--json"]])
def test_output_that_cannot_be_written_is_a_fault_and_no_bug(words):
    with Path("/dev/full").open("wb") as full:
        done = run_apart(*words, stdout=full)
    assert done.returncode == 3
    assert b"standard output: No space left" in done.stderr
    assert b"Traceback" not in done.stderr


def test_a_folder_that_cannot_be_made_is_a_fault_of_this_machine(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert main(["model", "init", str(tmp_path / "file" / "in"), "--json"]) == 3
    error = json.loads(capsys.readouterr().out)["error"]
    assert error["retryable"] is False
    assert str(tmp_path) in error["message"]


def test_what_the_system_said_no_to_unforeseen_names_the_file(monkeypatch, tmp_path, capsys):
    app = page.build_app()
    app.command(lambda: (tmp_path / "none" / "x").write_text(""), name="fail")
    monkeypatch.setattr(page, "build_app", lambda: app)
    assert main(["fail"]) == 3
    shown = capsys.readouterr().err
    assert "[cli.system]" in shown
    assert "none/x" in shown
    assert "try again" not in shown


def list_loaded(words):
    code = "import sys; from probatum.cli import main\n"
    code += f"status = main({words!r})\n"
    code += f"print('loaded:', *(name for name in {WORLD!r} if name in sys.modules), status)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *loaded, status = done.stdout.splitlines()[-1].split()[1:]
    return set(loaded), int(status)


def test_a_start_brings_nothing_heavy_along():
    assert list_loaded([]) == (set(), 0)


def test_verifying_brings_no_network_along(tmp_path):
    """The bundle is refused, but by then everything that a verification needs is loaded."""
    trust = tmp_path / "trust.json"
    document = {"format": "probatum-trust/1", "chain_id": 1, "genesis_hash": "0" * 64}
    document |= {"engine": "embedded", "key": "0" * 64}
    trust.write_text(json.dumps(document, separators=(",", ":")))
    bundle = tmp_path / "bundle.json"
    bundle.write_text("{}")
    words = ["receipt", "verify", str(bundle), "--trust", str(trust)]
    assert list_loaded(words) == (set(), 1)


@pytest.mark.parametrize(
    ("code", "is_told"),
    [
        ("transport.timeout", True),
        ("gateway.no-answer", True),
        ("transport.unreachable", False),
        ("transport.bad-address", False),
        ("schema.not-exact", False),
    ],
)
def test_whose_fault_it_is_is_asked_only_where_somebody_may_have_accepted(code, is_told, capsys):
    report_error(RequestFailed(code, "no", request_id="0" * 26), as_json=False, debug=False)
    assert ("probatum blame" in capsys.readouterr().err) == is_told


@pytest.mark.parametrize(
    "words",
    [
        ["ask", "net", "--timeout-s", "0"],
        ["ask", "net", "--timeout-s=-5"],
        ["chat", "net", "--timeout-s", "0"],
        ["receipt", "settle", "last", "--wait-s=-1"],
        ["receipt", "accuse", "last", "--wait-s=-1"],
    ],
)
def test_no_time_at_all_is_not_waited_for(words, capsys):
    assert main(words) == 2
    assert "Must be >=" in capsys.readouterr().err


def test_files_that_were_mixed_up_are_named(tmp_path, capsys):
    (tmp_path / "receipt.json").write_text("{}")
    words = ["receipt", "verify", "receipt.json", "--trust", str(tmp_path / "receipt.json")]
    assert main(words) == 1
    assert "receipt.json: not a trust file" in capsys.readouterr().err


def test_a_table_that_nobody_watches_has_no_blanks_at_the_ends_of_lines(capsys):
    print_table(("a", "b"), [("long enough", "x"), ("y", "long enough")], empty="")
    shown = capsys.readouterr().out
    assert "long enough" in shown
    assert all(line == line.rstrip() for line in shown.splitlines())
