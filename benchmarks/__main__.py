"""`make bench`: runs the benchmarks, prints tables, writes ``bench.json``.

Every figure stands beside a peer of the same run where there is one; nothing here asserts
anything about time: a goal that is missed is printed, and the exit code stays 0.
"""

from __future__ import annotations

import argparse
import importlib
import json
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

NAMES = (
    "abci",
    "canon",
    "consensus",
    "door_overhead",
    "exact_serving",
    "ledger_growth",
    "ledger_throughput",
    "light_client",
    "receipt_verification",
    "request_path",
    "startup_memory",
    "text",
    "text_door",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--only", action="append", choices=NAMES, help="run this one alone")
    parser.add_argument("--quick", action="store_true", help="fewer rounds, rougher figures")
    parser.add_argument("--output", type=Path, default=Path("bench.json"))
    told = parser.parse_args()
    console = Console(width=130)
    found: list[dict[str, object]] = []
    failed = 0
    for name in NAMES:
        if told.only and name not in told.only:
            continue
        begun = time.monotonic()
        try:
            rows = importlib.import_module(f"benchmarks.{name}").run(quick=told.quick)
        except Exception as error:  # noqa: BLE001 - the others still have something to say
            console.print(f"{name} could not be measured: {error!r}", style="red", markup=False)
            failed += 1
            continue
        show(console, f"{name.replace('_', ' ')} ({time.monotonic() - begun:.0f} s)", rows)
        found += rows
    found.sort(key=lambda row: str(row["name"]))
    told.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    met = [row["met"] for row in found if row["met"] is not None]
    console.print(
        f"{len(found)} figures in {told.output}; {sum(map(bool, met))} of {len(met)} goals"
    )
    return 1 if failed else 0


def show(console: Console, title: str, rows: list[dict[str, object]]) -> None:
    table = Table(title=title, title_justify="left")
    for heading in ("figure", "value", "peer", "ratio", "goal", ""):
        table.add_column(
            heading, justify="right" if heading in {"value", "ratio", "goal"} else "left"
        )
    for row in rows:
        standing = {True: "met", False: "missed", None: ""}[row["met"]]  # type: ignore[index]
        table.add_row(
            str(row["name"]),
            f"{row['value']:,} {row['unit']}",
            str(row["peer"]),
            "" if row["ratio"] is None else f"{row['ratio']} x",
            "" if row["goal"] is None else f"{row['goal']:,}",
            standing,
        )
    console.print(table)


if __name__ == "__main__":
    sys.exit(main())
