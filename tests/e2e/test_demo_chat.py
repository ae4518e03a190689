"""The demo with a language model as a newcomer runs it: all of it holds, nothing is left behind."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from tests.e2e.processes import find_processes
from tests.languages import open_smollm2

pytestmark = pytest.mark.e2e


def run_demo(repository, temporary, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "probatum.cli", "demo", "chat", *arguments],
        cwd=repository,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
        env={**os.environ, "TMPDIR": str(temporary), "COLUMNS": "120"},
    )


@pytest.mark.nightly
def test_a_text_outlives_its_writer(repository, tmp_path):
    open_smollm2()
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    done = run_demo(repository, temporary)
    print(done.stdout)
    assert done.returncode == 0, done.stdout
    for promised in (
        "class text-exact",
        "tokens and signed them",
        "tokens are the rule's choices",
        "was killed after",
        "Token for token it is the text that was written undisturbed.",
        "countersigned",
        "signed the answer",
        "Summary: everything that was promised held",
    ):
        assert promised in done.stdout
    assert find_processes(temporary) == []
    assert list(temporary.iterdir()) == []


def test_without_the_model_it_says_how_to_get_it(repository, tmp_path):
    done = run_demo(repository, tmp_path, "--files", str(tmp_path), "--imported", str(tmp_path))
    assert done.returncode == 1
    assert "demo.no-model" in done.stdout
    assert "make demo-chat" in done.stdout
