"""Exact totals of elements of any number dtype, floats and integers alike (`CANON-9`).

A partial's bytes are those of `canon.arith.sums`; integers are summed without wrapping and wrap
once, at the end. Must not know which primitive adds up.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import mul

from probatum.canon.arith import sums
from probatum.canon.arith.formats import FORMATS, from_signed
from probatum.canon.primitives.maps.arithmetic import read_int
from probatum.canon.primitives.operands import FLOATS, WIDTHS
from probatum.errors import Refusal

__all__ = ["finish_elements", "finish_products", "sum_elements", "sum_products"]


def sum_elements(dtype: str, elements: Sequence[int]) -> bytes:
    """Sum elements of one dtype exactly."""
    if dtype in FLOATS:
        return sums.sum_elements(FORMATS[dtype], elements)
    total = sum(read_int(dtype, bits) for bits in elements)
    return sums.encode_partial(sums.Total("finite", total))


def sum_products(dtypes: tuple[str, str], left: Sequence[int], right: Sequence[int]) -> bytes:
    """Sum the products of two rows exactly; floats are of one dtype."""
    if dtypes[0] in FLOATS:
        return sums.sum_products(FORMATS[dtypes[0]], left, right)
    ones = (read_int(dtypes[0], bits) for bits in left)
    twos = (read_int(dtypes[1], bits) for bits in right)
    return sums.encode_partial(sums.Total("finite", sum(map(mul, ones, twos))))


def finish_elements(dtype: str, partial: bytes) -> int:
    """Round a sum of elements to their dtype; integers wrap. Raises Refusal `canon.bad-partial`."""
    if dtype in FLOATS:
        return sums.finish_sum(FORMATS[dtype], partial)
    return _wrap(dtype, partial)


def finish_products(dtype: str, partial: bytes) -> int:
    """Round a sum of products to the result's dtype. Raises Refusal `canon.bad-partial`."""
    if dtype in FLOATS:
        return sums.finish_products(FORMATS[dtype], partial)
    return _wrap(dtype, partial)


def _wrap(dtype: str, partial: bytes) -> int:
    total = sums.decode_partial(partial)
    if total.kind != "finite":
        raise Refusal("canon.bad-partial", "a sum of integers is finite")
    return from_signed(WIDTHS[dtype], total.value)
