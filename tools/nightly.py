"""Runs what is too long for every run, for as long as it is given, and goes on where it stopped.

``python tools/nightly.py --budget 2h`` first runs each test that is marked ``nightly``, one by
one, then rounds of all property tests and simulations, every round with a new seed, until the
budget is spent. What is done is kept in ``.cache/nightly/state.json`` for this very state of the
source, so the next run goes on; failures are run again first. Exit 1 where anything failed.
``--soak 30m`` runs a soak alone, for that long, and shows its table; ``--of texts`` that of texts.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / ".cache" / "nightly"
STATE = FOLDER / "state.json"
SEEDED = ("tests/property", "tests/simulation")
SECONDS = {"s": 1, "m": 60, "h": 3600}
SOAKS = {"answers": "tests/e2e/test_soak.py", "texts": "tests/e2e/test_text_soak.py"}
SOAK_S = 1800.0
SOAK_SHARE = 0.25
"""How much of a budget a soak may take: what is cut short would be cut short every night."""
PYTEST = (sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One thing to run: a name that stays the same from night to night, and how."""

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    round: int = 0


def parse_budget(text: str) -> float:
    """Read ``90s``, ``45m``, ``2h`` or ``1h30m`` as seconds.

    Raises:
        ValueError: It is anything else, or no time at all.
    """
    parts = re.findall(r"(\d+)([smh])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError(f"a budget reads like 2h, 45m or 1h30m, not {text!r}")
    seconds = sum(int(number) * SECONDS[unit] for number, unit in parts)
    if seconds == 0:
        raise ValueError("a budget of nothing runs nothing")
    return float(seconds)


def compute_source_digest(root: Path = ROOT) -> str:
    """Digest of all source, tests and locks: what was done for other bytes does not count."""
    digest = hashlib.sha256()
    for folder, pattern in (("src", "*.py"), ("tests", "*.py"), ("requirements", "*.txt")):
        for path in sorted((root / folder).rglob(pattern)):
            digest.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:32]


def load_state(path: Path, source: str) -> dict[str, Any]:
    """Load what is done for this source; anything else starts from nothing."""
    try:
        state = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        state = {}
    if not isinstance(state, dict) or state.get("source") != source:
        return {"source": source, "done": [], "failed": [], "round": 0}
    return state


def save_state(path: Path, state: dict[str, Any]) -> None:
    """Save in one move, so that a kill leaves the old state or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(state, indent=1) + "\n", encoding="utf-8")
    fresh.replace(path)


def list_nightly_tests(budget_s: float = 4 * SOAK_S) -> list[Step]:
    """One step for each test that is marked ``nightly``; soaks last, and as long as may be."""
    command = [*PYTEST, "--collect-only", "-m", "nightly", "tests"]
    listed = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    if listed.returncode not in {0, 5}:  # 5: none is marked
        raise RuntimeError(f"the tests cannot be collected:\n{listed.stdout[-3000:]}")
    names = [line for line in listed.stdout.splitlines() if "::" in line]
    soak = {"PROBATUM_SOAK_S": str(min(SOAK_S, SOAK_SHARE * budget_s))}
    soaks = tuple(SOAKS.values())
    return [
        Step(
            name=name,
            command=(*PYTEST, "-m", "nightly", name),
            environment=soak if name.startswith(soaks) else {},
        )
        for name in sorted(names, key=lambda name: name.startswith(soaks))
    ]


def run_soak(page: str, seconds: float) -> int:
    """Run a soak alone, all that it says shown; return the exit status."""
    command = (*PYTEST, "-s", "-m", "nightly", page)
    environment = os.environ | {"PROBATUM_SOAK_S": str(seconds)}
    return subprocess.run(command, cwd=ROOT, env=environment, check=False).returncode


def make_round(number: int) -> Step | None:
    """All seeded tests once more, with chance that no round before had."""
    folders = [folder for folder in SEEDED if (ROOT / folder).is_dir()]
    if not folders:
        return None
    return Step(
        name=f"round {number}",
        round=number,
        command=(*PYTEST, "-n", "2", f"--hypothesis-seed={number}", *folders),
        environment={"PROBATUM_HYPOTHESIS": "nightly", "PROBATUM_SEED_ROUND": str(number)},
    )


def run_step(step: Step, seconds: float) -> bool | None:
    """Run one step; None where its time ran out, which is no failure."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    log = FOLDER / (re.sub(r"[^\w.-]+", "_", step.name)[-120:] + ".log")
    with log.open("wb") as output:
        try:
            done = subprocess.run(
                step.command,
                cwd=ROOT,
                env=os.environ | step.environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None
    if done.returncode in {0, 5}:
        log.unlink()
        return True
    print(log.read_text(encoding="utf-8", errors="replace")[-4000:])
    print(f"FAILED: {step.name}\n  again: {' '.join(step.command)}\n  log: {log}")
    return False


def list_steps(state: dict[str, Any], budget_s: float) -> Iterator[Step]:
    """What is left: failures first, then tests not yet run, then rounds without end."""
    tests = list_nightly_tests(budget_s)
    again = [step for step in tests if step.name in state["failed"]]
    fresh = [step for step in tests if step.name not in {*state["failed"], *state["done"]}]
    print(f"nightly tests: {len(tests)}, of them {len(again) + len(fresh)} to run")
    yield from [*again, *fresh]
    for name in [name for name in state["failed"] if name.startswith("round ")]:
        if step := make_round(int(name.split()[1])):
            yield step
    # Whoever runs a round counts it, so this ends only where there is nothing to draw anew.
    while step := make_round(state["round"] + 1):
        yield step


def run_all(state: dict[str, Any], path: Path, budget_s: float) -> int:
    """Run steps until the budget is spent or none is left; return the exit status."""
    until = time.monotonic() + budget_s
    passed = failed = 0
    for step in list_steps(state, budget_s):
        left = until - time.monotonic()
        verdict = run_step(step, left) if left > 0 else None
        if verdict is None:
            print(f"budget spent before the end of: {step.name}")
            break
        print(f"{'ok    ' if verdict else 'FAILED'} {step.name}", flush=True)
        passed, failed = passed + verdict, failed + (not verdict)
        others = [name for name in state["failed"] if name != step.name]
        state["failed"] = others if verdict else [*others, step.name]
        state["done"] = sorted({*state["done"], step.name} if verdict else state["done"])
        state["round"] = max(state["round"], step.round)
        save_state(path, state)
    print(f"done for this source: {len(state['done'])}; failed so far: {len(state['failed'])}")
    print(f"{passed} passed, {failed} failed")
    return 1 if state["failed"] else 0


def main() -> int:
    """Parse the arguments and run."""
    parser = argparse.ArgumentParser(description="Run the long tests, and seeds without end.")
    parser.add_argument("--budget", default="2h", help="2h, 45m, 1h30m …")
    parser.add_argument("--soak", help="run a soak alone, for so long")
    parser.add_argument("--of", choices=SOAKS, default="answers", help="which soak")
    parser.add_argument("--fresh", action="store_true", help="forget what is done")
    arguments = parser.parse_args()
    try:
        budget_s = parse_budget(arguments.soak or arguments.budget)
    except ValueError as error:
        parser.error(str(error))
    if arguments.soak:
        return run_soak(SOAKS[arguments.of], budget_s)
    source = compute_source_digest()
    if arguments.fresh:
        STATE.unlink(missing_ok=True)
    return run_all(load_state(STATE, source), STATE, budget_s)


if __name__ == "__main__":
    sys.exit(main())
