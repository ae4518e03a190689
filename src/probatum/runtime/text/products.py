"""Products of float32 rows, rounded once: the test of what BLAS sums, and the ladder after it.

Weights stay where they lie: what is undecided has its rows decoded and widened again (`CANON-2`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np

from probatum.canon.arith.formats import FLOAT32
from probatum.canon.arith.sums import finish_products, sum_products
from probatum.canon.evaluate.ladder import climb
from probatum.canon.evaluate.rounding import Indices
from probatum.canon.evaluate.values import Array, Doubles
from probatum.runtime.text.steps import Floats

__all__ = ["climb_pairs", "round_products", "settle_products"]

_SETTLED: Final = 1 << 20
"""Terms that are settled at a time."""


def round_products(
    value: Doubles, factors: Doubles, norms: Doubles, out: Floats
) -> tuple[Indices, ...] | None:
    """Round values that are right to within factors[i]·norms[j], NaN to anything.

    Args:
        value: [.., M, N].
        factors: [.., M].
        norms: [.., N].
        out: [.., M, N].

    Returns:
        Where it is undecided, an array for each axis; None where it is nowhere.
    """
    bound = factors[..., None] * norms[..., None, :]
    # Beyond float32 is an infinity, as the graph has it. Threads of a pool begin with numpy's own
    # settings, not their caller's.
    with np.errstate(over="ignore"):
        low = (value - bound).astype(np.float32)
        bound += value
        out[...] = bound
    differ = low.view(np.uint32) != out.view(np.uint32)
    return differ.nonzero() if differ.any() else None


def settle_products(
    left: Doubles,
    read: Callable[[tuple[Indices, ...]], Array],
    out: Floats,
    at: tuple[Indices, ...],
) -> None:
    """Settle single products by the ladder.

    Args:
        left: [.., M, K], float64 of float32.
        read: Gives rows of the other, [.., N, K], as float32 where they are needed.
        out: [.., M, N].
        at: Where it is undecided, an array for each axis.
    """
    step = max(1, _SETTLED // left.shape[-1])
    for begin in range(0, len(at[0]), step):
        *stack, row, column = (one[begin : begin + step] for one in at)
        out[(*stack, row, column)] = climb_pairs(left[(*stack, row)], read((*stack, column)))


def climb_pairs(left: Doubles, right: Array) -> Floats:
    """Compute the product of each row with the other's of its number by the ladder.

    Args:
        left: [n, K], float64 of float32.
        right: [n, K], float32.
    """
    wide = right.astype(np.float64)
    wide *= left
    magnitudes = np.abs(wide).sum(axis=1)

    def settle(chosen: Indices) -> Array:
        bits = [
            finish_products(
                FLOAT32,
                sum_products(
                    FLOAT32,
                    left[one].astype(np.float32).view(np.uint32).tolist(),
                    np.ascontiguousarray(right[one]).view(np.uint32).tolist(),
                ),
            )
            for one in chosen.tolist()
        ]
        return np.array(bits, np.uint32).view(np.float32)

    return climb("float32", magnitudes, wide.shape[1], lambda chosen: wide[chosen], settle)
