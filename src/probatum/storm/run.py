"""One storm from a seed: build, let it stand, let it blow, heal, ask once more, check.

``python -m probatum.storm.run PLAN:SEED...`` runs storms and says what happened. Must not know any
promise (`checkers`). Read next: `world`, `faults`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Final

from probatum.nodes.inference.machine import InferenceNode
from probatum.storm.checkers.answers import check_answers
from probatum.storm.checkers.chain import check_chain, check_statements, replay
from probatum.storm.checkers.exposure import check_exposure
from probatum.storm.checkers.logs import check_logs, is_settled
from probatum.storm.checkers.memory import check_memory
from probatum.storm.checkers.money import check_money
from probatum.storm.checkers.trials import check_trials
from probatum.storm.court import is_ended, is_judged, open_court, seat
from probatum.storm.faults import Faults
from probatum.storm.plan import PLANS, Plan
from probatum.storm.report import StormReport, format_report
from probatum.storm.trials import TRIALS
from probatum.storm.world import World, add_customers, build_world

__all__ = ["blow", "check_promises", "main", "run_storm"]

_STAND_MS: Final = 60_000
_LOOK_MS: Final = 500
_QUIET_BLOCKS: Final = 40
"""Longer than a taker has to answer (`ledger.params`), so that every deadline has passed."""


def run_storm(seed: int, plan: Plan | None = None) -> StormReport:
    """Run one storm and check every promise.

    Args:
        seed: Draws everything.
        plan: What kind of storm; an ordinary one if absent.
    """
    world = build_world(seed, plan or Plan())
    blow(world)
    check_promises(world)
    kernel = world.kernel
    return StormReport(
        seed=seed,
        plan=world.plan.name,
        digest=kernel.trace.digest,
        virtual_ms=kernel.loop.now_ms,
        counts=dict(sorted(kernel.trace.counts.items())),
        findings=tuple(kernel.trace.findings),
        lines=kernel.trace.lines,
    )


def blow(world: World) -> None:
    """Let a world stand up, go through its storm, heal, and be asked once more."""
    open_court(world)
    if _stand_up(world):
        _storm(world)
        _ask_once_more(world)


def check_promises(world: World) -> None:
    """Check everything that the network promises; what does not hold becomes a finding."""
    done = replay(world)
    check_chain(world, done)
    check_statements(world, done)
    check_logs(world, done)
    check_answers(world, done)
    check_money(world, done)
    check_exposure(world, done)
    check_trials(world, done)
    check_memory(world)


def _wait(world: World, limit_ms: int, is_enough: Callable[[], bool]) -> bool:
    """Let time pass until something holds or the limit is over; tell whether it holds."""
    until_ms = world.kernel.loop.now_ms + limit_ms
    while not is_enough():
        if world.kernel.loop.now_ms >= until_ms:
            return False
        world.kernel.loop.run_until(world.kernel.loop.now_ms + _LOOK_MS)
    return True


def _stand_up(world: World) -> bool:
    """Start and register everybody in calm weather."""
    for name in world.kernel.parties:
        world.kernel.start(name)
    if not _wait(world, _STAND_MS, lambda: _is_standing(world)):
        world.kernel.trace.find("run.no-start", "", "the network did not come to stand")
        return False
    # The gateway follows with a block's delay.
    world.kernel.loop.run_until(world.kernel.loop.now_ms + 3 * world.plan.block_interval_ms)
    return True


def _is_standing(world: World) -> bool:
    if not all(statement.is_complete for statement in world.statements.values()):
        return False
    for name, role in world.roles.items():
        machine = world.kernel.parties[name].machine
        machine = getattr(machine, "honest", machine)  # inside whatever adversary wraps it
        if role == "inference" and not (isinstance(machine, InferenceNode) and machine.is_ready):
            return False
    return True


def _storm(world: World) -> None:
    before = set(world.kernel.parties)
    add_customers(world)
    seat(world)
    for name in sorted(set(world.kernel.parties) - before):
        world.kernel.start(name)
    faults = Faults(world.kernel, world.plan, world.roles)
    faults.begin()
    world.kernel.loop.run_until(world.kernel.loop.now_ms + world.plan.storm_ms)
    faults.heal()
    world.kernel.trace.note(world.kernel.loop.now_ms, "the storm is over")


def _ask_once_more(world: World) -> None:
    """Heal, wait for what is owed, then see that a fresh request succeeds for everybody."""
    _wait(world, world.plan.heal_ms, lambda: _is_idle(world))
    for notebook in world.notebooks.values():
        notebook.probe = True
    _wait(
        world,
        world.plan.heal_ms,
        lambda: _is_idle(world) and is_settled(world) and is_judged(world),
    )
    world.kernel.loop.run_until(
        world.kernel.loop.now_ms + _QUIET_BLOCKS * world.plan.block_interval_ms
    )


def _is_idle(world: World) -> bool:
    asked = world.plan.requests_per_client
    return all(
        not notebook.probe
        and len(notebook.requests) >= asked
        and all(is_ended(world, request) for request in notebook.requests)
        for notebook in world.notebooks.values()
    ) and all(statement.is_complete for statement in world.statements.values())


def main(words: list[str]) -> int:
    """Run the storms that are named, ``PLAN:SEED``; exit status 1 if a promise was broken."""
    failed = 0
    for word in words:
        plan, _, seed = word.rpartition(":")
        report = run_storm(int(seed), {**PLANS, **TRIALS}[plan or "rough"])
        sys.stdout.write(format_report(report, lines=60 if report.findings else 0) + "\n")
        failed += bool(report.findings)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
