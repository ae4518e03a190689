"""Whether this machine can run a node: Python, libraries, disk, what the system lets a process do.

Must not know homes' contents beyond their size. Read next: `doctor`.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import sys
import time
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Final

from probatum import __version__
from probatum.canon.evaluate.trial import CompiledFacts, explain_compiled
from probatum.ops.findings import Finding
from probatum.ops.locked import load_locked
from probatum.runtime.text.kernels import KernelFacts, explain_kernel

__all__ = ["inspect_limits", "inspect_machine"]

_LEAST_PYTHON: Final = (3, 11)
_DISK_FAIL_BYTES: Final = 256 << 20
_DISK_WARN_BYTES: Final = 2 << 30
_DAYS_FAIL: Final = 2.0
_DAYS_WARN: Final = 30.0
_DAY_S: Final = 86_400.0
_YOUNG_S: Final = 3_600.0
"""A home younger than this says nothing about a day."""
_NODE_LIBRARIES: Final = ("onnxruntime", "starlette", "uvicorn", "uvloop")
_LIBRARIES: Final = ("blake3", "coincurve", "httptools", "msgspec", "numpy", "pynacl")
_FILES_FAIL: Final = 256
_FILES_WARN: Final = 4_096 + 256
"""A door takes 4,096 connections; files, pipes and calls to others come on top."""
_SPACE_WARN_BYTES: Final = 16 << 30
"""Address space, not memory: threads and mapped models reserve far more than they use."""
_MEMORY_WARN_SHARE: Final = 0.8


def inspect_machine(folder: Path) -> tuple[Finding, ...]:
    """Inspect the machine.

    Args:
        folder: Where data lies or will lie: its disk is the one that matters.
    """
    return (
        _inspect_python(),
        _inspect_versions(load_locked()),
        _inspect_kernel("evaluation", explain_compiled()),
        _inspect_kernel("kernel", explain_kernel()),
        _inspect_disk(folder),
    )


def inspect_limits(needed_bytes: int = 0) -> tuple[Finding, ...]:
    """Inspect what the system lets this user's processes have.

    Args:
        needed_bytes: What a node's own limits add up to; 0 if there is no node.
    """
    return (_inspect_files(), _inspect_space(), *_inspect_memory(needed_bytes))


def _inspect_python() -> Finding:
    running = f"{platform.python_implementation()} {platform.python_version()}"
    running += f" on {platform.system()} {platform.machine()}"
    if sys.version_info[:2] < _LEAST_PYTHON:
        return Finding(
            check="python", status="fail", detail=running, advice="use Python 3.11 or newer"
        )
    if sys.byteorder != "little" or platform.system() != "Linux":
        advice = "nodes are tested on little-endian Linux only"
        return Finding(check="python", status="warn", detail=running, advice=advice)
    return Finding(check="python", status="ok", detail=running)


def _inspect_versions(locked: Mapping[str, tuple[str, ...]]) -> Finding:
    found, missing, others = [f"probatum {__version__}"], [], []
    for library in (*_LIBRARIES, *_NODE_LIBRARIES):
        try:
            version = metadata.version(library)
        except metadata.PackageNotFoundError:
            missing.append(library)
            continue
        found.append(f"{library} {version}")
        if version not in locked.get(library, (version,)):
            others.append(f"{library} {version}, not {' or '.join(locked[library])}")
    detail = ", ".join(found)
    if missing:
        return Finding(
            check="versions",
            status="warn" if set(missing) <= set(_NODE_LIBRARIES) else "fail",
            detail=f"{detail}; missing: {', '.join(missing)}",
            advice="clients work without; to run a node install probatum[node]",
        )
    if others:
        return Finding(
            check="versions",
            status="warn",
            detail=f"{'; '.join(others)} (of {detail})",
            advice="install what was tested: pip install --require-hashes -r requirements/run.txt",
        )
    detail += "; as locked" if locked else "; there is no lock to hold them to"
    return Finding(check="versions", status="ok", detail=detail)


def _inspect_kernel(check: str, found: CompiledFacts | KernelFacts) -> Finding:
    """Say what computes: numpy does without a compiler, so a kernel's absence is no failure."""
    if found.fault:
        advice = "build it again with another compiler (CC), or with PROBATUM_NO_KERNEL=1 none"
        return Finding(check=check, status="warn", detail=found.detail, advice=advice)
    return Finding(check=check, status="ok", detail=found.detail)


