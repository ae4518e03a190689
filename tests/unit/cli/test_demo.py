"""`demo package`: pages that begin with it can be read one after the other."""

from __future__ import annotations

import json

import pytest

from probatum.cli import main
from tests.corpus import hostile


@pytest.fixture
def there(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("PROBATUM_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.onnx").write_bytes(hostile.dump(hostile.model([hostile.node("Relu")])))
    words = ["model", "pack", "net.onnx", "--name", "magika", "--version", "1", "--task", "t"]
    assert main([*words, "--licence", "MIT", "-o", "there", "--json"]) == 0
    return json.loads(capsys.readouterr().out)["package"]


def test_a_package_that_is_there_already_is_left(there, capsys):
    assert main(["demo", "package", "magika", "-o", "there", "--files", "none", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["package"] == there


@pytest.mark.parametrize("words", [["silero-vad", "-o", "there"], ["magika", "-o", "new"]])
def test_another_one_is_not_taken_for_it(there, capsys, words):
    assert main(["demo", "package", *words, "--files", "none", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "demo.no-model"


def test_a_package_that_was_changed_is_refused(there, tmp_path, capsys):
    with (tmp_path / "there" / "model.onnx").open("ab") as file:
        file.write(b"x")
    assert main(["demo", "package", "magika", "-o", "there", "--files", "none", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"].startswith("package.")
