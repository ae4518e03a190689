"""Runs one of our own modules in a process that gets a file, a pipe and nothing else (`PUB-1`).

The process gets the file as standard input, an empty environment but for one figure, its own
session, and a pipe to write on. What it writes is bounded; if it dies, hangs or babbles, that is
said as a refusal. Must not know what is done with the file. Read next: `cell`, `expanding`.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import IO, Final

from probatum.errors import Fault, Refusal

__all__ = ["End", "Stage", "find_violence", "run_confined"]

_ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
"""Threads would be refused, and each reserves address space."""
_LAST_WORDS_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A stage of the work, which the process names on a line of its own when it begins.

    Attributes:
        name: That line; of the first stage, which it does not name, empty.
        doing: How a message calls it.
        seconds: A new clock, from its beginning; None goes on with the one that runs.
    """

    name: bytes
    doing: str
    seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a process ended.

    Attributes:
        doing: Its last stage.
        said: What it wrote after its stages.
        seconds: What its clock allowed.
    """

    doing: str
    said: bytes
    seconds: float
    is_late: bool
    is_babbling: bool
    status: int


def run_confined(
    command: tuple[str, ...],
    descriptor: int,
    stages: tuple[Stage, ...],
    *,
    limit_bytes: int,
) -> End:
    """Run a program on a file until it ends, is late, or says too much.

    Args:
        command: The interpreter's arguments; what they name confines itself before it reads.
        descriptor: The file, open for reading, regular.
        stages: In order; the first has a clock.
        limit_bytes: How much it may say.

    Raises:
        Fault: `sandbox.broken` if no process can be started.
    """
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
            (sys.executable, *command),
            stdin=descriptor,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd="/",
            env=_ENVIRONMENT,
            start_new_session=True,
        )
    except OSError as error:
        raise Fault("sandbox.broken", f"cannot start a process: {error.strerror}") from None
    assert process.stdout is not None, "it was asked for"
    try:
        return _listen(process, process.stdout, stages, limit_bytes)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def _listen(
    process: subprocess.Popen[bytes], pipe: IO[bytes], stages: tuple[Stage, ...], limit_bytes: int
) -> End:
    said, at, seconds = b"", 0, stages[0].seconds or 0.0
    deadline = time.monotonic() + seconds
    is_late, is_open = False, True
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        while is_open and len(said) <= limit_bytes:
            if not selector.select(timeout=max(0.0, deadline - time.monotonic())):
                is_late = True
                break
            piece = os.read(pipe.fileno(), 1 << 16)
            is_open = bool(piece)
            said += piece
            # Each stage once and in order: only so does the clock go on.
            while at + 1 < len(stages) and said.startswith(stages[at + 1].name):
                at += 1
                said = said.removeprefix(stages[at].name)
                fresh = stages[at].seconds
                if fresh is not None:
                    seconds, deadline = fresh, time.monotonic() + fresh
    if not is_late and not is_open:
        try:
            process.wait(timeout=_LAST_WORDS_SECONDS)
        except subprocess.TimeoutExpired:
            is_late = True
    return End(
        doing=stages[at].doing,
        said=said,
        seconds=seconds,
        is_late=is_late,
        is_babbling=len(said) > limit_bytes,
        status=process.poll() or 0,
    )


def find_violence(end: End) -> Refusal | None:
    """Find what stopped a process that did not end by itself; None if it did.

    Reasons: `admission.too-slow`, `admission.too-much-memory`, `admission.crashed`.
    """
    if end.is_late or end.status == -signal.SIGXCPU:
        return Refusal(
            "admission.too-slow",
            f"{end.doing} takes more than {end.seconds:g} s",
            hint="a model is to load and to answer a request of the smallest size in that time",
        )
    if end.status == -signal.SIGKILL:
        return Refusal(
            "admission.too-much-memory", f"the system ended the process while {end.doing}"
        )
    if end.is_babbling or end.status < 0:
        name = signal.Signals(-end.status).name if end.status < 0 else "it wrote without end"
        return Refusal(
            "admission.crashed",
            f"the examining process broke down while {end.doing} ({name})",
            hint="if you trust the file, report this",
        )
    return None
