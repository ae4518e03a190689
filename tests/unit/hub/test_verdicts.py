"""Verdicts are kept by package and checker, and files of two names are refused (PUB-1)."""

from __future__ import annotations

import os

import pytest

from probatum.errors import Fault, Refusal
from probatum.hub.files import open_regular
from probatum.hub.verdicts import VerdictShelf
from probatum.protocol.hashing import sha256

PACKAGE, OTHER = sha256(b"package"), sha256(b"other")


def test_what_was_put_is_got_by_the_same_checker_alone(tmp_path):
    shelf = VerdictShelf(tmp_path / "verdicts")
    assert shelf.get(PACKAGE, "1-ort-1.31.1") is None
    shelf.put(PACKAGE, "1-ort-1.31.1", b"first")
    shelf.put(PACKAGE, "1-ort-1.31.1", b"second")
    assert shelf.get(PACKAGE, "1-ort-1.31.1") == b"second"
    assert shelf.get(PACKAGE, "2-ort-1.31.1") is None
    assert shelf.get(OTHER, "1-ort-1.31.1") is None
    assert len(list((tmp_path / "verdicts").iterdir())) == 1


def test_a_checker_s_name_cannot_climb(tmp_path):
    shelf = VerdictShelf(tmp_path / "verdicts")
    shelf.put(PACKAGE, "../../x", b"y")
    assert shelf.get(PACKAGE, "../../x") == b"y"
    assert [path.name for path in tmp_path.iterdir()] == ["verdicts"]


def test_what_is_too_large_or_a_link_counts_as_nothing(tmp_path):
    shelf = VerdictShelf(tmp_path)
    shelf.put(PACKAGE, "a", b"x" * 70_000)
    assert shelf.get(PACKAGE, "a") is None
    (tmp_path / "real").write_bytes(b"x")
    (tmp_path / f"{OTHER.hex()}.a.json").symlink_to(tmp_path / "real")
    assert shelf.get(OTHER, "a") is None


def test_a_disk_that_fails_is_a_fault(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(Fault) as caught:
        VerdictShelf(tmp_path / "file" / "verdicts").put(PACKAGE, "a", b"")
    assert caught.value.code == "hub.disk"


@pytest.mark.parametrize("link", [os.symlink, os.link], ids=["symbolic", "hard"])
def test_a_file_of_two_names_is_no_package_s(tmp_path, link):
    (tmp_path / "secret").write_bytes(b"secret")
    link(tmp_path / "secret", tmp_path / "model.onnx")
    with pytest.raises(Refusal) as caught, open_regular(tmp_path / "model.onnx"):
        pass
    assert caught.value.code in {"package.symlink", "package.hard-link"}
