"""Plain files, read with bounds and written to last.

Reads follow no link, soft or hard, open nothing but regular files and stop at the size that was
promised. Writes are on the disk when they return. Must not know packages.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from probatum.errors import Fault, Refusal
from probatum.protocol.primitives import Digest, make_digest

__all__ = [
    "disk_faults",
    "flush_folder",
    "hash_file",
    "open_regular",
    "read_bounded",
    "write_flushed",
]

_CHUNK_BYTES: Final = 1 << 20


@contextlib.contextmanager
def disk_faults(what: str) -> Iterator[None]:
    """Turn the operating system's errors into Faults with a hint.

    Raises:
        Fault: `hub.disk`.
    """
    try:
        yield
    except OSError as error:
        hint = "free some disk" if error.errno in {errno.ENOSPC, errno.EDQUOT} else ""
        raise Fault("hub.disk", f"{what}: {error.strerror or error}", hint=hint) from error


@contextlib.contextmanager
def open_regular(path: Path) -> Iterator[int]:
    """Open a regular file for reading, through no link; gives its descriptor.

    A file that has a second name is refused too (`PUB-1`): whoever unpacks a stranger's archive
    may find a name in it that is a file of their own, and what is written to one is in both.

    Raises:
        Refusal: `package.missing-file`, `package.symlink`, `package.hard-link`,
            `package.odd-file`.
    """
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except (FileNotFoundError, NotADirectoryError):
        raise Refusal("package.missing-file", f"{path.name} is not there") from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise Refusal("package.symlink", f"{path.name} is a symbolic link") from None
        if error.errno == errno.ENXIO:
            raise Refusal("package.odd-file", f"{path.name} is no regular file") from None
        raise
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise Refusal("package.odd-file", f"{path.name} is no regular file")
        if found.st_nlink > 1:
            raise Refusal(
                "package.hard-link",
                f"{path.name} is also a file of another name (a hard link)",
                hint="copy the folder; a copy has files of its own",
            )
        yield descriptor
    finally:
        os.close(descriptor)


def read_bounded(path: Path, limit_bytes: int) -> bytes:
    """Read a whole file of at most so many bytes.

    Raises:
        Refusal: `package.too-large` and those of `open_regular`.
    """
    with open_regular(path) as descriptor:
        pieces: list[bytes] = []
        left = limit_bytes + 1
        while left and (piece := os.read(descriptor, min(left, _CHUNK_BYTES))):
            pieces.append(piece)
            left -= len(piece)
    if not left:
        raise Refusal("package.too-large", f"{path.name} has more than {limit_bytes} bytes")
    return b"".join(pieces)


def hash_file(path: Path, limit_bytes: int) -> Digest:
    """Compute SHA-256 of a file in constant memory.

    Raises:
        Refusal: `package.too-large` and those of `open_regular`.
    """
    state = hashlib.sha256()
    left = limit_bytes + 1
    with open_regular(path) as descriptor:
        while left and (piece := os.read(descriptor, min(left, _CHUNK_BYTES))):
            state.update(piece)
            left -= len(piece)
    if not left:
        raise Refusal("package.too-large", f"{path.name} has more than {limit_bytes} bytes")
    return make_digest(state.digest())


def write_flushed(path: Path, pieces: Iterator[bytes]) -> None:
    """Write a new file, and return when it is on the disk."""
    with path.open("xb") as file:
        for piece in pieces:
            file.write(piece)
        file.flush()
        os.fsync(file.fileno())


def flush_folder(folder: Path) -> None:
    """Return when the names in a folder are on the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
