"""Whether this machine can run a node: Python, libraries, disk. Must not know homes' contents."""

from __future__ import annotations

import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Final

from probatum import __version__
from probatum.ops.findings import Finding

__all__ = ["inspect_machine"]

_LEAST_PYTHON: Final = (3, 11)
_DISK_FAIL_BYTES: Final = 256 << 20
_DISK_WARN_BYTES: Final = 2 << 30
_NODE_LIBRARIES: Final = ("onnxruntime", "starlette", "uvicorn", "uvloop")
_LIBRARIES: Final = ("blake3", "coincurve", "httptools", "msgspec", "numpy", "pynacl")


def inspect_machine(folder: Path) -> tuple[Finding, ...]:
    """Inspect the machine.

    Args:
        folder: Where data lies or will lie: its disk is the one that matters.
    """
    return (_inspect_python(), _inspect_versions(), _inspect_disk(folder))


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


def _inspect_versions() -> Finding:
    found, missing = [f"probatum {__version__}"], []
    for library in (*_LIBRARIES, *_NODE_LIBRARIES):
        try:
            found.append(f"{library} {metadata.version(library)}")
        except metadata.PackageNotFoundError:
            missing.append(library)
    detail = ", ".join(found)
    if not missing:
        return Finding(check="versions", status="ok", detail=detail)
    return Finding(
        check="versions",
        status="warn" if set(missing) <= set(_NODE_LIBRARIES) else "fail",
        detail=f"{detail}; missing: {', '.join(missing)}",
        advice="clients work without; to run a node install probatum[node]",
    )


def _inspect_disk(folder: Path) -> Finding:
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        return Finding(check="disk", status="fail", detail=f"{folder}: {error.strerror}")
    detail = f"{free >> 20} MiB free at {folder}"
    if free < _DISK_FAIL_BYTES:
        advice = "free some space: a node whose journal cannot grow must stop"
        return Finding(check="disk", status="fail", detail=detail, advice=advice)
    if free < _DISK_WARN_BYTES:
        return Finding(check="disk", status="warn", detail=detail, advice="free some space soon")
    return Finding(check="disk", status="ok", detail=detail)
