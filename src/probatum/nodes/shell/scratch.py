"""A scratch file: runs of bytes that memory shall not hold, gone when the process ends.

The file has no name, so nothing of it is found after a crash: whoever puts something here can make
it again from the journal. Must not know what a run is.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from probatum.errors import Fault, Misuse

__all__ = ["ScratchFile"]


class ScratchFile:
    """Runs of one size, by number; a `Shelf` of `probatum.protocol.hash_rows`."""

    def __init__(self, folder: Path, *, run_bytes: int) -> None:
        """Make an empty file on the disk of a folder. Raises Fault `scratch.failed`."""
        self._run_bytes = run_bytes
        self._count = 0
        try:
            self._file = tempfile.TemporaryFile(dir=folder, buffering=0)  # noqa: SIM115
        except OSError as error:
            raise _fail(error) from error

    def put(self, run: bytes) -> int:
        """Put a run and return its number. Raises Fault `scratch.failed`."""
        if len(run) != self._run_bytes:
            raise Misuse("scratch.wrong-size", f"a run of {len(run)} bytes, not {self._run_bytes}")
        number = self._count
        place, view = number * self._run_bytes, memoryview(run)
        try:
            while view:
                written = os.pwrite(self._file.fileno(), view, place)
                place, view = place + written, view[written:]
        except OSError as error:
            raise _fail(error) from error
        self._count += 1
        return number

    def get(self, number: int) -> bytes:
        """Get a run. Raises Fault `scratch.failed`, Misuse `scratch.no-such-run`."""
        if not 0 <= number < self._count:
            raise Misuse("scratch.no-such-run", f"there are {self._count} runs, no {number}")
        try:
            run = os.pread(self._file.fileno(), self._run_bytes, number * self._run_bytes)
        except OSError as error:
            raise _fail(error) from error
        if len(run) != self._run_bytes:
            raise _fail(OSError(0, "the file is shorter than what was written"))
        return run

    def close(self) -> None:
        """Let go of the file, and with it of its content."""
        self._file.close()


def _fail(error: OSError) -> Fault:
    return Fault(
        "scratch.failed",
        f"cannot keep a scratch file in the node's home: {error.strerror}",
        hint="free disk space or repair the disk, then start the node again",
        retryable=False,
    )
