"""The same blocks give the same roots, however and by whichever Python they are applied.

Hash seed, time zone, language, optimisation and version of the interpreter are none of the
ledger's business; a set or dict that is walked in its own order would show here.
"""

import json
import os
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from tests.replaying import VECTORS

ROOT = Path(__file__).resolve().parents[2]
OTHERS = ("python3.11", "python3.12", "python3.13", "python3.14")
NAMED = "PROBATUM_OTHER_PYTHON"
"""Names another CPython that has what the ledger needs; else those on the path are tried."""


def ask(command, **environment):
    """Replay the recorded blocks in a process of their own; returns what it printed."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    paths = {"PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT)])}
    done = subprocess.run(
        [*command, "-m", "tests.replaying", str(VECTORS)],
        cwd=ROOT,
        env=kept | paths | {"PYTHONDONTWRITEBYTECODE": "1"} | environment,
        capture_output=True,
        check=True,
        timeout=120,
    )
    return json.loads(done.stdout)


@cache
def recorded():
    names = ("codes", "state_root", "header_hash", "validator_updates")
    return [
        {
            "genesis_hash": chain["genesis_hash"],
            "genesis_root": chain["genesis_root"],
            "blocks": [{name: block[name] for name in names} for block in chain["blocks"]],
        }
        for chain in json.loads(VECTORS.read_text(encoding="utf-8"))["chains"]
    ]


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONHASHSEED": "0"},
        {"PYTHONHASHSEED": "1", "TZ": "Pacific/Kiritimati"},
        {"PYTHONHASHSEED": "4294967295", "TZ": "America/St_Johns", "LANG": "tr_TR.UTF-8"},
        {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0"},
        {"PYTHONOPTIMIZE": "2", "PYTHONHASHSEED": "77"},
        {"PYTHONINTMAXSTRDIGITS": "640", "PYTHONHASHSEED": "78"},
    ],
    ids=lambda environment: ",".join(f"{name}={value}" for name, value in environment.items()),
)
def test_the_environment_changes_nothing(environment):
    assert ask([sys.executable], **environment) == recorded()


@pytest.mark.parametrize("flags", [["-O"], ["-OO"], ["-X", "dev"]], ids=" ".join)
def test_how_python_is_started_changes_nothing(flags):
    assert ask([sys.executable, *flags]) == recorded()


def find_others():
    """Interpreters of another version that can load the ledger, and those that cannot."""
    wanted = [os.environ[NAMED]] if NAMED in os.environ else OTHERS
    able, unable = [], []
    for name in wanted:
        path = shutil.which(name)
        tried = path and subprocess.run(
            [path, "-c", "import sys, probatum.ledger.apply; print(*sys.version_info[:2])"],
            cwd=ROOT,
            env={"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT / "src")},
            capture_output=True,
            check=False,
            timeout=60,
        )
        if not tried or tried.returncode:
            unable.append(name)
        elif tuple(map(int, tried.stdout.split())) != sys.version_info[:2]:
            able.append(path)
    return able, unable


def test_another_python_gives_the_same_roots():
    able, unable = find_others()
    if not able:
        tried = ", ".join(unable)
        pytest.skip(
            f"no other CPython with what the ledger needs (tried {tried}; {NAMED} names one)"
        )
    for path in able:
        assert ask([path]) == recorded(), path
