"""Starts an examining process, waits for its verdict, and ends it whatever it does (`PUB-1`).

The process gets the file as standard input, an empty environment but for one figure, its own
session, and a pipe to write on: nothing else. What it writes is bounded; if it dies, hangs or
babbles, that is a verdict too. The file is examined where it lies, so the caller compares the
verdict's SHA-256 with what it means to load. Must not know what is examined. Read next: `child`.
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

import msgspec

from probatum.errors import Fault, Refusal
from probatum.runtime.sandbox.bounds import SandboxBounds
from probatum.runtime.sandbox.verdict import (
    VERDICT_BYTES,
    Verdict,
    decode_verdict,
    refuse,
)

__all__ = ["examine_model"]

_COMMAND: Final = ("-I", "-B", "-m", "probatum.runtime.sandbox.child")
_ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "1"}
"""Threads would be refused, and each reserves address space."""
_LAST_WORDS_SECONDS: Final = 5.0
_STAGES: Final = (b"form\n", b"load\n", b"run\n")
_DOING: Final = ("starting", "reading it", "loading it", "running it")
_RUN: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class _End:
    """How a process ended: how many stages it began, and what stopped it."""

    stage: int
    said: bytes
    is_late: bool
    is_babbling: bool
    status: int


def examine_model(descriptor: int, bounds: SandboxBounds | None = None) -> Verdict:
    """Examine an ONNX file in a process of its own.

    Args:
        descriptor: The file, open for reading, regular.
        bounds: What the process may use.

    Returns:
        The verdict; reasons `admission.crashed`, `admission.too-slow`,
        `admission.too-much-memory` say how the process ended if it gave none itself.

    Raises:
        Fault: `sandbox.broken` if the process could not do its work for a reason of its own.
    """
    allowed = msgspec.structs.replace(bounds or SandboxBounds(), parent=os.getpid())
    os.lseek(descriptor, 0, os.SEEK_SET)
    try:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter, our own module
            (sys.executable, *_COMMAND, msgspec.json.encode(allowed).decode()),
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
        end = _listen(process, process.stdout, allowed)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()
    return _judge(end, os.fstat(descriptor).st_size, allowed)


def _listen(process: subprocess.Popen[bytes], pipe: IO[bytes], allowed: SandboxBounds) -> _End:
    """Hear what a process says until it ends, is late or says too much."""
    said, stage = b"", 0
    deadline = time.monotonic() + allowed.load_seconds
    is_late = is_open = False
    with selectors.DefaultSelector() as selector:
        selector.register(pipe, selectors.EVENT_READ)
        is_open = True
        while is_open and len(said) <= VERDICT_BYTES:
            if not selector.select(timeout=max(0.0, deadline - time.monotonic())):
                is_late = True
                break
            piece = os.read(pipe.fileno(), 1 << 16)
            is_open = bool(piece)
            said += piece
            # Each stage once and in order: only so does the clock go on.
            while stage < _RUN and said.startswith(_STAGES[stage]):
                said = said.removeprefix(_STAGES[stage])
                stage += 1
                if stage == _RUN:
                    deadline = time.monotonic() + allowed.run_seconds
    if not is_late and not is_open:
        try:
            process.wait(timeout=_LAST_WORDS_SECONDS)
        except subprocess.TimeoutExpired:
            is_late = True
    return _End(
        stage=stage,
        said=said,
        is_late=is_late,
        is_babbling=len(said) > VERDICT_BYTES,
        status=process.poll() or 0,
    )


def _judge(end: _End, size: int, allowed: SandboxBounds) -> Verdict:
    doing = _DOING[end.stage]
    reason: Refusal | None = None
    if end.is_late or end.status == -signal.SIGXCPU:
        seconds = allowed.run_seconds if end.stage == _RUN else allowed.load_seconds
        reason = Refusal(
            "admission.too-slow",
            f"{doing} takes more than {seconds:g} s",
            hint="a model is to load and to answer a request of the smallest size in that time",
        )
    elif end.status == -signal.SIGKILL:
        reason = Refusal("admission.too-much-memory", f"the system ended the process while {doing}")
    elif end.is_babbling or end.status < 0:
        name = signal.Signals(-end.status).name if end.status < 0 else "it wrote without end"
        reason = Refusal(
            "admission.crashed",
            f"the examining process broke down while {doing} ({name})",
            hint="if you trust the file, report this",
        )
    if reason is not None:
        return Verdict(sha256="0" * 64, size=size, reasons=refuse((reason,)))
    try:
        return decode_verdict(end.said.removesuffix(b"\n"))
    except Refusal as refusal:
        raise Fault(
            "sandbox.broken",
            f"the examining process gave no verdict while {doing} "
            f"(exit status {end.status}; {refusal.code})",
            hint="can this Python import probatum by itself?",
            retryable=False,
        ) from None
