"""Matrices that products are taken with: float32 where they lie, or in quantised blocks.

Blocks are decoded when their rows are read, never all together; what they stand for is float32 all
the same, so that no bit of a product depends on the form (`CANON-7`). Read `products` next.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from probatum.canon.evaluate.rounding import Indices
from probatum.canon.evaluate.values import Array, Doubles
from probatum.canon.expand.language.blocks import BLOCK_TERMS, WeightForm, decode_blocks

__all__ = ["AnyMatrix", "BlockMatrix", "Matrix", "make_matrix"]

Floats: TypeAlias = NDArray[np.float32]
Blocks: TypeAlias = NDArray[np.uint8]

_CHUNK: Final = 1 << 20
"""Elements that are decoded at a time."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """A matrix of float32.

    Attributes:
        rows: float32 [N, K], C-contiguous, finite.
        norms: Euclidean norms of the rows, [N]: the true ones times at most 1 ± 2**-20.
    """

    rows: Floats
    norms: Doubles

    def read(self, at: Array | tuple[Indices, ...]) -> Floats:
        """Read rows: float32 [.., K]."""
        return self.rows[at]

    def widen(self, first: int, last: int, out: Doubles) -> None:
        """Widen some rows, one after another."""
        np.copyto(out, self.rows[first:last])


@dataclass(frozen=True, slots=True)
class BlockMatrix:
    """A matrix that was born quantised.

    Attributes:
        form: Of its blocks.
        blocks: uint8 [N, bytes], C-contiguous; scales and offsets are finite.
        norms: As those of `Matrix`.
    """

    form: WeightForm
    blocks: Blocks
    norms: Doubles

    @property
    def terms(self) -> int:
        """Elements of a row."""
        return int(self.blocks.shape[1]) // self.form.block_bytes * BLOCK_TERMS

    def read(self, at: Array | tuple[Indices, ...]) -> Floats:
        """Read rows: float32 [.., K]."""
        return decode_blocks(self.form, self.blocks[at])

    def widen(self, first: int, last: int, out: Doubles) -> None:
        """Widen some rows, one after another."""
        np.copyto(out, decode_blocks(self.form, self.blocks[first:last]))


AnyMatrix: TypeAlias = Matrix | BlockMatrix


def make_matrix(form: WeightForm, rows: Array) -> AnyMatrix:
    """Make a matrix of what a file holds, and take its norms: not finite where an element is not.

    Args:
        form: Of the rows.
        rows: float32 [N, K], or uint8 [N, bytes].
    """
    if form is WeightForm.FLOAT32:
        return Matrix(rows, _measure(rows[some] for some in _split(rows, rows.shape[1])))
    terms = rows.shape[1] // form.block_bytes * BLOCK_TERMS
    decoded = (decode_blocks(form, rows[some]) for some in _split(rows, terms))
    return BlockMatrix(form, rows, _measure(decoded))


def _split(rows: Array, terms: int) -> Iterator[slice]:
    step = max(1, _CHUNK // terms)
    return (slice(begin, begin + step) for begin in range(0, len(rows), step))


def _measure(pieces: Iterator[Floats]) -> Doubles:
    # Squares of float32 do not overflow in float64.
    squares = [np.vecdot(wide, wide) for wide in (piece.astype(np.float64) for piece in pieces)]
    norms: Doubles = np.sqrt(np.concatenate(squares))
    return norms
