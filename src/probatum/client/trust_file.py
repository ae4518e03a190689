"""Writing a trust file. Reading is the reader's: whoever names one says how large it may be."""

from __future__ import annotations

import os
from pathlib import Path

from probatum.client.whole_files import write_whole
from probatum.protocol.trust import Trust, encode_trust

__all__ = ["save_trust"]


def save_trust(path: Path, trust: Trust) -> None:
    """Write a trust file, whole or not at all; where a link leads, so that who shares it gets it.

    Raises:
        Fault: `store.cannot-write`.
    """
    write_whole(Path(os.path.realpath(path)), encode_trust(trust) + b"\n", 0o644)
