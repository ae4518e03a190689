"""Whether a process runs on a home, and what the system lets *it* have.

Looks into ``/proc`` alone: taking the home's lock to see whether it is free could keep a node from
starting. Must not know networks.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from probatum.ops.findings import Finding

__all__ = ["find_holder", "inspect_process"]

_PROC: Final = Path("/proc")
_LOCK: Final = re.compile(r"FLOCK\s+\S+\s+\S+\s+(\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) ")
_RSS: Final = re.compile(r"^VmRSS:\s+(\d+) kB", re.MULTILINE)
_FILES: Final = re.compile(r"^Max open files\s+(\S+)", re.MULTILINE)


def inspect_process(home: Path) -> tuple[Finding, ...]:
    """Inspect the process that holds a home; it is no fault if there is none."""
    check = "process"
    pid = find_holder(home)
    if pid is None:
        detail = f"none runs on {home}"
        return (Finding(check=check, status="skip", detail=detail),)
    try:
        rss = _RSS.search((_PROC / str(pid) / "status").read_text())
        files = _FILES.search((_PROC / str(pid) / "limits").read_text())
    except OSError:
        return (Finding(check=check, status="ok", detail=f"{pid} runs, somebody else's"),)
    held = f", {int(rss[1]) >> 10} MiB" if rss else ""
    may = f", may open {files[1]} files" if files else ""
    return (Finding(check=check, status="ok", detail=f"{pid} runs{held}{may}"),)


def find_holder(home: Path, locks: Path = _PROC / "locks") -> int | None:
    """Find the process that holds a home's lock; None if nobody does, or nobody may know."""
    try:
        lock = (home / "lock").stat()
        listed = locks.read_text()
    except OSError:
        return None
    for pid, major, minor, inode in _LOCK.findall(listed):
        device = (int(major, 16), int(minor, 16))
        same = device == (os.major(lock.st_dev), os.minor(lock.st_dev))
        # Locks of processes in another container have no process id here.
        if same and int(inode) == lock.st_ino and int(pid) > 0:
            return int(pid)
    return None
