"""The steps of a decoder by a small compiled kernel, where it was built: the same bits, faster.

Its C pages lie in `kernel`; what they leave undecided is computed by `pure`. Several libraries are
built, each for vectors of another width; the widest that this processor has is loaded.
"""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from probatum.canon.evaluate import libraries
from probatum.canon.evaluate.values import Array
from probatum.runtime.text.matrices import AnyMatrix, Matrix
from probatum.runtime.text.products import settle_products
from probatum.runtime.text.pure import PureKernel
from probatum.runtime.text.steps import Floats, Heads, Marks, Part

__all__ = ["CompiledKernel", "find_libraries", "load_library"]

BUILT: Final = Path(__file__).parent / "kernel" / "built"
_ROOM: Final = 1 << 14
"""Undecided elements that a call tells the places of."""

_POINTER = ctypes.c_void_p
_LONG = ctypes.c_long
_SIGNATURES: Final[libraries.Signatures] = {
    "level": (ctypes.c_int, ()),
    "open_pool": (_POINTER, (ctypes.c_int,)),
    "close_pool": (None, (_POINTER,)),
    "multiply": (
        _LONG,
        (
            *(_POINTER, _POINTER, _POINTER, _LONG, _LONG, _POINTER, _LONG),
            *(_POINTER, _POINTER, _POINTER, _LONG, _POINTER),
        ),
    ),
    "multiply_blocks": (
        _LONG,
        (
            *(_POINTER, _LONG, _POINTER, _POINTER, _LONG, _LONG, _POINTER, _LONG),
            *(_POINTER, _POINTER, _POINTER, _LONG, _POINTER),
        ),
    ),
    "norm": (
        _LONG,
        (_POINTER, _POINTER, ctypes.c_float, _LONG, _LONG, _POINTER, _POINTER),
    ),
    "gate": (_LONG, (_POINTER, _LONG, _LONG, _POINTER, _POINTER, _LONG)),
    "attend": (
        None,
        (
            *(_POINTER, _POINTER, _POINTER, _LONG, _POINTER, _POINTER),
            *(_LONG, _LONG, _LONG, _LONG, ctypes.c_float, _POINTER, _POINTER, _POINTER),
        ),
    ),
}


def find_libraries(folder: Path = BUILT) -> tuple[Path, ...]:
    """List the libraries that were built; see `libraries.find_libraries`."""
    return libraries.find_libraries(folder)


def load_library(path: Path) -> ctypes.CDLL:
    """Load one library. Raises OSError if it is none, or of another version."""
    return libraries.load_library(path, _SIGNATURES)


@cache
def load_widest() -> tuple[ctypes.CDLL, int] | None:
    """Load the library for this processor, and its level; None where none was built or loads."""
    return libraries.load_widest(BUILT, _SIGNATURES)


