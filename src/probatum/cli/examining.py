"""Examines ONNX files for commands, in the sandbox, and says what was found.

Must not know packages' stores or networks.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from probatum.cli.places import expand_home
from probatum.errors import Fault, Refusal
from probatum.runtime.sandbox.cell import examine_model
from probatum.runtime.sandbox.verdict import Verdict

__all__ = ["describe_verdict", "examine_file", "list_refused"]


def examine_file(path: Path) -> Verdict:
    """Examine the file that a person named, through links if need be: they chose it.

    Raises:
        Refusal: `settings.no-file`.
        Fault: `settings.unreadable`, `sandbox.broken`.
    """
    try:
        descriptor = os.open(expand_home(path), os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError):
        raise Refusal("settings.no-file", f"there is no file {path}") from None
    except OSError as error:
        raise Fault(
            "settings.unreadable", f"cannot read {path}: {error.strerror}", retryable=False
        ) from None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise Refusal("settings.no-file", f"{path} is no regular file")
        return examine_model(descriptor)
    finally:
        os.close(descriptor)


def describe_verdict(verdict: Verdict) -> dict[str, str]:
    """Describe how an examination went, for people; nothing if the file was refused."""
    if not verdict.is_admitted:
        return {}
    run = (
        f"{verdict.run_us / 1000:.3f} ms"
        if verdict.run_us is not None
        else "none: it does not take zeros of the smallest shape"
    )
    return {
        "admitted": "yes: it stands alone, and loads in a process that may do nothing else",
        "load": f"{verdict.load_ms} ms",
        "sample run": run,
        "memory": f"{verdict.peak_bytes / 2**20:.0f} MiB at most, the engine's own included",
    }


def list_refused(verdict: Verdict) -> tuple[str, ...]:
    """List why a file is not admitted, for people."""
    lines = ["not admitted:"]
    for reason in verdict.reasons:
        lines.append(f"  {reason.code}: {reason.message}")
        if reason.hint:
            lines.append(f"    hint: {reason.hint}")
    return tuple(lines)
