"""Finding CometBFT: what is named is used or refused, what is of another version is no engine."""

from __future__ import annotations

import pytest

from probatum.errors import Fault, Refusal
from probatum.ops.cometbft import VARIABLE, VERSION, find_cometbft


def make_program(path, said=VERSION, code=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\n[ "$1" = version ] || exit 9\necho {said}\nexit {code}\n')
    path.chmod(0o755)
    return path


@pytest.fixture(autouse=True)
def bare(tmp_path, monkeypatch):
    """No CometBFT anywhere, and a PATH with nothing but one folder of our own."""
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.chdir(tmp_path)


def test_what_is_not_there_is_refused_with_what_to_do():
    with pytest.raises(Refusal) as caught:
        find_cometbft()
    assert caught.value.code == "cometbft.missing"
    assert "make cometbft" in caught.value.hint


def test_it_is_looked_for_in_order(tmp_path, monkeypatch):
    built = make_program(tmp_path / ".cache/cometbft" / f"v{VERSION}" / "cometbft")
    assert find_cometbft() == built
    on_path = make_program(tmp_path / "bin/cometbft", f"v{VERSION}")
    assert find_cometbft() == on_path
    monkeypatch.setenv(VARIABLE, str(make_program(tmp_path / "told/engine")))
    assert find_cometbft() == tmp_path / "told/engine"
    named = make_program(tmp_path / "named/engine")
    assert find_cometbft(named) == named


def test_another_version_on_the_path_is_passed_over(tmp_path):
    make_program(tmp_path / "bin/cometbft", "0.37.1")
    with pytest.raises(Refusal) as caught:
        find_cometbft()
    assert caught.value.code == "cometbft.other-version"
    assert "0.37.1" in caught.value.message
    built = make_program(tmp_path / ".cache/cometbft" / f"v{VERSION}" / "cometbft")
    assert find_cometbft() == built


@pytest.mark.parametrize("said", ["0.38.24", "0.38.250", "v1.0.1", "", "'  '"])
def test_what_somebody_named_is_refused_if_it_is_of_another_version(tmp_path, monkeypatch, said):
    monkeypatch.setenv(VARIABLE, str(make_program(tmp_path / "told", said)))
    make_program(tmp_path / "bin/cometbft")
    with pytest.raises(Refusal) as caught:
        find_cometbft()
    assert caught.value.code == "cometbft.other-version"


def test_what_somebody_named_must_be_there(tmp_path):
    make_program(tmp_path / "bin/cometbft")
    with pytest.raises(Refusal) as caught:
        find_cometbft(tmp_path / "nowhere")
    assert caught.value.code == "cometbft.missing"


def test_a_program_that_fails_is_named(tmp_path):
    with pytest.raises(Fault) as caught:
        find_cometbft(make_program(tmp_path / "bad", code=3))
    assert caught.value.code == "cometbft.not-running"
