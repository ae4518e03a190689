"""Child processes: ready lines, deaths and their last words, stopping, and an orphan's end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from probatum.errors import Fault, Misuse
from probatum.ops.children import Children, describe_exit, read_log_tail
from probatum.ops.up import catch_signals

TOY = """
import os, signal, sys, threading, time
mode = sys.argv[1]
descriptor = int(sys.argv[sys.argv.index("--parent-fd") + 1])
def watch():
    os.read(descriptor, 1)
    os._exit(75)
threading.Thread(target=watch, daemon=True).start()
if mode == "stubborn":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if mode == "dies":
    print('{"level": "error", "code": "toy.sad", "message": "no wish to live"}', file=sys.stderr)
    sys.exit(3)
if mode == "babbles":
    print("hello", flush=True)
elif mode != "silent":
    print('{"ready": true, "endpoint": "http://127.0.0.1:1"}', flush=True)
if mode == "short":
    time.sleep(0.05)
    print("last words", file=sys.stderr, flush=True)
    sys.exit(4)
time.sleep(60)
"""


@pytest.fixture
def children(tmp_path, monkeypatch):
    (tmp_path / "toyparty.py").write_text(TOY)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    nursery = Children(tmp_path / "logs")
    yield nursery
    nursery.close()


def soon(seconds=20.0):
    return time.monotonic() + seconds


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "Z"
    except FileNotFoundError:
        return True


def wait_gone(pid):
    deadline = soon(10)
    while time.monotonic() < deadline and not is_gone(pid):
        time.sleep(0.01)
    return is_gone(pid)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_start_that_is_given_up_leaves_no_child_that_nobody_knows(children, monkeypatch, number):
    made = []

    class Popen(subprocess.Popen):
        def __init__(self, *arguments, **settings):
            super().__init__(*arguments, **settings)
            made.append(self.pid)
            signal.raise_signal(number)

    before = signal.getsignal(number)
    monkeypatch.setattr(subprocess, "Popen", Popen)
    with catch_signals() as stop, pytest.raises(KeyboardInterrupt):
        children.spawn("toy", "toyparty", ("well",))
    assert stop.is_set()
    assert signal.getsignal(number) is before
    assert [children.get_pid("toy")] == made
    children.close()
    assert is_gone(*made)


def test_a_child_says_that_it_is_ready_and_stops_when_asked(children):
    children.spawn("toy", "toyparty", ("well",))
    assert children.wait_ready("toy", soon())["endpoint"] == "http://127.0.0.1:1"
    assert children.is_running("toy")
    assert children.stop(("toy",), 10) == ()
    assert not children.is_running("toy")
    assert children.find_dead() == (), "it was asked to"


def test_a_child_can_be_asked_whether_it_is_ready_without_waiting(children):
    children.spawn("toy", "toyparty", ("silent",))
    assert children.poll_ready("toy") is None
    children.kill("toy")
    with pytest.raises(Fault, match="before it was ready"):
        children.poll_ready("toy")
    children.spawn("toy", "toyparty", ("well",))
    deadline = soon()
    while (line := children.poll_ready("toy")) is None and time.monotonic() < deadline:
        time.sleep(0.01)
    assert line["endpoint"] == "http://127.0.0.1:1"
    assert children.poll_ready("toy") == line
    children.spawn("other", "toyparty", ("babbles",))
    with pytest.raises(Fault, match="something else"):
        children.wait_ready("other", soon())
    with pytest.raises(Fault, match="something else"):
        children.poll_ready("other")


def test_a_child_that_dies_before_it_is_ready_is_shown_with_its_last_words(children):
    children.spawn("toy", "toyparty", ("dies",))
    with pytest.raises(Fault, match="no wish to live") as caught:
        children.wait_ready("toy", soon())
    assert caught.value.code == "children.died"
    assert "exit code 3" in caught.value.message


@pytest.mark.parametrize("mode", ["silent", "babbles"])
def test_a_child_that_says_nothing_sensible_is_not_waited_for_for_ever(children, mode):
    children.spawn("toy", "toyparty", (mode,))
    with pytest.raises(Fault) as caught:
        children.wait_ready("toy", time.monotonic() + (0.5 if mode == "silent" else 20))
    assert caught.value.code == "children.not-ready"


def test_a_death_is_reported_once_with_code_and_last_words(children):
    children.spawn("toy", "toyparty", ("short",))
    children.wait_ready("toy", soon())
    deadline = soon()
    while not (dead := children.find_dead()) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [(death.name, death.exit_code) for death in dead] == [("toy", 4)]
    assert dead[0].last_words[-1] == "last words"
    assert "toy ended with exit code 4" in str(dead[0])
    assert children.find_dead() == ()


def test_who_does_not_stop_is_killed_and_named_even_if_halted(children):
    for name in ("deaf", "halted"):
        children.spawn(name, "toyparty", ("stubborn" if name == "deaf" else "well",))
        children.wait_ready(name, soon())
    children.signal("halted", signal.SIGSTOP)
    assert children.stop(("deaf", "halted"), 1.0) == ("deaf",)


def test_a_running_child_is_not_started_twice_and_a_dead_one_may_be(children):
    children.spawn("toy", "toyparty", ("well",))
    children.wait_ready("toy", soon())
    with pytest.raises(Misuse):
        children.spawn("toy", "toyparty", ("well",))
    first = children.get_pid("toy")
    children.kill("toy")
    children.spawn("toy", "toyparty", ("well",))
    children.wait_ready("toy", soon())
    assert children.get_pid("toy") != first


def test_children_end_when_their_parent_is_killed(tmp_path):
    (tmp_path / "toyparty.py").write_text(TOY)
    parent = tmp_path / "parent.py"
    parent.write_text(
        "import pathlib, sys, time\n"
        "from probatum.ops.children import Children\n"
        "children = Children(pathlib.Path(sys.argv[1]) / 'logs')\n"
        "for name in 'ab':\n"
        "    children.spawn(name, 'toyparty', ('stubborn',))\n"
        "    children.wait_ready(name, time.monotonic() + 20)\n"
        "    print(children.get_pid(name), flush=True)\n"
        "time.sleep(60)\n"
    )
    process = subprocess.Popen(
        [sys.executable, str(parent), str(tmp_path)],
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    pids = [int(process.stdout.readline()) for _ in range(2)]
    assert not any(is_gone(pid) for pid in pids)
    process.kill()
    process.wait()
    process.stdout.close()
    assert all(wait_gone(pid) for pid in pids)


def test_closing_ends_everything(children):
    children.spawn("toy", "toyparty", ("stubborn",))
    children.wait_ready("toy", soon())
    pid = children.get_pid("toy")
    children.close()
    assert is_gone(pid)


def test_exits_are_said_in_words():
    assert describe_exit(-9) == "was ended by SIGKILL"
    assert describe_exit(0) == "ended with exit code 0"
    assert describe_exit(-999) == "was ended by signal 999"


def test_a_log_is_read_from_its_end(tmp_path):
    log = tmp_path / "log"
    log.write_text("x" * 100_000 + "\n" + "\n".join(f"line {n}" for n in range(50)) + "\n")
    assert read_log_tail(log)[-1] == "line 49"
    assert len(read_log_tail(log)) <= 10
    assert read_log_tail(tmp_path / "none") == ()


def test_last_words_are_of_the_last_life_and_say_what_a_panic_said(tmp_path):
    log = tmp_path / "a.jsonl"
    log.write_text("of an earlier life\n")
    begin = log.stat().st_size
    with log.open("a") as file:
        file.write("what is wrong\n\n")
    assert read_log_tail(log, begin) == ("what is wrong",)
    trace = "".join(f"main.call{number}()\n\t/a/file.go:{number}\n" for number in range(40))
    with log.open("a") as file:
        file.write(
            f"panic: the blocks are gone\n\texpected others\n\ngoroutine 1 [running]:\n{trace}"
        )
    assert read_log_tail(log, begin) == (
        "panic: the blocks are gone",
        "\texpected others",
        "goroutine 1 [running]:",
    )


def test_a_death_tells_nothing_of_an_earlier_life(children):
    for _ in range(2):
        children.spawn("a", "toyparty", ("dies",))
        with pytest.raises(Fault) as caught:
            children.wait_ready("a", soon())
        assert caught.value.message.count("no wish to live") == 1
