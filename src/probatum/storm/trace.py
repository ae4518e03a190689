"""What is remembered of a storm: a digest of every event, counts, and what went wrong.

Must not know what the events mean. Read next: `report`.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass
from hashlib import sha256

__all__ = ["Finding", "Trace"]

LINES_KEPT = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """A promise that did not hold.

    Attributes:
        code: Which promise, ``room.kebab-case``.
        party: Whom it concerns, empty for the whole network.
        message: What was seen.
    """

    code: str
    party: str
    message: str


class Trace:
    """Running digest, last lines, counts and findings of one storm."""

    def __init__(self) -> None:
        """Make an empty trace."""
        self._digest = sha256()
        self._lines: deque[str] = deque(maxlen=LINES_KEPT)
        self.counts: Counter[str] = Counter()
        self.findings: list[Finding] = []

    def note(self, time_ms: int, text: str, payload: bytes = b"") -> None:
        """Take one event into the digest; `payload` counts in full but is not kept."""
        self._digest.update(f"{time_ms} {text} {len(payload)}\n".encode())
        self._digest.update(payload)
        self._lines.append(f"{time_ms} {text}")

    def count(self, what: str, amount: int = 1) -> None:
        """Count something that happened."""
        self.counts[what] += amount

    def find(self, code: str, party: str, message: str) -> None:
        """Record a promise that did not hold."""
        self.findings.append(Finding(code=code, party=party, message=message))

    @property
    def digest(self) -> str:
        """Hex digest of everything noted so far."""
        return self._digest.hexdigest()

    @property
    def lines(self) -> tuple[str, ...]:
        """The last lines, oldest first."""
        return tuple(self._lines)
