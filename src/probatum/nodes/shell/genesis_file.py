"""The genesis document as a file: read, checked, and named where it is not what it should be.

Must not know what a chain does with it. Read next: `probatum.ledger.genesis`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from probatum.errors import Refusal
from probatum.ledger.genesis import GENESIS_BYTES, Genesis, decode_genesis
from probatum.nodes.shell.config import read_small_file

__all__ = ["load_genesis"]

_HINT: Final = "any other node of the network has the same document"


def load_genesis(path: Path) -> Genesis:
    """Load a genesis document.

    Raises:
        Refusal: `config.missing`; with the file's name, as `decode_genesis`.
        Fault: `config.unreadable`.
    """
    try:
        data = read_small_file(path, limit_bytes=GENESIS_BYTES)
    except Refusal as refusal:
        raise Refusal(refusal.code, refusal.message, hint=_HINT) from None
    try:
        return decode_genesis(data)
    except Refusal as refusal:
        said = f"{path}: {refusal.message}"
        raise Refusal(refusal.code, said, hint=refusal.hint or _HINT) from None
