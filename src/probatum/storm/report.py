"""What came of one storm, for people and for tests.

Must not know how it came about.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from probatum.storm.trace import Finding

__all__ = ["StormReport", "format_report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StormReport:
    """One storm.

    Attributes:
        digest: Of every event in order: the same for the same seed, plan and code.
        virtual_ms: How long it was on its own clock.
        counts: How often what happened.
        findings: Promises that did not hold; none in a network that keeps its word.
        lines: The last events before the findings were made.
    """

    seed: int
    plan: str
    digest: str
    virtual_ms: int
    counts: Mapping[str, int]
    findings: tuple[Finding, ...]
    lines: tuple[str, ...]


def format_report(report: StormReport, *, lines: int = 0) -> str:
    """Write a report: findings and counts; on failure the command that brings it back.

    Args:
        report: The storm.
        lines: So many of the last events are listed.
    """
    written = [
        f"{report.plan} {report.seed}: {report.virtual_ms / 1000:.1f} s of storm, {report.digest}"
    ]
    written += [f"  {name}: {count}" for name, count in sorted(report.counts.items())]
    if lines:
        written += ["last events:", *(f"  {line}" for line in report.lines[-lines:])]
    for finding in report.findings:
        written.append(f"FINDING {finding.code} {finding.party}: {finding.message}")
    if report.findings:
        written.append(f"again: python -m probatum.storm.run {report.plan}:{report.seed}")
    return "\n".join(written)
