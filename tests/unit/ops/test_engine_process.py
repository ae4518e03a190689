"""CometBFT as a child: it ends with its parent however that dies, and its exit code is told."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from probatum.errors import Fault
from probatum.ops.children import Children

STANDIN = """#!/bin/sh
echo "$(pwd) $*" > seen
trap 'echo stopped >> seen; exit 0' TERM
echo a line of the engine
[ -e dies ] && exit 2
while true; do sleep 0.05; done
"""


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home").mkdir()
    program = tmp_path / "cometbft"
    program.write_text(STANDIN)
    program.chmod(0o755)
    return tmp_path / "home"


@pytest.fixture
def children(tmp_path):
    nursery = Children(tmp_path / "logs")
    yield nursery
    nursery.close()


def start(children, home):
    program = home.parent / "cometbft"
    children.spawn(
        "engine",
        "probatum.ops.engine_process",
        ("--home", str(home), "--program", str(program)),
    )
    line = children.wait_ready("engine", time.monotonic() + 20)
    wait_until(lambda: (home / "seen").exists() and (home / "seen").read_text().endswith("\n"))
    return line["process"]


def wait_until(true, seconds=10.0):
    deadline = time.monotonic() + seconds
    while not true() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert true()


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_it_runs_in_the_home_and_stops_in_order(children, home):
    pid = start(children, home)
    assert (home / "seen").read_text() == f"{home} start --home engine\n"
    assert children.stop(("engine",), 10) == ()
    wait_until(lambda: is_gone(pid))
    assert (home / "seen").read_text().endswith("stopped\n")
    assert "a line of the engine" in (home.parent / "logs/engine.jsonl").read_text()


def test_its_end_is_told_with_its_exit_code(children, home):
    (home / "dies").touch()
    start(children, home)
    wait_until(lambda: not children.is_running("engine"))
    (death,) = children.find_dead()
    assert death.exit_code == 2
    (home / "dies").unlink()
    (home / "seen").unlink()
    os.kill(start(children, home), signal.SIGKILL)
    wait_until(lambda: not children.is_running("engine"))
    (death,) = children.find_dead()
    assert death.exit_code == 128 + signal.SIGKILL


def test_it_dies_with_the_process_between(children, home):
    pid = start(children, home)
    children.kill("engine")
    wait_until(lambda: is_gone(pid))


def test_it_dies_with_the_parent(children, home):
    pid = start(children, home)
    # What the kernel does when the parent dies: the only write end is closed.
    os.close(children._write_end)
    children._write_end = -1
    wait_until(lambda: is_gone(pid))
    wait_until(lambda: not children.is_running("engine"))


def test_a_program_that_is_not_there_is_told(children, home):
    (home.parent / "cometbft").unlink()
    with pytest.raises(Fault, match="cannot start"):
        start(children, home)
