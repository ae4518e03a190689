"""Collects why a file is refused: each reason once, the first few of many.

Must not know what is looked at.
"""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.runtime.admission import bounds

__all__ = ["Reasons", "show_name"]


class Reasons:
    """Reasons in the order in which they were found."""

    __slots__ = ("_found",)

    def __init__(self) -> None:
        """Start with none."""
        self._found: dict[tuple[str, str], Refusal] = {}

    def add(self, reason: Refusal) -> None:
        """Add a reason, unless it was found already or enough were."""
        if len(self._found) < bounds.REASONS:
            self._found.setdefault((reason.code, reason.message), reason)

    def list(self) -> tuple[Refusal, ...]:
        """List them."""
        return tuple(self._found.values())


def show_name(name: str) -> str:
    """Show a name that a stranger chose: quoted, escaped, short."""
    return repr(name if len(name) <= 60 else name[:57] + "…")
