"""Finds the SPDX expression for what a file calls its licence."""

from __future__ import annotations

from typing import Final

__all__ = ["find_licence"]

_KNOWN: Final = {
    one.lower(): one
    for one in (
        "Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "CC-BY-4.0", "CC-BY-SA-4.0", "CC0-1.0",
        "GPL-3.0", "MIT",
    )
}  # fmt: skip


def find_licence(said: object) -> str:
    """Find an SPDX expression; nothing where the words are not one that is known."""
    return _KNOWN.get(said.lower(), "") if isinstance(said, str) else ""
