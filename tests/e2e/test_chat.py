"""Talking with a language model at the command line, against real processes (`TEXT-1`)."""

from __future__ import annotations

import codecs
import contextlib
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import time

import pytest

from probatum.cli import main
from probatum.hub.package import load_package
from probatum.ops.network import Network, NetworkPlan
from tests.unit.hub.importing.foreign_models import make_weights, write_folder

pytestmark = pytest.mark.e2e

PROGRAM = (sys.executable, "-P", "-m", "probatum.cli")
CONTEXT = 8000


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    """A small model with words of its own, imported as a publisher does."""
    folder = tmp_path_factory.mktemp("package")
    config = {"max_position_embeddings": CONTEXT}
    source = write_folder(folder / "hf", make_weights(), config=config)
    arguments = [str(source), "--name", "tiny", "--licence", "MIT", "--context", str(CONTEXT)]
    assert main(["model", "import", *arguments, "-o", str(folder / "tiny")]) == 0
    return load_package(folder / "tiny")


@pytest.fixture(scope="module")
def network(package, tmp_path_factory):
    plan = NetworkPlan(nodes=2, models=(package.folder,), block_interval_ms=200)
    with Network.open(tmp_path_factory.mktemp("network") / "n", plan) as network:
        network.start()
        yield network


@pytest.fixture(scope="module")
def desk(network, tmp_path_factory):
    """An environment in which commands find the network."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PROBATUM")}
    return clean | {
        "PROBATUM_HOME": str(tmp_path_factory.mktemp("home")),
        "PROBATUM_GATEWAY": network.endpoints.gateway,
        "PROBATUM_LEDGER": network.endpoints.ledger,
        "PROBATUM_TRUST": str(network.trust_path),
        "COLUMNS": "100",
        "PYTHONUTF8": "1",
    }


def run(desk, *words, say="", status=0):
    done = subprocess.run(
        [*PROGRAM, *words],
        env=desk,
        input=say,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == status, (words, done.stdout, done.stderr)
    return done


def run_json(desk, *words, say="", status=0):
    return json.loads(run(desk, *words, "--json", say=say, status=status).stdout)


def test_a_text_is_asked_for_and_the_same_seed_makes_it_again(desk, network):
    words = ["ask", "tiny", "--text", "hello", "--seed", "7", "--max-tokens", "20"]
    first = run_json(desk, *words)
    assert first["class"] == "text-exact"
    assert first["nonce_by"] == "client"
    assert first["nonce"] == "07" + "00" * 31
    assert 1 <= len(first["tokens"]) <= 20
    assert first["ended"] is True
    other = next(
        account
        for account in map(network.get_operator, network.node_names)
        if account != first["node"]
    )
    again = run_json(desk, *words, "--node", other)
    assert (again["tokens"], again["text"]) == (first["tokens"], first["text"])
    assert again["node"] == other
    assert run_json(desk, *words[:-4], "--max-tokens", "20")["nonce"] != first["nonce"]


def test_a_text_is_shown_as_it_comes_and_its_receipt_settles(desk):
    done = run(desk, "ask", "tiny", "--text", "hi", "--chat", "--max-tokens", "9", "--settle")
    assert "class text-exact" in done.stdout
    assert "nonce by the client" in done.stdout
    assert "Next: probatum receipt verify" in done.stdout
    assert "This receipt holds" in run(desk, "receipt", "verify", "last").stdout


def test_a_conversation_without_a_terminal(desk, tmp_path):
    kept = tmp_path / "talk.json"
    run(desk, "model", "fetch", "tiny")
    lines = ("hello", "/why", "/recheck", "and now?", "//slash", f"/save {kept}", "/reset", "new")
    options = ("--system", "Be brief.", "--seed", "5", "--max-tokens", "12", "--temperature", "0.9")
    out = run(desk, "chat", "tiny", *options, say="\n".join(lines)).stdout
    assert out.count("[receipt ") == 4
    assert "GUMBEL-1, temperature 0.9, top_k 20" in out
    for promised in (
        "custody:",
        "handed it to 0x",
        "countersigned; signed the answer",
        "checked:",
        "right: all ",
    ):
        assert promised in out
    document = json.loads(kept.read_text())
    roles = [one["role"] for one in document["messages"]]
    assert roles == ["system", "user", "assistant", "user", "assistant", "user", "assistant"]
    assert document["messages"][5]["content"] == "/slash"
    first, second, _ = document["answers"]
    assert first["nonce"] != second["nonce"]
    # What was said before is read again, so that the conversation goes on.
    assert len(second["prompt_tokens"]) > len(first["prompt_tokens"]) + len("and now?")
    assert " ".join(map(str, first["tokens"])) in out


def test_each_answer_is_a_document_for_programs(desk):
    say = "one\ntwo\n/quit\nthree\n"
    out = run(desk, "chat", "tiny", "--max-tokens", "5", "--json", say=say).stdout
    assert [len(json.loads(line)["tokens"]) <= 5 for line in out.splitlines()] == [True, True]


@pytest.mark.parametrize(
    ("words", "say", "code"),
    [
        (["chat", "nobody"], "hello\n", "model.unknown"),
        (["chat", "tiny"], "/frobnicate\n", "chat.unknown-command"),
        (["chat", "tiny"], "/why\n", "chat.no-answer-yet"),
        (["chat", "tiny"], "/save\n", "chat.no-file"),
        (["chat", "tiny"], "x" * CONTEXT + "\n", "text.too-long"),
        (["chat", "tiny", "--top-k", "0"], "x\n", "text.bad-rule"),
        (["chat", "tiny", "--temperature", "-1"], "x\n", "text.bad-temperature"),
        (["chat", "tiny", "--seed", str(2**70)], "x\n", "text.bad-seed"),
        (["chat", "tiny", "--gateway", "http://127.0.0.1:1"], "x\n", "transport.unreachable"),
        (["ask", "tiny", "--text", ""], "", "text.no-prompt"),
        (["ask", "tiny", "prompt=[1]", "--text", "x"], "", "input.twice"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_what_cannot_be_is_said(desk, words, say, code, monkeypatch, capsys):
    for name, value in desk.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys, "stdin", io.StringIO(say))
    assert main(words) not in {0, 70}
    assert code in capsys.readouterr().err


def test_rechecking_needs_the_weights_and_says_so(desk, tmp_path):
    fresh = desk | {"PROBATUM_HOME": str(tmp_path)}
    done = run(fresh, "chat", "tiny", "--max-tokens", "5", say="x\n/recheck\n", status=1)
    assert "chat.not-fetched" in done.stderr
    assert "probatum model fetch tiny@1" in done.stderr


class Terminal:
    """A person who watches and types."""

    def __init__(self, desk, *words):
        self._master, slave = pty.openpty()
        self.process = subprocess.Popen(
            [*PROGRAM, *words],
            env=desk | {"TERM": "dumb"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            start_new_session=True,
            # Whoever runs tests in the background has them ignore interrupts, and their children.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
        )
        os.close(slave)
        self.shown = ""
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._read = 0

    def type(self, text):
        os.write(self._master, text.encode())

    def await_text(self, text, timeout_s=60):
        """Wait for a text after the last one waited for; return what came up to its end.

        An empty text is anything at all.
        """
        until, found = time.monotonic() + timeout_s, -1
        while len(self.shown) == self._read or (found := self.shown.find(text, self._read)) < 0:
            assert time.monotonic() < until, self.shown
            if select.select([self._master], [], [], 0.1)[0]:
                self.shown += self._decoder.decode(os.read(self._master, 4096))
        start, self._read = self._read, found + len(text)
        return self.shown[start : self._read]

    def interrupt_until(self, text):
        """Interrupt until a text is shown: what comes between prompt and waiting is not noticed."""
        for _ in range(20):
            os.kill(self.process.pid, signal.SIGINT)
            with contextlib.suppress(AssertionError):
                return self.await_text(text, timeout_s=3)
        raise AssertionError(self.shown)

    def end_input(self):
        """Type Ctrl-D until the program has ended, and return its exit code.

        Where a program takes its terminal's keys over after one was typed, as it does at each
        prompt, that key has lost its meaning: whoever sees no end types it again.
        """
        for _ in range(20):
            self.type("\x04")
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.process.wait(3)
        raise AssertionError(self.shown)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self._master)


def test_ctrl_c_ends_an_answer_and_not_the_program(desk):
    terminal = Terminal(desk, "chat", "tiny", "--max-tokens", "7800", "--temperature", "0")
    try:
        terminal.await_text("> ")
        terminal.type("hello\n")
        terminal.await_text("hello\r\n")
        terminal.await_text("")
        os.kill(terminal.process.pid, signal.SIGINT)
        assert "cancelled (enough)" in terminal.await_text("[receipt ") + terminal.await_text("> ")
        terminal.type("/why\n")
        assert "cancelled by the gateway" in terminal.await_text("> ")
        terminal.type("/frobnicate\n")
        assert "chat.unknown-command" in terminal.await_text("> ")
        terminal.interrupt_until("Ctrl-D ends")
        assert terminal.end_input() == 0
    finally:
        terminal.close()
