"""The real language model that text is tried on: imported once, kept beside what was fetched.

A test of it is skipped by name where the model cannot be had (`models/fetch.py`).
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from probatum.hub.package import Package
from probatum.ops.demo import smollm2

ROOT = Path(__file__).resolve().parents[1]
RECIPE = smollm2.RECIPE
CANONICAL = "c464ac63b3ecb852fa400185f6587535dd6fe0cdc525a10f7dc629cfccea0d0b"
"""Of the package with a context of 2,048 and 64 candidates."""

CAPITAL = (504, 3575, 282, 4649, 314)
"""The capital of France is"""
CAPITAL_GOES_ON = (
    7042, 30, 198, 198, 504, 2988, 314, 42, 216, 34, 32, 33, 40, 29, 32, 33, 29, 34, 34, 216, 33,
    34, 42, 33,
)  # fmt: skip
"""Twenty-four tokens without noise, by an independent engine."""
QUESTION = (1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47, 2, 198, 1, 520, 9531, 198)
"""The chat's turn: What is the capital of France?"""
QUESTION_GOES_ON = (504, 3575, 282, 4649, 314, 7042, 30, 2)


def open_smollm2() -> Package:
    """Import SmolLM2-135M-Instruct, or open what was imported; by the importer's own pages."""
    fetch = subprocess.run(
        [sys.executable, ROOT / "models" / "fetch.py", RECIPE],
        capture_output=True,
        text=True,
        check=False,
    )
    if fetch.returncode:
        pytest.skip(f"{RECIPE} was not fetched: {fetch.stderr.strip()[-200:]}")
    cache = ROOT / ".cache"
    return smollm2.open_smollm2(cache / "models", cache / "imported", lambda _done, _total: None)
