"""What the driver needs of whatever runs models. Must not know engines."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from probatum.errors import ProbatumError
from probatum.protocol.primitives import Digest
from probatum.protocol.tensors import Tensor

__all__ = ["Computer", "Done", "More", "Text", "Writer"]

Done: TypeAlias = Callable[[tuple[Tensor, ...] | ProbatumError], None]
"""Takes the outcome, once, on any thread."""


class Computer(Protocol):
    """How models are run: `probatum.runtime.worker.ComputePool`."""

    def answer(
        self, package: Digest, tensors: tuple[Tensor, ...]
    ) -> tuple[Tensor, ...] | ProbatumError | None:
        """Compute a job of class `float` at once if that takes moments; else None."""
        ...

    def submit(self, package: Digest, tensors: tuple[Tensor, ...], done: Done) -> None:
        """Queue a job of class `float`. Raises Refusal."""
        ...

    def submit_exact(self, package: Digest, tensors: tuple[Tensor, ...], done: Done) -> None:
        """Queue a job of class `exact` (`EXACT-1`). Raises Refusal."""
        ...


class More(Protocol):
    """Takes further tokens of a text, in order, on any thread; never after the outcome."""

    def __call__(self, ids: tuple[int, ...], logprobs: bytes = b"", /) -> None:
        """Take them, and their packed logprobs where those are wanted."""
        ...


class Text(Protocol):
    """A text that is being written."""

    def cancel(self) -> None:
        """End it with the tokens that it has; harmless if it has ended."""
        ...


class Writer(Protocol):
    """How language models write: `probatum.nodes.inference.text_shelf.TextShelf`."""

    def write(
        self,
        package: Digest,
        tensors: tuple[Tensor, ...],
        nonce: bytes,
        prefix: tuple[int, ...],
        more: More,
        done: Done,
        *,
        top_logprobs: int | None = None,
    ) -> Text:
        """Begin a text (`TEXT-1`). Raises Refusal, Fault."""
        ...
