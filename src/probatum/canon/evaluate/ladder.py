"""The ladder for sums: what level 1 left undecided, by ever more exact means (`CANON-2`).

Rungs, each for what the one before left: a halving tree (error ceil(log2 n) u S), extraction (exact
but for bits 120 below the largest term), integers (`canon.arith`). All take the terms of some
elements as rows of a matrix, float64 and exact. Must not know which primitive sums.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, log2
from typing import Final, TypeAlias

import numpy as np

from probatum.canon.evaluate.rounding import (
    UNIT,
    Indices,
    compare_rounded,
    find_midpoints,
    round_to,
    settle_between,
)
from probatum.canon.evaluate.values import Array, Doubles, get_numpy_dtype

__all__ = ["EXTRACTIONS", "Gather", "Pairs", "Settle", "climb", "extract_sums", "settle_pairs"]

Gather: TypeAlias = Callable[[Indices], Doubles]
"""Terms of the elements that positions 0..n-1 choose: a row each, to be overwritten."""
Settle: TypeAlias = Callable[[Indices], Array]
"""The rounded results of the elements that positions choose, from integers."""
Pairs: TypeAlias = tuple[Doubles, Doubles, Doubles]
"""Sums as s + e, |e| <= u|s|, and a bound of what is missing; 0 where nothing is."""

EXTRACTIONS: Final = 4
FEW: Final = 2
"""Rounds that decide all but exact ties and sums that cancel to almost nothing."""
GATHERED: Final = 1 << 16
"""Terms that one round of the ladder holds at once: few enough for the cache."""


def climb(
    dtype: str,
    magnitudes: Doubles,
    terms: int,
    gather: Gather,
    settle: Settle,
    *,
    divisor: int = 1,
) -> Array:
    """Decide elements that are sums of terms, divided by an integer.

    Args:
        dtype: What to round to.
        magnitudes: Of each element in question, no less than the sum of its terms' magnitudes
            times 1 - 2**-20.
        terms: Of each.
        gather: Their terms; any finite float64, magnitudes within 2**-900 .. 2**900 or zero.
        settle: The last rung.
        divisor: Below 2**24; other than 1 not for float64.

    Returns:
        The rounded results, in order.
    """
    count = len(magnitudes)
    out = np.empty(count, get_numpy_dtype(dtype))
    step = max(1, GATHERED // max(1, terms))
    for begin in range(0, count, step):
        left = np.arange(begin, min(count, begin + step))
        if dtype != "float64":
            out[left], undecided = _sum_by_halving(dtype, gather(left), magnitudes[left], divisor)
            left = left[undecided]
        for rounds in (EXTRACTIONS,) if dtype == "float64" else (FEW, EXTRACTIONS):
            if len(left):
                pairs = extract_sums(gather(left), rounds)
                out[left], undecided = settle_pairs(dtype, pairs, divisor)
                left = left[undecided]
        if len(left):
            out[left] = settle(left)
    return out


def _sum_by_halving(
    dtype: str, rows: Doubles, magnitudes: Doubles, divisor: int
) -> tuple[Array, Indices]:
    """Sum rows by a tree: results, and the positions that are undecided."""
    # An odd element is added after its level's sum: each level counts twice. The magnitude's own
    # error and the widening for fl(v + d) are the 4 and the 2**-16.
    height = 2 * ceil(log2(max(2, rows.shape[1]))) + 4
    width = rows.shape[1]
    while width > 1:
        half = width // 2
        halves = rows[:, :half] + rows[:, half : 2 * half]
        if width % 2:
            halves[:, half - 1] += rows[:, width - 1]
        rows, width = halves, half
    value = rows[:, 0] if rows.shape[1] else np.zeros(len(rows))
    bound = magnitudes * (height * UNIT * (1 + 2.0**-16))
    if divisor != 1:
        value = value / divisor
        bound = bound / divisor * (1 + 2.0**-50)
    low, high = round_to(dtype, value - bound), round_to(dtype, value + bound)
    undecided = compare_rounded(low, high)
    return high, np.empty(0, np.intp) if undecided is None else undecided


def _two_sum(left: Doubles, right: Doubles) -> tuple[Doubles, Doubles]:
    """Add exactly: sum and its rounding error (Knuth)."""
    total = left + right
    shadow = total - left
    return total, (left - (total - shadow)) + (right - shadow)


def extract_sums(rows: Doubles, rounds: int = EXTRACTIONS) -> Pairs:
    """Sum rows by extraction (Rump, Ogita, Oishi 2008): the rows are overwritten.

    Each round cuts from all terms what lies above a common unit; the cuts' sum is exact in float64
    in any order, and so is what remains of every term.
    """
    count = max(1, rows.shape[1])
    shift = ceil(log2(count + 2))
    top = np.abs(rows).max(axis=1, initial=0.0)
    _, exponents = np.frexp(top)
    sigma = np.ldexp(1.0, exponents + shift)
    sigma[top == 0] = 0.0
    first, second = np.zeros(len(rows)), np.zeros(len(rows))
    missing, rest = np.zeros(len(rows)), np.zeros(len(rows))
    for _ in range(rounds):
        high = rows + sigma[:, None]
        high -= sigma[:, None]
        rows -= high
        first, error = _two_sum(first, high.sum(axis=1))
        second, error = _two_sum(second, error)
        missing += np.abs(error)
        sigma = sigma * 2.0 ** (shift - 53)
        rest = np.abs(rows).max(axis=1, initial=0.0)
        if not rest.any():
            break
    first, second = _two_sum(first, second)
    return first, second, (missing + rest * count) * (1 + 2.0**-20)


def settle_pairs(dtype: str, pairs: Pairs, divisor: int = 1) -> tuple[Array, Indices]:
    """Round sums given as pairs, exactly where nothing is missing, ties included.

    Returns:
        Results, and the positions that are undecided.
    """
    total, error, missing = pairs
    if dtype == "float64":
        # s = RN(s + e) already; a missing part decides only where it could reach the half way.
        slack = np.where(missing > 0, missing * (1 + 2.0**-40) + np.abs(error) * (4 * UNIT), 0.0)
        low, high = total + (error - slack), total + (error + slack)
        low[(total == 0) & (missing == 0)] = 0.0
        high[low == 0] += 0.0
        close = compare_rounded(low, high)
        return high, np.empty(0, np.intp) if close is None else close
    value = total / divisor
    slack = (np.abs(error) + missing) / divisor + np.abs(value) * (4 * UNIT)
    low, high = round_to(dtype, value - slack), round_to(dtype, value + slack)
    zero = (total == 0) & (missing == 0)
    low[zero] = high[zero] = 0
    close = compare_rounded(low, high)
    if close is None:
        return high, np.empty(0, np.intp)
    middles, near = find_midpoints(dtype, low[close], high[close])
    distance = (total[close] - middles * divisor) + error[close]
    sure = (np.abs(distance) * (1 - 2.0**-40) > missing[close]) | (missing[close] == 0)
    high[close] = settle_between(low[close], high[close], middles, np.sign(distance))
    return high, close[~(near & sure)]
