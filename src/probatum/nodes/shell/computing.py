"""What the driver needs of whatever runs models. Must not know engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from probatum.errors import ProbatumError
from probatum.protocol.primitives import Digest
from probatum.protocol.tensors import Tensor

__all__ = ["Computer"]

Done: TypeAlias = Callable[[tuple[Tensor, ...] | ProbatumError], None]
"""Takes the outcome, once, on any thread."""


class Computer(Protocol):
    """How models are run: `probatum.runtime.worker.ComputePool`."""

    def submit(self, package: Digest, tensors: tuple[Tensor, ...], done: Done) -> None:
        """Queue a job of class `float`. Raises Refusal."""
        ...

    def submit_exact(self, package: Digest, tensors: tuple[Tensor, ...], done: Done) -> None:
        """Queue a job of class `exact` (`EXACT-1`). Raises Refusal."""
        ...
