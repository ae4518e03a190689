"""Writing a trust file. Reading is the reader's: whoever names one says how large it may be."""

from __future__ import annotations

import os
from pathlib import Path

from probatum.errors import Fault
from probatum.protocol.trust import Trust, encode_trust

__all__ = ["save_trust"]


def save_trust(path: Path, trust: Trust) -> None:
    """Write a trust file, whole or not at all. Raises Fault `trust.unwritable`."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        fresh.write_bytes(encode_trust(trust) + b"\n")
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise Fault(
            "trust.unwritable",
            f"cannot write {path}: {error.strerror}",
            hint="its folder must be writable by who runs this",
            retryable=False,
        ) from None
