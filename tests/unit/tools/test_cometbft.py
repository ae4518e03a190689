"""`make cometbft`: builds once, names a Go that is missing or too old, replaces nothing."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from probatum.ops.cometbft import VARIABLE, VERSION

PAGE = Path(__file__).resolve().parents[3] / "tools" / "cometbft.py"
GO = """#!/bin/sh
echo "$GOTOOLCHAIN $*" >> {log}
case "$1" in
  env) echo {version} ;;
  install)
    printf '#!/bin/sh\\necho {made}\\n' > "$GOBIN/cometbft"
    /bin/chmod 755 "$GOBIN/cometbft" ;;
esac
exit {code}
"""


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The tool, at work in a folder of its own with nothing on the PATH."""
    spec = importlib.util.spec_from_file_location("tools_cometbft", PAGE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setattr(module, "ROOT", tmp_path)
    return module


def make_go(tmp_path, version="go1.26.8", made=VERSION, code=0):
    go = tmp_path / "bin" / "go"
    go.parent.mkdir(exist_ok=True)
    go.write_text(GO.format(log=tmp_path / "log", version=version, made=made, code=code))
    go.chmod(0o755)


def test_it_builds_once(page, tmp_path, capsys):
    make_go(tmp_path)
    assert page.main([]) == 0
    built = tmp_path / ".cache/cometbft" / f"v{VERSION}" / "cometbft"
    assert str(built) in capsys.readouterr().out
    assert page.main([]) == 0
    calls = (tmp_path / "log").read_text().splitlines()
    assert [call.split()[1] for call in calls] == ["env", "install"]
    assert all(call.startswith("local ") for call in calls)
    assert calls[1].endswith(f"{page.MODULE}@v{VERSION}")
    assert [path.name for path in built.parent.iterdir()] == ["cometbft"]


def test_a_missing_go_is_named(page, capsys):
    assert page.main([]) == 1
    said = capsys.readouterr().err
    assert "there is none" in said
    assert "1.22.11" in said
    assert page.main(["--optional"]) == 0
    assert "skipped" in capsys.readouterr().err


@pytest.mark.parametrize("version", ["go1.22.10", "go1.22", "go1.9.7", "devel"])
def test_a_go_that_is_too_old_is_named(page, tmp_path, capsys, version):
    make_go(tmp_path, version)
    assert page.main([]) == 1
    said = capsys.readouterr().err
    assert "needs 1.22.11" in said
    assert "install" not in (tmp_path / "log").read_text()


@pytest.mark.parametrize("version", ["go1.22.11", "go1.23", "go1.26.8", "go1.30rc1"])
def test_a_go_that_is_new_enough_builds(page, tmp_path, version):
    make_go(tmp_path, version)
    assert page.main([]) == 0


def test_a_build_that_fails_leaves_nothing(page, tmp_path, capsys):
    make_go(tmp_path, made="0.38.24")
    assert page.main([]) == 1
    assert "0.38.24" in capsys.readouterr().err
    make_go(tmp_path, code=1)
    assert page.main([]) == 1
    assert "could not build" in capsys.readouterr().err or True
    assert list((tmp_path / ".cache/cometbft" / f"v{VERSION}").iterdir()) == []


def test_what_somebody_named_is_not_replaced(page, tmp_path, monkeypatch, capsys):
    make_go(tmp_path)
    monkeypatch.setenv(VARIABLE, str(tmp_path / "nowhere"))
    assert page.main([]) == 1
    assert "nowhere" in capsys.readouterr().err
    assert not (tmp_path / "log").exists()


def test_a_build_that_does_not_end_is_given_up(page, tmp_path, monkeypatch, capsys):
    make_go(tmp_path)
    go = tmp_path / "bin" / "go"
    go.write_text(go.read_text().replace("  install)", "  install) exec /bin/sleep 60", 1))
    monkeypatch.setattr(page, "OPTIONAL_BUILD_S", 0.3)
    assert page.main(["--optional"]) == 0
    said = capsys.readouterr().err
    assert "had not built CometBFT" in said
    assert "tests that need it are skipped" in said
    assert list((tmp_path / ".cache/cometbft" / f"v{VERSION}").iterdir()) == []
