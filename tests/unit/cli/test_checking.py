"""`model check` of an ONNX file: admitted to class exact or each reason why not (PUB-1)."""

from __future__ import annotations

import json

import pytest

from probatum.cli import main
from probatum.cli.checking import parse_dims
from probatum.errors import Refusal
from tests.unit.runtime.checking import nets


@pytest.fixture(autouse=True)
def desk(monkeypatch, tmp_path):
    monkeypatch.setenv("PROBATUM_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.onnx").write_bytes(nets.make_linear())
    (tmp_path / "foreign.onnx").write_bytes(nets.make_foreign())
    (tmp_path / "table.onnx").write_bytes(nets.make_table())
    return tmp_path


def test_dims_are_read_strictly():
    assert parse_dims(("batch=1..16", "s=8")) == {"batch": (1, 16), "s": (8, 8)}
    for word in ("batch", "batch=", "batch=a", "batch=1..", "1=2", "b=-1"):
        with pytest.raises(Refusal, match="no range"):
            parse_dims((word,))
    with pytest.raises(Refusal, match="no range"):
        parse_dims(("b=1", "b=2"))


def test_people_see_bounds_speed_and_distances(capsys):
    assert main(["model", "check", "net.onnx", "--dim", "batch=1..16", "--seed", "2"]) == 0
    shown = capsys.readouterr().out
    assert "admitted for batch = 1..16" in shown
    assert "3, drawn by seed 2: x[8, 3]" in shown
    assert "largest opening" in shown
    assert "speed, measured here" in shown
    for name in ("ONNX Runtime", "float16 weights", "bfloat16 weights", "int8 weights"):
        assert name in shown


def test_people_see_each_reason(capsys):
    assert main(["model", "check", "foreign.onnx"]) == 0
    shown = capsys.readouterr().out
    assert "class exact: not admitted:" in shown
    for words in ("dim-without-range", "Hardmax", "Celu", "not-static", "batch=1..16"):
        assert words in shown


def test_programs_get_all_of_it(capsys):
    words = ["model", "check", "table.onnx", "--dim", "n=1..2", "--dim", "s=2"]
    words += ["--bind", "mask=[[1, 0]]", "--input", "ids=[[4, 1]]", "--json"]
    assert main([*words, "--dim", "n=3"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "input.bad-dim"
    words[4] = "n=1"
    assert main(words) == 0
    exact = json.loads(capsys.readouterr().out)["exact"]
    assert exact["admitted"]
    assert exact["report"]["bounds"]["entries"] > 0
    assert exact["measured"]["samples"] == 1
    assert exact["measured"]["distances"][0]["equal"] == 1.0
    assert main([*words, "--no-measure"]) == 0
    assert json.loads(capsys.readouterr().out)["exact"]["measured"] is None
