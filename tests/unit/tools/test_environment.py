"""What `make` assumes is checked, and what is missing is said with what to do about it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def bin_folder(tmp_path):
    """A PATH with the everyday programs and no Python."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("bash", "env", "dirname", "sha256sum", "cut", "cat", "mkdir", "df", "awk"):
        found = next(p for p in ("/usr/bin", "/bin") if Path(p, name).exists())
        (folder / name).symlink_to(Path(found, name))
    return folder


def write_python(folder, name, script):
    path = folder / name
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)


def run_tool(bin_folder, *words, **environment):
    return subprocess.run(
        [str(ROOT / words[0]), *words[1:]],
        env={"PATH": str(bin_folder), **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_python_is_said(bin_folder):
    done = run_tool(bin_folder, "tools/find-python.sh")
    assert done.returncode == 1
    assert "no python3 at all" in done.stderr
    assert "python3-venv" in done.stderr


def test_an_old_python_is_said(bin_folder):
    write_python(bin_folder, "python3", "[[ $2 == *print* ]] && echo 3.9 && exit 0; exit 1")
    done = run_tool(bin_folder, "tools/find-python.sh")
    assert done.returncode == 1
    assert "python3 (3.9, too old)" in done.stderr


def test_a_python_without_venv_is_said(bin_folder):
    write_python(
        bin_folder,
        "python3",
        "[[ $2 == *venv* ]] && exit 1; [[ $2 == *print* ]] && echo 3.12; exit 0",
    )
    done = run_tool(bin_folder, "tools/find-python.sh")
    assert done.returncode == 1
    assert "without venv" in done.stderr


def test_the_named_python_goes_first(bin_folder):
    write_python(bin_folder, "python3", "[[ $2 == *print* ]] && echo 3.12; exit 0")
    write_python(bin_folder, "mine", "[[ $2 == *print* ]] && echo 3.13; exit 0")
    done = run_tool(bin_folder, "tools/find-python.sh", PYTHON="mine")
    assert done.stdout.strip() == str(bin_folder / "mine")
    assert run_tool(bin_folder, "tools/find-python.sh").stdout.strip() == str(
        bin_folder / "python3"
    )


def test_too_little_disk_is_said(bin_folder, tmp_path):
    write_python(bin_folder, "python3", "[[ $2 == *print* ]] && echo 3.12; exit 0")
    (bin_folder / "df").unlink()
    write_python(bin_folder, "df", "printf 'head\\nx 1 1 1000 1%% /\\n'")
    done = run_tool(bin_folder, "tools/environment.sh", "run", VENV=str(tmp_path / "venv"))
    assert done.returncode == 1
    assert "about 2 GB of disk" in done.stderr
    assert {path.name for path in (tmp_path / "venv").iterdir()} <= {".lock"}


def test_no_package_index_is_said(tmp_path):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PIP_")}
    environment |= {"VENV": str(tmp_path / "venv"), "PIP_NO_INDEX": "1"}
    environment |= {"PIP_CONFIG_FILE": "/dev/null", "PROBATUM_ENVIRONMENT": ""}
    done = subprocess.run(
        [str(ROOT / "tools" / "environment.sh"), "run"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "PIP_INDEX_URL" in done.stderr
    assert not list((tmp_path / "venv").glob(".stamp-*"))
