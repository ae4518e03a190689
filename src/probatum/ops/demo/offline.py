"""Verifying a receipt as a stranger does: another program, two files, and no network at all.

Where the system lets an ordinary user have an empty network namespace (`unshare`), the verifier
runs in one; elsewhere it runs plainly, and the demo says so. Must not know networks.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

__all__ = ["Verdict", "can_cut_off", "flip_bit", "verify"]

_TIMEOUT_S: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What `probatum receipt verify` said.

    Attributes:
        exit_code: 0 if the receipt holds, 1 if it does not.
        lines: What it printed.
        wall_ms: How long it took, the start of the program included.
    """

    exit_code: int
    lines: tuple[str, ...]
    wall_ms: int


def can_cut_off() -> bool:
    """Whether this user may run a program in a network namespace of its own."""
    if shutil.which("unshare") is None:
        return False
    probe = subprocess.run(
        ["unshare", "--map-root-user", "--net", "true"],  # noqa: S607 - the system's own
        capture_output=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
    return probe.returncode == 0


def verify(bundle: Path, trust: Path, *, cut_off: bool) -> Verdict:
    """Run ``probatum receipt verify BUNDLE --trust TRUST`` in a process of its own."""
    command = [sys.executable, "-P", "-m", "probatum.cli", "receipt", "verify"]
    command += [str(bundle), "--trust", str(trust)]
    if cut_off:
        command = ["unshare", "--map-root-user", "--net", *command]
    began = time.monotonic()
    done = subprocess.run(  # noqa: S603 - our own program, paths of ours
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
        stdin=subprocess.DEVNULL,
    )
    wall_ms = round((time.monotonic() - began) * 1000)
    lines = tuple((done.stdout + done.stderr).strip().splitlines())
    return Verdict(exit_code=done.returncode, lines=lines, wall_ms=wall_ms)


def flip_bit(data: bytes, bit: int) -> bytes:
    """Return the bytes with one bit changed."""
    changed = bytearray(data)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)