def _inspect_disk(folder: Path) -> Finding:
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    try:
        free = shutil.disk_usage(place).free
        used, age_s = _measure_home(folder)
    except OSError as error:
        advice = "look at the disk and at who may read it"
        detail = f"{place}: {error.strerror}"
        return Finding(check="disk", status="fail", detail=detail, advice=advice)
    detail = f"{free >> 20} MiB ({free} bytes) free at {place}"
    days = None
    if used and age_s >= _YOUNG_S:
        a_day = used * _DAY_S / age_s
        days = free / a_day
        days_text = f"{days:.0f}" if days < 10_000 else "more than 10000"
        detail += f"; the home has {used >> 20} MiB and grew by {a_day / (1 << 20):.1f} MiB a day"
        detail += f" so far: enough for {days_text} days"
    if free < _DISK_FAIL_BYTES or (days is not None and days < _DAYS_FAIL):
        advice = "free some space now: a node whose journal cannot grow stops"
        return Finding(check="disk", status="fail", detail=detail, advice=advice)
    if free < _DISK_WARN_BYTES or (days is not None and days < _DAYS_WARN):
        return Finding(check="disk", status="warn", detail=detail, advice="free some space soon")
    return Finding(check="disk", status="ok", detail=detail)


def _measure_home(home: Path) -> tuple[int, float]:
    """Measure what a node has written since its keys were made: bytes, and seconds since."""
    try:
        born = (home / "keys" / "operating.json").stat().st_mtime
    except OSError:
        return 0, 0.0
    used = 0
    for path in home.iterdir():
        if path.is_file():
            used += path.stat().st_size
    return used, max(0.0, time.time() - born)


def _inspect_files() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    endless = soft == resource.RLIM_INFINITY
    detail = f"{'no limit' if endless else soft} (hard: {_say_limit(hard)})"
    if endless or soft >= _FILES_WARN:
        return Finding(check="open files", status="ok", detail=detail)
    advice = f"ulimit -n {_FILES_WARN}, or LimitNOFILE={_FILES_WARN} in the service's unit"
    status = Finding(check="open files", status="warn", detail=detail, advice=advice)
    if soft >= _FILES_FAIL:
        return status
    return Finding(check="open files", status="fail", detail=detail, advice=advice)


def _inspect_space() -> Finding:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    detail = _say_limit(soft)
    if soft != resource.RLIM_INFINITY and soft < _SPACE_WARN_BYTES:
        advice = "ulimit -v unlimited; bound memory by the service's MemoryMax instead"
        return Finding(check="address space", status="warn", detail=detail, advice=advice)
    return Finding(check="address space", status="ok", detail=detail)


def _inspect_memory(needed_bytes: int) -> tuple[Finding, ...]:
    if not needed_bytes:
        return ()
    try:
        has = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
        if limit.isdecimal():
            has = min(has, int(limit))
    except (OSError, ValueError):
        has = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    detail = f"the node's limits add up to {needed_bytes >> 20} MiB of {has >> 20} MiB"
    if needed_bytes > has * _MEMORY_WARN_SHARE:
        advice = "lower the settings in node.toml that are counted in bytes"
        return (Finding(check="memory", status="warn", detail=detail, advice=advice),)
    return (Finding(check="memory", status="ok", detail=detail),)


def _say_limit(value: int) -> str:
    return "no limit" if value == resource.RLIM_INFINITY else str(value)
