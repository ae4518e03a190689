"""An optional compiled kernel for the loops that numpy walks through memory several times.

Its C pages lie in `kernel`; one library a width of vectors, the widest that this processor has is
loaded. Bounds and results are those of the numpy pages. Read `trial` for how it comes to be used.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np

from probatum.canon.evaluate import libraries
from probatum.canon.evaluate.values import Array, Doubles

__all__ = ["Compiled", "find_libraries", "load_library", "load_widest"]

BUILT: Final = Path(__file__).parent / "kernel" / "built"

_AT, _LONG = ctypes.c_void_p, ctypes.c_long
_APPLY: Final = (_LONG, (_AT, _LONG, _AT, _AT))
_SIGNATURES: Final[libraries.Signatures] = {
    "level": (ctypes.c_int, ()),
    **dict.fromkeys(("exp", "sigmoid", "tanh", "erf", "log"), _APPLY),
    "round": (_LONG, (_AT, _AT, _AT, _LONG, _LONG, _LONG, _LONG, _AT, _AT)),
    "tall": (_LONG, ()),
    "wide": (_LONG, ()),
    "room": (_LONG, (_LONG,)),
    "pack_left": (None, (_AT, _LONG, _LONG, _LONG, _AT, _AT)),
    "pack_right": (None, (_AT, _LONG, _LONG, _LONG, _AT, _AT)),
    "multiply": (_LONG, (_AT, _AT, _AT, _AT, _AT, _AT, _AT, _AT)),
    "widen": (None, (_AT, _LONG, _LONG, _AT, _AT)),
    "widen_flipped": (None, (_AT, _LONG, _LONG, _LONG, _AT, _LONG, _AT)),
}


def find_libraries(folder: Path = BUILT) -> tuple[Path, ...]:
    """List the libraries that were built; see `libraries.find_libraries`."""
    return libraries.find_libraries(folder)


def load_library(path: Path) -> ctypes.CDLL:
    """Load one library. Raises OSError if it is none, or of another version."""
    return libraries.load_library(path, _SIGNATURES)


@cache
def load_widest() -> Compiled | None:
    """Load the library for this processor; None where none was built or loads."""
    loaded = libraries.load_widest(BUILT, _SIGNATURES)
    return None if loaded is None else Compiled(*loaded)


def _find(array: Array) -> int:
    """Find where an array's elements lie."""
    return int(array.ctypes.data)


class Compiled:
    """The functions of one library; arrays are contiguous, float32 unless float64 is said.

    Args:
        library: Of `load_library`.
        level: Of `libraries.LEVELS`.

    Attributes:
        multiplies: Whether it multiplies faster than a BLAS.
        wide: The columns of a product that a panel has.
    """

    def __init__(self, library: ctypes.CDLL, level: int) -> None:
        self.level = level
        self._library = library
        self._functions = {
            name.capitalize(): getattr(library, f"probatum_{name}")
            for name, signature in _SIGNATURES.items()
            if signature is _APPLY
        }
        self._tall, self.wide = int(library.probatum_tall()), int(library.probatum_wide())
        self.multiplies = level > 0

    def has(self, name: str) -> bool:
        """Tell whether there is a function of one element of this name."""
        return name in self._functions

    def apply(self, name: str, x: Array, out: Array, undecided: Array) -> int:
        """Compute a function of every element, NaN the canonical one.

        Args:
            name: Of a primitive.
            x: n.
            out: n.
            undecided: Takes the places of the undecided, n at most; int64.

        Returns:
            How many are undecided.
        """
        found = self._functions[name](_find(x), x.size, _find(out), _find(undecided))
        return int(found)

    def round(
        self,
        value: Doubles,
        bounds: Doubles,
        norms: Doubles,
        place: tuple[int, int],
        out: Array,
        undecided: Array,
    ) -> int:
        """Round values that are right to within bounds[i] * norms[(first + i) // height, j].

        Args:
            value: M, N; float64.
            bounds: M; float64.
            norms: ..., N; float64.
            place: The first row's number, and the rows that share norms.
            out: M, N.
            undecided: Takes flat places of the undecided; int64, M N.

        Returns:
            How many are undecided.
        """
        sides = _find(value), _find(bounds), _find(norms)
        found = self._library.probatum_round(
            *(*sides, *place, *value.shape, _find(out), _find(undecided))
        )
        return int(found)

    def widen(self, x: Array, out: Doubles, squares: Doubles) -> None:
        """Widen rows to float64, with the sums of their squares.

        Args:
            x: M, K.
            out: M, K; float64.
            squares: M; float64.
        """
        self._library.probatum_widen(_find(x), *x.shape, _find(out), _find(squares))

    def widen_flipped(self, x: Array, out: Doubles, squares: Doubles) -> None:
        """Widen matrices' rows to columns, with the sums of the rows' squares.

        Args:
            x: B M, K.
            out: B, K, M; float64; of one matrix the rows may lie apart.
            squares: B M; float64.
        """
        count, terms, rows = out.shape
        stride = out.strides[1] // 8
        self._library.probatum_widen_flipped(
            *(_find(x), count, rows, terms, _find(out), stride, _find(squares))
        )

    def pack_left(self, x: Array, squares: Doubles, take: Callable[[int], Doubles]) -> Doubles:
        """Lay out the left side of products, with the sums of rows' squares.

        Args:
            x: B, M, K.
            squares: B, M; float64.
            take: Gives an array of so many float64 for the result.
        """
        count, rows, terms = x.shape
        panels = take(count * -(-rows // self._tall) * self._tall * terms)
        self._library.probatum_pack_left(_find(x), *x.shape, _find(panels), _find(squares))
        return panels

    def pack_right(self, x: Array, squares: Doubles, take: Callable[[int], Array]) -> Array:
        """Lay out the right side of products; see `pack_left`. `take` gives float32."""
        count, rows, terms = x.shape
        panels = take(count * self.count_panels(rows) * self.wide * terms)
        self._library.probatum_pack_right(_find(x), *x.shape, _find(panels), _find(squares))
        return panels

    def count_panels(self, columns: int) -> int:
        """Count the panels of a right side's rows, which are the product's columns."""
        return -(-columns // self.wide)

    def count_room(self, chunk: int) -> int:
        """Count the float64 that `multiply` works in."""
        return int(self._library.probatum_room(chunk))

    def multiply(
        self,
        sides: tuple[Doubles, Array],
        bounds: tuple[Doubles, Doubles],
        terms: tuple[int, int],
        panels: tuple[int, int],
        out: Array,
        room: tuple[Array, Doubles],
    ) -> int:
        """Compute left @ right.T, rounded where bounds[b, i] * norms[b, j] allow it.

        Args:
            sides: Of `pack_left` and `pack_right`.
            bounds: B, M; and norms: B, N; float64.
            terms: K, and how many of them are summed in one register.
            panels: The first and the last but one of columns to be computed.
            out: B, M, N.
            room: Takes the undecided, flat places in out; and what `count_room` says.

        Returns:
            How many are undecided.
        """
        sizes = np.array((*out.shape, *terms, *panels), np.int64)
        found = self._library.probatum_multiply(
            *(_find(one) for one in (*sides, *bounds, sizes, out, *room))
        )
        return int(found)
