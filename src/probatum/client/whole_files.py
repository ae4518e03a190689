"""Files that appear whole or not at all, and are on disk when the call returns.

Must not know what is in them.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from probatum.errors import Fault

__all__ = ["write_whole"]


def write_whole(path: Path, data: bytes, mode: int) -> None:
    """Write a file and flush it, making its folder if need be.

    Raises:
        Fault: `store.cannot-write`.
    """
    draft = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            draft.replace(path)
        finally:
            draft.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise Fault(
            "store.cannot-write",
            f"{path}: {error.strerror}",
            hint="is the disk full, or the folder another's?",
        ) from None
