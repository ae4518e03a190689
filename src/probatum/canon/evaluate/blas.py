"""The OpenBLAS that numpy brings along, spoken to directly: its threads, and sums of products.

No bit depends on it. Where another BLAS is found its own settings hold, and numpy adds instead.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from probatum.canon.evaluate.values import Doubles

__all__ = ["add_product", "limit_blas"]

PREFIXES: Final = ("scipy_", "")
SUFFIXES: Final = ("64_", "")


ROW_MAJOR, PLAIN, TRANSPOSED = 101, 111, 112
"""What CBLAS calls them."""


@cache
def _find_library() -> tuple[ctypes.CDLL, str, str] | None:
    """Find the OpenBLAS that numpy loaded, and what surrounds the names in it."""
    folders = (Path(np.__file__).parent.parent / "numpy.libs", Path(np.__file__).parent / ".dylibs")
    for path in sorted(found for folder in folders for found in folder.glob("*openblas*")):
        try:
            library = ctypes.CDLL(str(path))
        except OSError:
            continue
        for prefix in PREFIXES:
            for suffix in SUFFIXES:
                if hasattr(library, f"{prefix}openblas_set_num_threads{suffix}"):
                    return library, prefix, suffix
    return None


@cache
def _find_controls() -> tuple[Any, Any] | None:
    """Find what sets and what gets the number of threads."""
    found = _find_library()
    if found is None:
        return None
    library, prefix, suffix = found
    names = (f"{prefix}openblas_{verb}_num_threads{suffix}" for verb in ("set", "get"))
    return library[next(names)], library[next(names)]


@cache
def _find_product() -> Any:
    """Find cblas_dgemm with 64-bit sizes; None where it is not there."""
    found = _find_library()
    if found is None or found[2] != "64_":
        return None
    library, prefix, suffix = found
    name = f"{prefix}cblas_dgemm{suffix}"
    if not hasattr(library, name):
        return None
    product = library[name]
    whole, real, place = ctypes.c_int64, ctypes.c_double, ctypes.c_void_p
    flags: tuple[Any, ...] = (ctypes.c_int, ctypes.c_int, ctypes.c_int)
    sides: tuple[Any, ...] = (place, whole, place, whole, real, place, whole)
    product.argtypes = (*flags, whole, whole, whole, real, *sides)
    product.restype = None
    return product


def add_product(left: Doubles, right: Doubles, out: Doubles) -> bool:
    """Add left @ right.T to out, one addition an element; False where that cannot be done so.

    Args:
        left: M, K; rows contiguous.
        right: N, K; rows or columns contiguous.
        out: M, N; rows contiguous.
    """
    product = _find_product()
    flipped = _has_rows(right.T)
    sides = (left, right.T if flipped else right, out)
    if product is None or not all(_has_rows(side) for side in sides):
        return False
    (rows, terms), columns = left.shape, right.shape[0]
    strides = [side.strides[0] // 8 for side in sides]
    product(
        *(ROW_MAJOR, PLAIN, PLAIN if flipped else TRANSPOSED, rows, columns, terms, 1.0),
        *(left.ctypes.data, strides[0], right.ctypes.data, strides[1]),
        *(1.0, out.ctypes.data, strides[2]),
    )
    return True


def _has_rows(matrix: Doubles) -> bool:
    """Tell whether CBLAS can read a matrix: float64, rows contiguous and not overlapping."""
    return (
        matrix.dtype == np.float64
        and matrix.ndim == 2
        and min(matrix.shape) > 0
        and matrix.strides[1] == 8
        and matrix.strides[0] % 8 == 0
        and matrix.strides[0] >= 8 * matrix.shape[1]
    )


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
