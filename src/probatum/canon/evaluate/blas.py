"""How many threads numpy's BLAS uses: asked of OpenBLAS itself, where numpy brought it along.

No bit depends on it. Where another BLAS is found nothing happens, and its own settings hold.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

__all__ = ["limit_blas"]

PREFIXES: Final = ("scipy_openblas", "openblas")
SUFFIXES: Final = ("64_", "")


@cache
def _find_controls() -> tuple[ctypes._NamedFuncPointer, ctypes._NamedFuncPointer] | None:
    """Find what sets and what gets the number of threads, in the library that numpy loaded."""
    folders = (Path(np.__file__).parent.parent / "numpy.libs", Path(np.__file__).parent / ".dylibs")
    for path in sorted(found for folder in folders for found in folder.glob("*openblas*")):
        try:
            library = ctypes.CDLL(str(path))
        except OSError:
            continue
        for name in ((prefix, suffix) for prefix in PREFIXES for suffix in SUFFIXES):
            setter, getter = (f"{name[0]}_{verb}_num_threads{name[1]}" for verb in ("set", "get"))
            if hasattr(library, setter) and hasattr(library, getter):
                return library[setter], library[getter]
    return None


@contextmanager
def limit_blas(threads: int) -> Iterator[None]:
    """Let matrix products use so many threads, and as many as before afterwards."""
    controls = _find_controls()
    if controls is None:
        yield
        return
    set_threads, get_threads = controls
    before = get_threads()
    if before == threads:
        yield
        return
    set_threads(threads)
    try:
        yield
    finally:
        set_threads(before)
