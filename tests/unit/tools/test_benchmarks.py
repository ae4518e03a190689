"""What `make bench` prints and writes; no benchmark runs here."""

import importlib
import inspect
import os

import pytest

from benchmarks import __main__ as bench
from benchmarks.measuring import get_cpu_s, get_rss_mb, list_tree, make_row


@pytest.mark.parametrize("name", bench.NAMES)
def test_every_benchmark_can_be_run_quickly(name):
    run = importlib.import_module(f"benchmarks.{name}").run
    assert inspect.signature(run).parameters["quick"].default is False


def test_every_benchmark_is_registered(repository):
    pages = (repository / "benchmarks").glob("*.py")
    found = {page.stem for page in pages if "\ndef run(" in page.read_text()}
    assert found == set(bench.NAMES)


@pytest.mark.parametrize(
    ("value", "goal", "more", "met"),
    [(2.0, 3.0, False, True), (4.0, 3.0, False, False), (4.0, 3.0, True, True), (4, None, 0, None)],
)
def test_a_row_says_whether_its_goal_is_met(value, goal, more, met):
    row = make_row("x", value, "ms", against=2.0, goal=goal, more_is_better=bool(more))
    assert list(row) == ["name", "value", "unit", "peer", "ratio", "goal", "met"]
    assert row["met"] is met
    assert row["ratio"] == value / 2


def test_processes_are_looked_at_by_the_kernels_books():
    pid = os.getpid()
    before = get_cpu_s(pid)
    sum(range(3_000_000))
    assert get_cpu_s(pid) > before
    assert 1 < get_rss_mb(pid) < 100_000
    assert list_tree(pid)[0] == pid
