"""Whether this machine computes as the bounds assume; asked once, before anything is evaluated.

Assumed: float64 BLAS sums K products by K - 1 additions in some order, fused or not; subnormals
are neither flushed nor read as zero; + - * / and sqrt round to nearest, ties to even; numpy
reports overflow and invalid operations. docs/spec/evaluation.md says where each is used.
"""

from __future__ import annotations

from functools import cache
from math import fsum, isqrt
from typing import Final

import numpy as np

from probatum.canon.evaluate.values import Array, Doubles
from probatum.canon.evaluate.workspace import Flags
from probatum.errors import Fault

__all__ = ["check_arithmetic", "check_arithmetic_once"]

HINT: Final = (
    "the canonical result needs IEEE 754 arithmetic and an ordinary BLAS: use a stock build of "
    "numpy, and set no flag that flushes subnormals"
)
SIZES: Final = ((3, 5, 40), (64, 64, 256), (1, 200, 300), (130, 7, 513))


def check_arithmetic() -> None:
    """Check what the bounds assume, on samples.

    Raises:
        Fault: `canon.unsound-arithmetic`, not retryable.
    """
    for name, holds in (
        ("subnormal numbers are flushed to zero", _keeps_subnormals()),
        ("division or square root is not rounded correctly", _rounds_correctly()),
        ("the BLAS does not sum products as it should", _is_blas_conventional()),
        ("numpy does not report invalid operations", _reports_flags()),
    ):
        if not holds:
            raise Fault("canon.unsound-arithmetic", name, hint=HINT, retryable=False)


@cache
def check_arithmetic_once() -> None:
    """Check at the first call in this process; see `check_arithmetic`."""
    check_arithmetic()


def _keeps_subnormals() -> bool:
    for kind in (np.float32, np.float64):
        tiny = np.full(67, np.finfo(kind).smallest_subnormal)
        normal = np.full(67, np.finfo(kind).tiny)
        kept = (tiny + tiny > tiny).all() and (normal * kind(0.5) > 0).all()
        widened = tiny.astype(np.float64).astype(kind)
        if not kept or not (widened == tiny).all() or not ((normal - tiny) < normal).all():
            return False
    return True


def _make_samples(count: int) -> tuple[Array, Array]:
    """Make odd integers below 2**24, the same everywhere."""
    steps = np.arange(1, count + 1, dtype=np.int64)
    return (steps * 7_368_787 % (1 << 24)) | 1, (steps * 13_000_027 % (1 << 24)) | 1


def _rounds_correctly() -> bool:
    """Check quotients, roots, sums and products of float32 and float64 against integers."""
    for kind, precision in ((np.float32, 24), (np.float64, 53)):
        one, two = _make_samples(200)
        quotients = (one.astype(kind) / two.astype(kind)).tolist()
        roots = np.sqrt(one.astype(kind)).tolist()
        for a, b, quotient, root in zip(one.tolist(), two.tolist(), quotients, roots, strict=True):
            shift = precision + 2 + b.bit_length() - a.bit_length()
            exact_quotient = ((a << shift) // b) << 1 | (a % b != 0)
            if quotient != _round(exact_quotient, -shift - 1, precision):
                return False
            radicand = a << 2 * precision
            exact = isqrt(radicand)
            if root != _round(exact << 1 | (exact**2 != radicand), -precision - 1, precision):
                return False
        half = kind(2.0**-precision)
        sums = np.array([1 + half, (1 + 2 * half) + half, (1 + 2 * half) - half / 2], kind)
        if sums.tolist() != [1.0, 1 + 4 * float(half), 1 + 2 * float(half)]:
            return False
    return True


def _round(mantissa: int, exponent: int, precision: int) -> float:
    """Round a positive dyadic to nearest, ties to even, as a float."""
    cut = max(0, mantissa.bit_length() - precision)
    kept, rest = mantissa >> cut, mantissa & ((1 << cut) - 1)
    half = 1 << cut >> 1
    if cut and (rest > half or (rest == half and kept & 1)):
        kept += 1
    return kept * 2.0 ** (exponent + cut)


def _is_blas_conventional() -> bool:
    """Check that errors stay within (K - 1) u sum|p|, where sums cancel and where they do not."""
    for rows, columns, terms in SIZES:
        one, two = _make_samples(rows * terms + columns * terms)
        left: Doubles = one[: rows * terms].reshape(rows, terms) / 2.0**20 - 8.0
        right: Doubles = two[: columns * terms].reshape(columns, terms) / 2.0**22 - 2.0
        left[:, 1::2] = -left[:, : terms // 2 * 2 : 2]
        right[:, 1::2] = right[:, : terms // 2 * 2 : 2] * (1 + 2.0**-20)
        left = left.astype(np.float32).astype(np.float64)
        right = right.astype(np.float32).astype(np.float64)
        got = np.matmul(left, right.T)
        for i in range(0, rows, 13):
            for j in range(0, columns, 17):
                products = (left[i] * right[j]).tolist()
                bound = terms * 2.0**-53 * fsum(map(abs, products))
                if not abs(fsum([*products, -float(got[i, j])])) <= bound:
                    return False
    return True


def _reports_flags() -> bool:
    flags = Flags()
    infinite, zero = np.full(37, np.inf, np.float32), np.zeros(37, np.float32)
    large = np.full(37, 3e38, np.float32)
    with np.errstate(over="call", invalid="call", divide="call", under="ignore", call=flags):
        for operation, one, two in (
            (np.subtract, infinite, infinite),
            (np.multiply, infinite, zero),
            (np.divide, zero, zero),
            (np.divide, infinite, infinite),
            (np.add, large, large),
            (np.multiply, large, large),
            (np.divide, large, zero),
        ):
            for count in (1, 3, 8, 37):
                operation(one[:count], two[:count])
                if not flags.take():
                    return False
        np.sqrt(-large)
        return flags.take()
