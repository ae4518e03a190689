"""Tables as plain lines: the same on every terminal and in a file, nothing cut off.

Must not know who reads them.
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["format_table", "shorten"]

_GAP = "   "


def format_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Lay out rows below their columns' names; no names, no heading."""
    table = [*([columns] if columns else []), *rows]
    if not table:
        return ()
    widths = [max(len(row[place]) for row in table) for place in range(len(table[0]))]
    return tuple(
        _GAP.join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )


def shorten(address: str) -> str:
    """Show an address as people tell addresses apart: by its two ends."""
    return f"{address[:8]}…{address[-4:]}" if len(address) > 14 else address
