"""Which port each process had last, so that a network that is started again stays where it was.

A convenience and no promise: a port that somebody else took meanwhile is replaced. New ones are
none that the system gives to outgoing connections: those would be taken when a process wants its
own again. Must not know processes.
"""

from __future__ import annotations

import contextlib
import errno
import os
import random
import socket
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

__all__ = ["draw_ports", "is_free", "load_ports", "save_ports"]

_NAME: Final = "ports.json"
_FILE_BYTES: Final = 16 * 1024
_OUTGOING: Final = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LEAST: Final = 10_000
_TRIES: Final = 100
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


def draw_ports(
    count: int, *, host: str = "127.0.0.1", but: Collection[int] = ()
) -> tuple[int, ...]:
    """Draw different ports of this machine that nobody listens on.

    Args:
        count: How many.
        host: The address that they are to be listened on at.
        but: Ports that are spoken for.

    Raises:
        OSError: This machine has no such address.
    """
    drawn: list[int] = []
    with ExitStack() as stack:
        # All are held until all are drawn, so that none is drawn twice.
        while len(drawn) < count:
            door = stack.enter_context(socket.socket(_get_family(host)))
            port = _bind_anywhere(door, host)
            if port not in but:
                drawn.append(port)
    return tuple(drawn)


def _get_family(host: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in host else socket.AF_INET


def _bind_anywhere(door: socket.socket, host: str) -> int:
    """Bind to a free port below those of outgoing connections; to any if there is none."""
    end = _read_least_outgoing()
    for _ in range(_TRIES if end > _LEAST else 0):
        try:
            door.bind((host, random.SystemRandom().randrange(_LEAST, end)))
            break
        except OSError as error:
            if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
                raise
    else:
        door.bind((host, 0))
    port: int = door.getsockname()[1]
    return port


def _read_least_outgoing() -> int:
    try:
        return int(_OUTGOING.read_text().split()[0])
    except (OSError, ValueError, IndexError):
        return 0
