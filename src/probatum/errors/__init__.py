"""How Probatum says no: the one tree of refusals, faults and misuses.

Holds the three roots that every error of the project derives from and nothing else. A room
defines its own subclasses beside the code that raises them. This page must not know any room.
HTTP status, ABCI code and exit code are three tables at three edges; none of them lives here.
"""

from __future__ import annotations

__all__ = ["Fault", "Misuse", "ProbatumError", "Refusal"]


class ProbatumError(Exception):
    """Root of everything that Probatum raises on purpose.

    Attributes:
        code: Stable identifier, dotted and lower case (``receipt.bad-signature``).
        hint: What the reader can do about it, one sentence; empty if there is nothing to do.
    """

    def __init__(self, code: str, message: str, *, hint: str = "") -> None:
        """Make the error.

        Args:
            code: Stable identifier; part of the protocol for refusals, so never reworded.
            message: What happened, for a person.
            hint: What to do about it.
        """
        super().__init__(message)
        self.code = code
        self.hint = hint

    @property
    def message(self) -> str:
        """What happened, for a person."""
        return str(self.args[0])

    def __str__(self) -> str:
        """Show code, message and hint on one line."""
        tail = f" ({self.hint})" if self.hint else ""
        return f"{self.code}: {self.message}{tail}"

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling (process pools), keyword-only hint included."""
        return (_rebuild, (type(self), self.code, self.message, self.hint))


def _rebuild(kind: type[ProbatumError], code: str, message: str, hint: str) -> ProbatumError:
    return kind(code, message, hint=hint)


class Refusal(ProbatumError):
    """An expected no: deterministic, the same on every node, part of the protocol."""


class Fault(ProbatumError):
    """The world failed: disk, network, process. Not the caller's doing.

    Attributes:
        retryable: Whether the same call may succeed later, unchanged.
    """

    def __init__(self, code: str, message: str, *, hint: str = "", retryable: bool = True) -> None:
        """Make the fault; see the class and `ProbatumError`."""
        super().__init__(code, message, hint=hint)
        self.retryable = retryable


class Misuse(ProbatumError):
    """The caller broke a contract of a Python interface: a bug in the calling code."""
