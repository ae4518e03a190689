"""The doctor's command: rows, advice, and an exit code that says the worst."""

import json

import pytest

from probatum.cli import doctor as page
from probatum.cli import main
from probatum.ops.findings import Finding


def give(monkeypatch, *statuses):
    rows = tuple(
        Finding(check=f"check {n}", status=status, detail="seen", advice=f"mend {n}")
        for n, status in enumerate(statuses)
    )
    monkeypatch.setattr(page, "examine", lambda *_: rows)


@pytest.mark.parametrize(
    ("statuses", "code", "worst"),
    [
        (("ok", "skip"), 0, "ok"),
        (("ok", "warn", "ok"), 4, "warn"),
        (("warn", "fail", "ok"), 1, "fail"),
    ],
)
def test_the_exit_code_says_the_worst(monkeypatch, capsys, tmp_path, statuses, code, worst):
    monkeypatch.setenv("PROBATUM_HOME", str(tmp_path))
    give(monkeypatch, *statuses)
    assert main(["doctor"]) == code
    shown = capsys.readouterr().out
    for number, status in enumerate(statuses):
        assert (f"-> mend {number}" in shown) == (status in {"warn", "fail"})
    assert main(["doctor", "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert (found["worst"], found["well"]) == (worst, worst != "fail")
    assert [row["status"] for row in found["findings"]] == list(statuses)
