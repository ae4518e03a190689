"""Rounding a value that is known by enclosures only (`CANON-3`): Ziv's loop, with an end.

An enclosure is computed ever more precisely until both its ends round alike. Where even 4,096 bits
do not tell a value from a rounding boundary, it counts as lying on it: the neighbour with an even
significand is the result. So every function is total, and its cost bounded.

Source: A. Ziv, "Fast evaluation of elementary mathematical functions with correctly rounded last
bit", ACM TOMS 17 (1991).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

from probatum.canon.arith.formats import Format
from probatum.canon.arith.rounding import round_dyadic

__all__ = ["PRECISIONS", "Enclosure", "round_enclosed"]

PRECISIONS: Final = (96, 192, 384, 768, 1536, 3072, 4096)
"""Bits to which a value is enclosed, one after the other."""


class Enclosure(NamedTuple):
    """The value lies from low·2**exponent to high·2**exponent, and is not zero."""

    low: int
    high: int
    exponent: int


def round_enclosed(fmt: Format, enclose: Callable[[int], Enclosure]) -> int:
    """Round the value that `enclose` encloses.

    Args:
        fmt: The format.
        enclose: Takes bits of precision, of `PRECISIONS`.

    Returns:
        The bits.
    """
    below = above = 0
    for precision in PRECISIONS:
        low, high, exponent = enclose(precision)
        below, above = round_dyadic(fmt, low, exponent), round_dyadic(fmt, high, exponent)
        if below == above:
            return below
    return above if below & 1 else below
