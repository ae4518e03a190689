"""The import contracts bite: each is shown a planted breach and must refuse it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMED = ("ledger", "storm", "nodes", "nodes/gateway", "nodes/inference", "nodes/shell")


@pytest.fixture
def house(tmp_path):
    """A copy of the source, with an empty room wherever a contract names one that is not yet."""
    shutil.copytree(
        ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info")
    )
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for room in NAMED:
        folder = tmp_path / "src" / "probatum" / room
        folder.mkdir(exist_ok=True)
        (folder / "__init__.py").touch()
    return tmp_path


def run_contract(house, contract):
    lint_imports = str(Path(sys.executable).with_name("lint-imports"))
    options = ["--no-logo", "--no-cache", "--contract", contract, "--config", "../pyproject.toml"]
    return subprocess.run(
        [lint_imports, *options],
        cwd=house / "src",
        env=os.environ | {"PYTHONPATH": str(house / "src"), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("contract", "page", "text", "said"),
    [
        ("floors", "utils/__init__.py", "", "probatum.utils"),
        ("floors", "protocol/planted.py", "import probatum.machine\n", "protocol.planted"),
        (
            "floors",
            "errors/planted.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import probatum.protocol\n",
            "errors.planted",
        ),
        ("quiet-rooms", "ledger/planted.py", "def f():\n    import time\n", "ledger.planted"),
        ("quiet-rooms", "protocol/planted.py", "from os import urandom\n", "protocol.planted"),
        (
            "storm-is-virtual",
            "storm/planted.py",
            "import probatum.nodes.shell.planted\n",
            "nodes.shell.planted -> sqlite3",
        ),
        (
            "roles",
            "nodes/gateway/planted.py",
            "import probatum.nodes.inference.planted\n",
            "nodes.gateway.planted",
        ),
        ("no-knots", "protocol/planted.py", "import probatum.protocol.knot\n", "knot"),
    ],
)
def test_a_breach_is_refused(house, contract, page, text, said):
    source = house / "src" / "probatum"
    (source / "nodes" / "shell" / "planted.py").write_text("import sqlite3\n")
    (source / "nodes" / "inference" / "planted.py").touch()
    if contract == "no-knots":
        (source / "protocol" / "knot.py").write_text("import probatum.protocol.planted\n")
    (source / page).parent.mkdir(exist_ok=True)
    (source / page).write_text(text)
    done = run_contract(house, contract)
    assert done.returncode == 1, done.stdout + done.stderr
    assert said in done.stdout
