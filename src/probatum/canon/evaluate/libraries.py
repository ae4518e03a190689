"""Loads compiled libraries, one built for each width of vectors: the widest that may run here.

Whoever loads one says which functions it must have: a library of another version is none. Must not
know what they compute.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

__all__ = ["LEVELS", "Signatures", "find_libraries", "load_library", "load_widest"]

LEVELS: Final[Mapping[int, str]] = {4: "AVX-512", 3: "AVX2", 0: "this processor's least vectors"}
"""Of vectors, the widest first; 3 has FMA too, 0 is what every processor of the kind has."""

Signatures: TypeAlias = Mapping[str, tuple[Any, tuple[Any, ...]]]
"""Result and arguments of every function, by its name without ``probatum_``; ``level`` is one."""


def find_libraries(folder: Path) -> tuple[Path, ...]:
    """List the libraries that were built, the widest vectors first."""
    found = (folder / f"kernel-{level}.so" for level in LEVELS)
    return tuple(path for path in found if path.is_file())


def load_library(path: Path, signatures: Signatures) -> ctypes.CDLL:
    """Load one library.

    Raises:
        OSError: It is none, or of another version.
    """
    library = ctypes.CDLL(str(path))
    for name, (result, arguments) in signatures.items():
        function = getattr(library, f"probatum_{name}", None)
        if function is None:
            raise OSError(f"{path} has no probatum_{name}")
        function.restype = result
        function.argtypes = arguments
    return library


def load_widest(folder: Path, signatures: Signatures) -> tuple[ctypes.CDLL, int] | None:
    """Load the library for this processor, and its level; None where none was built or loads."""
    # The narrowest runs everywhere, and tells what this processor has.
    for path in reversed(find_libraries(folder)):
        try:
            most = int(load_library(path, signatures).probatum_level())
            break
        except OSError:
            continue
    else:
        return None
    for path in find_libraries(folder):
        level = int(path.stem.partition("-")[2])
        if level <= most:
            try:
                return load_library(path, signatures), level
            except OSError:
                continue
    return None
