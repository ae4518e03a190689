"""Paths as people type them. Must not know what lies there."""

from __future__ import annotations

from pathlib import Path

from probatum.errors import Refusal

__all__ = ["expand_home"]


def expand_home(path: Path) -> Path:
    """Put a home folder in the place of a leading ``~`` or ``~user``.

    Raises:
        Refusal: `settings.no-home` for a user who has none on this machine.
    """
    try:
        return path.expanduser()
    except RuntimeError:
        raise Refusal(
            "settings.no-home",
            f"{path}: nobody of that name has a home folder here",
            hint="write the path out; ./~name is a folder whose own name begins so",
        ) from None
