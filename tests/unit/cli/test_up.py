"""`running.json`: whose network it names while several run, and as they end."""

from __future__ import annotations

import os

import pytest

from probatum.cli import up
from probatum.cli.settings import Common
from probatum.ops.up import UpReady


class Networks:
    """Some processes that run a network each; `now` is the one that acts."""

    def __init__(self, home, monkeypatch):
        self.common = Common(home=home)
        self.alive = set()
        self.now = 0
        monkeypatch.setattr(os, "getpid", lambda: self.now)
        monkeypatch.setattr("probatum.cli.settings._is_running", lambda pid: pid in self.alive)

    def begin(self, pid):
        self.now = pid
        self.alive.add(pid)
        facts = {"gateway": "g", "ledger": f"http://{pid}", "nodes": (), "trust": "t"}
        up._write_pointer(self.common, UpReady(**facts, account="a", folder="f"))
        own = up._get_own_path(self.common)
        os.utime(own, ns=(len(self.alive), len(self.alive)))

    def end(self, pid):
        self.now = pid
        up._remove_pointer(self.common)
        self.alive.remove(pid)

    def get(self):
        pointer = self.common.get_pointer()
        return pointer and pointer.pid


@pytest.fixture
def networks(tmp_path, monkeypatch):
    return Networks(tmp_path / "home", monkeypatch)


@pytest.mark.parametrize(
    ("ending", "named"),
    [
        ((3, 2, 1), (2, 1, None)),
        ((1, 2, 3), (3, 3, None)),
        ((2, 3, 1), (3, 1, None)),
    ],
)
def test_the_newest_that_runs_is_named(networks, ending, named):
    for pid in (1, 2, 3):
        networks.begin(pid)
        assert networks.get() == pid
    for pid, now in zip(ending, named, strict=True):
        networks.end(pid)
        assert networks.get() == now
    assert list(networks.common.folder.iterdir()) == [], "nothing is left behind"


def test_who_was_killed_or_wrote_nonsense_is_passed_over(networks):
    for pid in (1, 2, 3):
        networks.begin(pid)
    networks.alive.remove(2)
    (networks.common.folder / "running-9.json").write_text("{")
    networks.end(3)
    assert networks.get() == 1
    networks.end(1)
    assert list(networks.common.folder.iterdir()) == []


def test_what_another_wrote_is_left_alone(networks):
    networks.begin(1)
    networks.common.pointer_path.write_text("{")
    networks.end(1)
    assert networks.common.pointer_path.read_text() == "{"