class CompiledKernel:
    """The compiled steps.

    Args:
        library: Of `load_library`.
        threads: Worked on at a time; no bit depends on it.
        name: What it is called.
    """

    def __init__(self, library: ctypes.CDLL, threads: int = 1, name: str = "compiled") -> None:
        self.name = name
        self._library = library
        self._pure = PureKernel()
        self._pool = library.probatum_open_pool(threads)
        self._undecided = np.empty(_ROOM, np.int64)
        self._undecided_at = self._undecided.ctypes.data
        self._scratch = np.empty(0)
        self._kept: dict[int, tuple[Array, int]] = {}
        self._parts: tuple[tuple[Part, ...], NDArray[np.int64]] = ((), np.empty((0, 8), np.int64))

    def close(self) -> None:
        """Let threads go."""
        if self._pool is not None:
            self._library.probatum_close_pool(self._pool)
            self._pool = None
        self._kept.clear()

    def norm(self, x: Floats, weight: Floats, epsilon: np.float32) -> Floats:
        """Divide by the root of the mean square; see `Kernel`."""
        count, width = x.shape
        out = np.empty_like(x)
        found = self._library.probatum_norm(
            _find(x),
            self._keep(weight),
            float(epsilon),
            count,
            width,
            _find(out),
            self._take(count),
        )
        if found:
            rows = self._undecided[:found]
            out[rows] = self._pure.norm(x[rows], weight, epsilon)
        return out

    def multiply(self, x: Floats, matrix: AnyMatrix, marks: Marks) -> Floats:
        """Multiply by a matrix; see `Kernel`."""
        count, terms = x.shape
        columns = len(matrix.norms)
        out = np.empty((count, columns), np.float32)
        if self._scratch.size < count + terms:
            self._scratch = np.empty(count + terms)
        rest = (
            *(self._keep(matrix.norms), columns, terms, _find(x), count, _find(out), _find(marks)),
            *(self._undecided_at, self._undecided.size, _find(self._scratch)),
        )
        if isinstance(matrix, Matrix):
            found = self._library.probatum_multiply(self._pool, self._keep(matrix.rows), *rest)
        else:
            found = self._library.probatum_multiply_blocks(
                self._pool, matrix.form.value, self._keep(matrix.blocks), *rest
            )
        if found > self._undecided.size:
            return self._pure.multiply(x, matrix, marks)
        if found:
            at = np.divmod(self._undecided[:found], columns)
            settle_products(x.astype(np.float64), matrix.read, out, at)
        return out

    def attend(
        self, projected: Floats, parts: tuple[Part, ...], layer: int, heads: Heads, marks: Marks
    ) -> Floats:
        """Attend; see `Kernel`."""
        if self._parts[0] is not parts:
            self._parts = (parts, _describe(parts))
        out = np.zeros((len(projected), heads.queries * heads.width), np.float32)
        open_ = np.zeros((len(parts), heads.keys), np.int32)
        self._library.probatum_attend(
            *(self._pool, _find(projected), _find(self._parts[1]), len(parts)),
            *(self._keep(heads.cosines), self._keep(heads.sines)),
            *(heads.queries, heads.keys, heads.width),
            *(layer, float(heads.scale), _find(out), _find(marks), _find(open_)),
        )
        for part in (parts[place] for place in np.flatnonzero(open_.any(axis=1))):
            rows = slice(part.begin, part.begin + part.count)
            if not marks[rows].any():
                cut = projected[rows].reshape(part.count, -1, heads.width)
                queries = np.ascontiguousarray(cut[:, : heads.queries])
                self._pure.mix_part(queries, part, layer, out[rows])
        return out

    def gate(self, both: Floats) -> Floats:
        """Gate; see `Kernel`."""
        count, width = len(both), both.shape[1] // 2
        out = np.empty((count, width), np.float32)
        found = self._library.probatum_gate(
            *(_find(both), count, width, _find(out), self._undecided_at, self._undecided.size)
        )
        if found > self._undecided.size:
            return self._pure.gate(both)
        if found:
            rows, places = np.divmod(self._undecided[:found], width)
            pairs = np.stack((both[rows, places], both[rows, places + width]), axis=1)
            out[rows, places] = self._pure.gate(pairs)[:, 0]
        return out

    def _keep(self, weight: Array) -> int:
        """Find where a weight lies, once: to ask numpy costs as much as a small step."""
        found = self._kept.get(id(weight))
        if found is None:
            # Kept itself, so that nothing else gets its id.
            found = self._kept[id(weight)] = (weight, _find(weight))
        return found[1]

    def _take(self, count: int) -> int:
        """Take room for so many undecided: its address."""
        if self._undecided.size < count:
            self._undecided = np.empty(count, np.int64)
            self._undecided_at = self._undecided.ctypes.data
        return self._undecided_at


def _find(array: Array) -> int:
    """Find where an array's elements lie: C-contiguous, or it is a caller's mistake."""
    assert array.flags.c_contiguous, "the kernel reads rows that lie one after another"
    return array.ctypes.data


def _describe(parts: tuple[Part, ...]) -> NDArray[np.int64]:
    rows = [
        (
            *(part.begin, part.count, part.cache.length),
            *(_find(part.cache.keys), _find(part.cache.values)),
            *(_find(part.cache.norms), _find(part.cache.most), part.cache.room),
        )
        for part in parts
    ]
    return np.array(rows, np.int64)
