"""Takes rights away from the process that runs this, for ever (`PUB-1`). Linux.

`limit_resources` comes first: memory, processor time, no written file, no further process, no
core dump, an end with the parent's. `close_doors` comes when all code is loaded: no descriptor can
be opened any more, hence no file and no socket, whoever asks; and, where the system permits it, a
user and a network of its own, without which a process of root could take limits back. What
remains even so: reading what is open already, and signals to processes of the same user. Must not
know what is examined.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
from typing import Final

__all__ = ["close_doors", "limit_resources"]

_NEW_USER: Final = 0x10000000
_NEW_NETWORK: Final = 0x40000000
_SET_PARENT_DEATH_SIGNAL: Final = 1
_SET_NO_NEW_PRIVILEGES: Final = 38
_FILES_WHILE_LOADING: Final = 64


def limit_resources(*, memory_bytes: int, cpu_seconds: int, parent: int) -> None:
    """Bound what this process may use.

    Args:
        memory_bytes: Address space in all, what it holds already included.
        cpu_seconds: Processor time in all.
        parent: Process id of the parent; if it has gone already, this process ends too.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    libc.prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
    libc.prctl(_SET_NO_NEW_PRIVILEGES, 1, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)
    for kind, limit in (
        (resource.RLIMIT_AS, memory_bytes),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, _FILES_WHILE_LOADING),
        (resource.RLIMIT_NPROC, 0),
    ):
        _lower(kind, limit)
    # Soft before hard: the first comes with a signal that tells why, the second just kills.
    with contextlib.suppress(ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 1))


def close_doors() -> bool:
    """Let this process open nothing any more.

    Returns:
        Whether it has a network of its own now, an empty one.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    has_own_network: bool = libc.unshare(_NEW_USER | _NEW_NETWORK) == 0
    _lower(resource.RLIMIT_NOFILE, 0)
    return has_own_network


def _lower(kind: int, limit: int) -> None:
    """Lower a limit, soft and hard; where the outside is stricter already, that stays."""
    _, hard = resource.getrlimit(kind)
    most = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    with contextlib.suppress(ValueError):
        resource.setrlimit(kind, (most, most))
