"""What all tests share: how Hypothesis draws, where the repository is, which models there are.

A round of `make nightly` gives Hypothesis a new seed and more examples; everywhere else it draws
the same examples every time, so that a red run is red again.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

ROOT = Path(__file__).resolve().parent.parent

# Some tests import the engine before `probatum.runtime` can switch its reporting off.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

_calm = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("every-run", max_examples=60, derandomize=True, database=None, **_calm)
settings.register_profile("nightly", max_examples=1_000, print_blob=True, **_calm)
settings.load_profile(os.environ.get("PROBATUM_HYPOTHESIS", "every-run"))

_RECURSION_LIMIT = sys.getrecursionlimit()


def pytest_runtest_setup():
    """Take back what a library of one test (`py_ecc`) lifts for all: the bound on recursion.

    Decoders in C count on it: without it, bytes that nest too deeply run into the stack's end.
    """
    sys.setrecursionlimit(_RECURSION_LIMIT)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds this repository."""
    return ROOT


@pytest.fixture(scope="session")
def find_model():
    """Find the folder of a real model, as `make models` lays it down."""

    def find(name: str) -> Path:
        folder = ROOT / ".cache" / "models" / name
        if not folder.is_dir():
            pytest.fail(f"no {name} in .cache/models; `make models` fetches it")
        return folder

    return find


@pytest.fixture(scope="session")
def magika_folder(find_model) -> Path:
    """The real file-type classifier."""
    return find_model("magika")


@pytest.fixture(scope="session")
def seed_round() -> int:
    """Which round of seeds this is: 0 in every run, another one in each round of `make nightly`."""
    return int(os.environ.get("PROBATUM_SEED_ROUND", "0"))


@pytest.fixture(autouse=True)
def _home_of_its_own(tmp_path_factory, monkeypatch, request):
    """Keep tests out of the home folder of whoever runs them."""
    if "unit" not in Path(request.node.path).parts:
        monkeypatch.setenv("HOME", str(tmp_path_factory.mktemp("home")))
