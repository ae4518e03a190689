"""Sums of float64: products split in two exact parts, then the ladder, then integers.

Slower by far than the narrower types, which BLAS serves. Read `ladder` next.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from probatum.canon.arith.formats import FLOAT64
from probatum.canon.arith.sums import (
    finish_mean,
    finish_products,
    finish_sum,
    sum_elements,
    sum_products,
)
from probatum.canon.evaluate.ladder import climb
from probatum.canon.evaluate.rounding import Indices
from probatum.canon.evaluate.values import Array, Doubles

__all__ = ["multiply_pairs", "multiply_wide", "sum_wide"]

GREATEST, LEAST = 2.0**400, 2.0**-400
"""Between these magnitudes, or at zero, products split without overflow or underflow."""
SPLITTER = 2.0**27 + 1


def _split(values: Doubles) -> tuple[Doubles, Doubles]:
    """Split into two halves of 26 bits (Veltkamp)."""
    scaled = values * SPLITTER
    high = scaled - (scaled - values)
    return high, values - high


def _two_products(one: Doubles, two: Doubles) -> Doubles:
    """Multiply rows exactly: products, then their rounding errors, twice as long (Dekker)."""
    product = one * two
    one_high, one_low = _split(one)
    two_high, two_low = _split(two)
    error = one_high * two_high - product
    error += one_high * two_low
    error += one_low * two_high
    error += one_low * two_low
    return np.concatenate((product, error), axis=1)


def _is_tame(values: Doubles) -> Array:
    """Tell which rows have ordinary magnitudes only."""
    size = np.abs(values)
    tame: Array = ((size == 0) | ((size > LEAST) & (size < GREATEST))).all(axis=-1)
    return tame


def _split_rows(tame: Array) -> tuple[Indices, Indices]:
    """List the rows for integers, and those for the ladder."""
    return np.flatnonzero(~tame), np.flatnonzero(tame)


def multiply_pairs(one: Doubles, two: Doubles) -> Doubles:
    """Compute the dot of each pair of rows, rounded once.

    Args:
        one: n, K.
        two: n, K.
    """
    out = np.empty(len(one))

    def settle(chosen: Indices) -> Array:
        return _from_bits(
            finish_products(FLOAT64, sum_products(FLOAT64, *(_to_bits(x[at]) for x in (one, two))))
            for at in chosen.tolist()
        )

    wild, tame = _split_rows(_is_tame(one) & _is_tame(two))
    if len(wild):
        out[wild] = settle(wild)
    if len(tame):
        out[tame] = climb(
            "float64",
            np.empty(len(tame)),  # asked of the halving rung alone
            2 * one.shape[1],
            lambda chosen: _two_products(one[tame[chosen]], two[tame[chosen]]),
            lambda chosen: settle(tame[chosen]),
        )
    return out


def multiply_wide(left: Doubles, right: Doubles, out: Doubles) -> None:
    """Compute Dot of float64: a[..., M, K] by b[..., N, K]."""
    batch, terms = out.shape[:-2], left.shape[-1]
    ones = np.broadcast_to(left, (*batch, *left.shape[-2:]))
    twos = np.broadcast_to(right, (*batch, *right.shape[-2:]))
    columns = out.shape[-1]
    step = max(1, (1 << 20) // (terms * columns))
    for at in np.ndindex(*batch):
        for begin in range(0, out.shape[-2], step):
            rows = ones[at][begin : begin + step]
            pairs = (np.repeat(rows, columns, axis=0), np.tile(twos[at], (len(rows), 1)))
            out[at][begin : begin + step] = multiply_pairs(*pairs).reshape(len(rows), columns)


def sum_wide(rows: Doubles, divisor: int = 1) -> Doubles:
    """Sum rows of float64, or compute their means, rounded once.

    Args:
        rows: n, K.
        divisor: How many a mean is of; 1 for a sum.
    """
    out = np.empty(len(rows))

    def settle(chosen: Indices, count: int = 1) -> Array:
        partials = (sum_elements(FLOAT64, _to_bits(rows[at])) for at in chosen.tolist())
        return _from_bits(
            finish_sum(FLOAT64, partial) if count == 1 else finish_mean(FLOAT64, partial, count)
            for partial in partials
        )

    wild, tame = _split_rows(_is_tame(rows) & (divisor & (divisor - 1) == 0))
    if len(wild):
        out[wild] = settle(wild, divisor)
    if len(tame):
        # A power of two divides after the rounding: no sum of tame terms is near the subnormals.
        out[tame] = climb(
            "float64",
            np.empty(len(tame)),
            rows.shape[1],
            lambda chosen: rows[tame[chosen]],
            lambda chosen: settle(tame[chosen]),
        )
        out[tame] /= divisor
    return out


def _to_bits(row: Doubles) -> list[int]:
    bits: list[int] = row.view(np.uint64).tolist()
    return bits


def _from_bits(bits: Iterable[int]) -> Doubles:
    return np.array(list(bits), np.uint64).view(np.float64)
