"""The flood path: a matrix product whose every step is exact (Ozaki, Ogita, Oishi, Rump 2012).

Rows are cut into slices of so few bits that a product of slices, summed by any BLAS in any order,
is exact in float64. So what would climb the ladder element by element is decided by a few matrix
products. Must not know where the matrices come from. Read `ladder` for the rounding of pairs.
"""

from __future__ import annotations

from math import ceil, log2
from typing import Final

import numpy as np

from probatum.canon.evaluate.ladder import settle_pairs
from probatum.canon.evaluate.rounding import Indices
from probatum.canon.evaluate.values import Array, Doubles, get_numpy_dtype
from probatum.canon.evaluate.workspace import CHUNK, Scratch, Workspace

__all__ = ["sum_by_slices"]

SLICES: Final = 3


def cut_slices(matrix: Doubles, terms: int) -> tuple[list[Doubles], Doubles]:
    """Cut rows into slices.

    Args:
        matrix: M, K; finite, magnitudes within 2**-300 .. 2**300 or zero.
        terms: K.

    Returns:
        At most `SLICES` slices, M, K, of floor((53 - log2 K) / 2) bits each; and a bound, M, of
        what is left of every element of a row.
    """
    kept = ceil((53 + ceil(log2(max(2, terms)))) / 2)
    rest = matrix.copy()
    _, exponents = np.frexp(np.abs(rest).max(axis=1, initial=0.0))
    sigma = np.ldexp(1.0, exponents + kept)[:, None]
    slices: list[Doubles] = []
    left = np.zeros(len(matrix))
    for _ in range(SLICES):
        cut = rest + sigma
        cut -= sigma
        rest -= cut
        slices.append(cut)
        left = np.abs(rest).max(axis=1, initial=0.0)
        if not left.any():
            break
        sigma = sigma * 2.0 ** (kept - 53)
    return slices, left


def sum_by_slices(
    left: Doubles, right: Doubles, dtype: str, ws: Workspace
) -> tuple[Array, Indices]:
    """Compute left @ right.T, rounded once, by exact products of slices.

    Args:
        left: M, K.
        right: N, K.
        dtype: What to round to: float32, float16 or bfloat16.
        ws: Where to work.

    Returns:
        The results, M, N, and flat indices of the undecided.
    """
    terms = left.shape[1]
    ones, one_left = cut_slices(left, terms)
    twos, two_left = cut_slices(right, terms)
    # |a b - sum of slices' products| <= |a - a'| |b| + |a'| |b - b'|, with |a'| <= 2 max|a|.
    one_most = np.abs(left).max(axis=1, initial=0.0)
    two_most = np.abs(right).max(axis=1, initial=0.0) * 2
    # Larger products first: what is added later can then hardly cancel what came before.
    order = sorted(((i, j) for i in range(len(ones)) for j in range(len(twos))), key=sum)
    parts = [_multiply_slices(ones[i], twos[j], sparse=max(i, j) > 1) for i, j in order]
    out = np.empty((len(left), len(right)), get_numpy_dtype(dtype))

    def work(_: Scratch, begin: int, end: int) -> Indices | None:
        total = parts[0][begin:end]
        error, missing = np.zeros_like(total), np.zeros_like(total)
        for part in parts[1:]:
            total, low = _two_sum(total, part[begin:end])
            error, lost = _two_sum(error, low)
            missing += np.abs(lost)
        total, error = _two_sum(total, error)
        missing += np.multiply.outer(one_left[begin:end], two_most * terms)
        missing += np.multiply.outer(2 * one_most[begin:end], two_left * terms)
        missing *= 1 + 2.0**-20
        pairs = (total.ravel(), error.ravel(), missing.ravel())
        bits, undecided = settle_pairs(dtype, pairs)
        out[begin:end] = bits.reshape(end - begin, -1)
        return undecided + begin * len(right) if len(undecided) else None

    found = ws.spread(len(left), max(1, CHUNK // max(1, len(right))), work)
    return out, np.concatenate(found) if found else np.empty(0, np.intp)


def _multiply_slices(one: Doubles, two: Doubles, *, sparse: bool) -> Doubles:
    """Multiply two slices; of late ones only the columns where both have something."""
    if sparse:
        columns = np.flatnonzero(one.any(axis=0) & two.any(axis=0))
        if 2 * len(columns) < one.shape[1]:
            one, two = one[:, columns], two[:, columns]
    product: Doubles = np.matmul(one, two.T)
    return product


def _two_sum(left: Doubles, right: Doubles) -> tuple[Doubles, Doubles]:
    total = left + right
    shadow = total - left
    low = total - shadow
    np.subtract(left, low, out=low)
    np.subtract(right, shadow, out=shadow)
    low += shadow
    return total, low
