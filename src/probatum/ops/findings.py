"""What an inspection found: one row a check, with what to do about it.

Must not know any check.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from probatum.errors import ProbatumError

__all__ = ["Finding", "Status", "from_error"]

Status: TypeAlias = Literal["ok", "warn", "fail", "skip"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One row.

    Attributes:
        check: What was looked at.
        status: ``ok``; ``warn``: works, but not for long or not well; ``fail``: does not work;
            ``skip``: could not be looked at.
        detail: What was seen.
        advice: What to do; empty only if there is nothing to do.
    """

    check: str
    status: Status
    detail: str
    advice: str = ""


def from_error(check: str, error: ProbatumError, *, status: Status = "fail") -> Finding:
    """Make a row of an error that a check met."""
    advice = error.hint or f"look {error.code} up in docs/spec/refusals.md"
    detail = f"{error.code}: {error.message}"
    return Finding(check=check, status=status, detail=detail, advice=advice)
