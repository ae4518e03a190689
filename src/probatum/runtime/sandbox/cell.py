"""Has a file examined in a process of its own, and makes a verdict of whatever comes (`PUB-1`).

The file is examined where it lies, so the caller compares the verdict's SHA-256 with what it means
to load. Must not know what is examined. Read next: `process`, `child`.
"""

from __future__ import annotations

import os
from typing import Final

import msgspec

from probatum.errors import Fault, Refusal
from probatum.runtime.sandbox.bounds import SandboxBounds
from probatum.runtime.sandbox.process import Stage, find_violence, run_confined
from probatum.runtime.sandbox.verdict import (
    VERDICT_BYTES,
    Verdict,
    decode_verdict,
    refuse,
)

__all__ = ["examine_model"]

_COMMAND: Final = ("-I", "-B", "-m", "probatum.runtime.sandbox.child")


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
    end = run_confined(
        (*_COMMAND, msgspec.json.encode(allowed).decode()),
        descriptor,
        (
            Stage(name=b"", doing="starting", seconds=allowed.load_seconds),
            Stage(name=b"form\n", doing="reading it"),
            Stage(name=b"load\n", doing="loading it"),
            Stage(name=b"run\n", doing="running it", seconds=allowed.run_seconds),
        ),
        limit_bytes=VERDICT_BYTES,
    )
    reason = find_violence(end)
    if reason is not None:
        size = os.fstat(descriptor).st_size
        return Verdict(sha256="0" * 64, size=size, reasons=refuse((reason,)))
    try:
        return decode_verdict(end.said.removesuffix(b"\n"))
    except Refusal as refusal:
        raise Fault(
            "sandbox.broken",
            f"the examining process gave no verdict while {end.doing} "
            f"(exit status {end.status}; {refusal.code})",
            hint="can this Python import probatum by itself?",
            retryable=False,
        ) from None
