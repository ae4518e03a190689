"""Where a command finds the network: flags, environment, then what runs on this machine."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from probatum.cli.settings import POINTER_FORMAT, Common, read_bounded
from probatum.errors import Refusal


def point(home: Path, **changes):
    facts = {
        "format": POINTER_FORMAT,
        "gateway": "http://127.0.0.1:1",
        "ledger": "http://127.0.0.1:2",
        "trust": str(home / "trust.json"),
        "pid": os.getpid(),
    }
    home.mkdir(exist_ok=True)
    (home / "running.json").write_text(json.dumps({**facts, **changes}))
    return Common(home=home)


def test_a_running_network_is_found(tmp_path):
    common = point(tmp_path)
    assert common.get_gateway() == "http://127.0.0.1:1"
    assert common.get_ledger() == "http://127.0.0.1:2"
    assert common.find_trust_path() == tmp_path / "trust.json"


def test_a_flag_beats_the_running_network(tmp_path):
    point(tmp_path)
    common = Common(
        home=tmp_path, ledger=("http://127.0.0.1:3/", "http://127.0.0.1:4", "http://127.0.0.1:3")
    )
    assert common.get_ledger() == "http://127.0.0.1:3"
    assert common.list_ledgers() == ("http://127.0.0.1:3", "http://127.0.0.1:4")
    assert Common(home=tmp_path).list_ledgers() == ("http://127.0.0.1:2",)
    # The trust file of the network here says nothing about a ledger elsewhere.
    assert common.find_trust_path() is None


@pytest.mark.parametrize("changes", [{"pid": 2**22 + 1}, {"pid": 0}, {"format": "another/1"}])
def test_a_pointer_that_is_void_points_nowhere(tmp_path, changes):
    with pytest.raises(Refusal) as caught:
        point(tmp_path, **changes).get_ledger()
    assert caught.value.code == "settings.no-network"


def test_a_home_of_nobody_is_refused_by_name(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Common(home=Path("~/here")).folder == tmp_path / "here"
    nobody = Path("~nobody-of-that-name/here")
    for use in (lambda: Common(home=nobody).folder, lambda: read_bounded(nobody, 1)):
        with pytest.raises(Refusal) as caught:
            use()
        assert caught.value.code == "settings.no-home"
        assert str(nobody) in caught.value.message


def test_a_broken_pointer_is_refused(tmp_path):
    (tmp_path / "running.json").write_text("{")
    with pytest.raises(Refusal) as caught:
        Common(home=tmp_path).get_gateway()
    assert caught.value.code == "settings.bad-pointer"


def test_no_trust_file_is_said(tmp_path):
    with pytest.raises(Refusal) as caught:
        Common(home=tmp_path).get_trust()
    assert caught.value.code == "settings.no-trust"


def test_files_are_bounded(tmp_path):
    (tmp_path / "file").write_bytes(b"12345")
    assert read_bounded(tmp_path / "file", 5) == b"12345"
    for path, limit, code in (
        (tmp_path / "file", 4, "settings.file-too-large"),
        (tmp_path / "none", 4, "settings.no-file"),
        (tmp_path, 4, "settings.no-file"),
        (tmp_path / "file" / "below", 4, "settings.no-file"),
    ):
        with pytest.raises(Refusal) as caught:
            read_bounded(path, limit)
        assert caught.value.code == code
