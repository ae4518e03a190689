"""Jobs of a pool: what is asked, and how an outcome is handed over. Must not know threads."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeAlias

from probatum.errors import Fault, ProbatumError
from probatum.protocol.primitives import Digest
from probatum.protocol.tensors import Tensor
from probatum.runtime.batching import Joining

__all__ = ["Done", "Job", "Outcome", "ReadyJob", "deliver", "do_fit", "make_fault"]

Outcome: TypeAlias = tuple[Tensor, ...] | ProbatumError
"""What became of a job: every output, or why there is none."""
Done: TypeAlias = Callable[[Outcome], None]
"""Takes the outcome, once, on a thread of the pool; must return soon and raise nothing."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Job:
    """A request to compute, as it waits.

    Attributes:
        done: Takes what comes of it.
        size_bytes: Of its inputs.
        exact: Whether its canonical answer is wanted.
        batch_key: What jobs share that may be joined; None for one that runs alone.
        rows: Its size along the model's batch dimension; 0 for one that runs alone.
    """

    package: Digest
    tensors: tuple[Tensor, ...]
    done: Done
    size_bytes: int
    exact: bool
    batch_key: Hashable | None
    rows: int

    @property
    def model(self) -> tuple[Digest, bool]:
        """Which session is to compute it."""
        return self.package, self.exact


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadyJob:
    """A job whose inputs were checked; its question is named if answers are kept."""

    job: Job
    dims: dict[str, int]
    question: Digest | None


def make_fault(error: Exception) -> Fault:
    """Make an outcome of a bug that a job met."""
    return Fault("runtime.broken", f"{type(error).__name__}: {error}", retryable=False)


def do_fit(ready: list[ReadyJob], joining: Joining) -> bool:
    """Whether checked jobs make one run: alike but for their rows, and not too many of those."""
    others = {tuple(sorted({**each.dims, joining.dim: 0}.items())) for each in ready}
    return len(others) == 1 and sum(each.dims[joining.dim] for each in ready) <= joining.most_rows


def deliver(batch: list[Job], job: Job, outcome: Outcome) -> None:
    """Hand over an outcome, once: the job leaves the list first."""
    batch.remove(job)
    # An event loop that has been closed says so this way; then nobody is waiting any more.
    with contextlib.suppress(RuntimeError):
        job.done(outcome)
