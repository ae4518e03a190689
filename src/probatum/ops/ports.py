"""Which port each process had last, so that a network that is started again stays where it was.

A convenience and no promise: a port that somebody else took meanwhile is replaced. Must not know
processes.
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

__all__ = ["load_ports", "save_ports"]

_NAME: Final = "ports.json"
_FILE_BYTES: Final = 16 * 1024
_Ports = dict[str, Annotated[int, Meta(ge=0, lt=1 << 16)]]


def load_ports(folder: Path) -> dict[str, int]:
    """Load the ports by process name; none if they cannot be read."""
    try:
        with (folder / _NAME).open("rb") as file:
            return msgspec.json.decode(file.read(_FILE_BYTES), type=_Ports)
    except (OSError, msgspec.MsgspecError):
        return {}


def save_ports(folder: Path, ports: dict[str, int]) -> None:
    """Save the ports, all or nothing; a disk that does not want them is no misfortune."""
    fresh = folder / f".{_NAME}.{os.getpid()}"
    with contextlib.suppress(OSError):
        fresh.write_bytes(msgspec.json.encode(dict(sorted(ports.items()))) + b"\n")
        fresh.replace(folder / _NAME)
