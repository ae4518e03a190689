"""The unix socket that the engine connects to: bound by one living process, for its own user alone.

A socket that a dead process left behind is removed; anything else at that path is not touched.
"""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Final

from probatum.errors import Fault

__all__ = ["MAX_PATH_BYTES", "bind_socket", "remove_socket"]

MAX_PATH_BYTES: Final = 107
"""What Linux and Go take as a socket's path, its closing zero left out."""
_ASK_S: Final = 2.0


def bind_socket(path: Path) -> tuple[socket.socket, int]:
    """Bind a socket, mode 0600, not listening yet: nobody can connect before the mode is set.

    A path that is longer than a socket's name can be is bound through its folder's descriptor;
    whoever connects must then run in that folder and name the socket alone.

    Returns:
        The socket, and the number of its file, which `remove_socket` wants.

    Raises:
        Fault: `abci.socket-path` (the name too long, or no folder of ours), `abci.not-a-socket`,
            `abci.socket-in-use`.
    """
    try:
        folder = os.open(path.parent, os.O_PATH | os.O_DIRECTORY)
    except OSError as error:
        raise _refuse_path(path, str(error.strerror)) from None
    try:
        return _bind_at(path, _name_socket(path, folder))
    finally:
        os.close(folder)


def remove_socket(path: Path, inode: int) -> None:
    """Remove a socket of ours; somebody else's that stands there by now is left alone."""
    try:
        if path.lstat().st_ino == inode:
            path.unlink()
    except FileNotFoundError:
        return


def _name_socket(path: Path, folder: int) -> str:
    """Name a socket so that the kernel takes it."""
    for name in (str(path), f"/proc/self/fd/{folder}/{path.name}"):
        if len(os.fsencode(name)) <= MAX_PATH_BYTES:
            return name
    raise _refuse_path(path, f"a socket's name has at most {MAX_PATH_BYTES} bytes")


def _bind_at(path: Path, name: str) -> tuple[socket.socket, int]:
    _remove_if_dead(path, name)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        bound.setblocking(False)  # noqa: FBT003 - its only argument
        bound.bind(name)
        path.chmod(0o600)
        return bound, path.lstat().st_ino
    except OSError as error:
        bound.close()
        raise _refuse_path(path, str(error.strerror)) from None


def _remove_if_dead(path: Path, name: str) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise Fault(
            "abci.not-a-socket",
            f"{path} is no socket",
            hint="move it away; only a dead socket is removed",
            retryable=False,
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(_ASK_S)
        try:
            asking.connect(name)
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return
        except OSError:
            pass  # somebody is there, or it is not ours to ask
    raise Fault(
        "abci.socket-in-use",
        f"somebody listens at {path} already",
        hint="stop the other process of this node",
    )


def _refuse_path(path: Path, why: str) -> Fault:
    return Fault(
        "abci.socket-path",
        f"{path} cannot be a socket: {why}",
        hint="the folder must exist and be writable, and the socket's own name be short",
        retryable=False,
    )
