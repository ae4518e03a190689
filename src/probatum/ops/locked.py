"""Which versions of other people's libraries this one was tested with: its lock file.

A wheel brings the lock along; a checkout has it among its requirements. Must not know what is
installed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import probatum

__all__ = ["load_locked"]

_PACKAGE: Final = Path(probatum.__file__).parent
_PLACES: Final = (
    _PACKAGE / "ops" / "run.lock",
    _PACKAGE.parent.parent / "requirements" / "run.txt",
)
_LINE: Final = re.compile(
    r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^\]]*\])?==([^\s;\\]+)", re.MULTILINE
)


def load_locked(places: tuple[Path, ...] = _PLACES) -> Mapping[str, tuple[str, ...]]:
    """Load name to versions (one for each Python); nothing where there is no lock."""
    for place in places:
        try:
            text = place.read_text(encoding="utf-8")
        except OSError:
            continue
        found: dict[str, tuple[str, ...]] = {}
        for name, version in _LINE.findall(text):
            found[name.lower()] = (*found.get(name.lower(), ()), version)
        return found
    return {}
