"""Keeps what examinations of packages found, so that a package is examined once a node (`PUB-1`).

A verdict is kept under the package's digest and the name of the checker that gave it, so a new
checker examines anew. What is kept lies with the node's own files and is trusted like them. Must
not know what verdicts say: they are bytes here.
"""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Final

from probatum.errors import Refusal
from probatum.hub.files import disk_faults, read_bounded, write_flushed
from probatum.protocol import limits
from probatum.protocol.primitives import Digest

__all__ = ["VerdictShelf"]

_VERDICT_BYTES: Final = 64 * limits.KIB


class VerdictShelf:
    """A folder of verdicts."""

    def __init__(self, root: Path) -> None:
        """Name the folder; it is made when something is put there."""
        self._root = root

    def get(self, digest: Digest, checker: str) -> bytes | None:
        """Get what a checker said of a package, None if nothing usable is kept.

        Raises:
            Fault: `hub.disk`.
        """
        try:
            with disk_faults("cannot read a kept verdict"):
                return read_bounded(self._place(digest, checker), _VERDICT_BYTES)
        except Refusal:
            return None

    def put(self, digest: Digest, checker: str, verdict: bytes) -> None:
        """Keep what a checker said of a package, all or nothing.

        Raises:
            Fault: `hub.disk`.
        """
        with disk_faults("cannot keep a verdict"):
            self._root.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=self._root, prefix=".incoming-") as work:
                fresh = Path(work) / "verdict"
                write_flushed(fresh, iter((verdict,)))
                os.replace(fresh, self._place(digest, checker))  # noqa: PTH105 - atomic by contract

    def _place(self, digest: Digest, checker: str) -> Path:
        return self._root / f"{digest.hex()}.{re.sub(r'[^A-Za-z0-9.+-]', '_', checker)[:100]}.json"
