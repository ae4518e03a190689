"""Which port each process had last, so that a network that is started again stays where it was.

A convenience and no promise: a port that somebody else took meanwhile is replaced. Must not know
processes.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

__all__ = ["draw_port", "is_free", "load_ports", "save_ports"]

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


def is_free(port: int) -> bool:
    """Whether a port of this machine can be listened on; its last user may be just gone."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def draw_port() -> int:
    """Draw a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
