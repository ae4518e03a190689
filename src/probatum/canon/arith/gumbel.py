"""Noise by which a token is chosen: a Gumbel variate of 32 random bits (`GUMBEL-1`).

What a word gives is an integer G, the noise in units of 2**-18. The noise lies between -3.2 and
22.9, so that G/2**18 is a float32 without rounding. Must not know where words come from.
"""

from __future__ import annotations

from typing import Final

from probatum.canon.arith.series import enclose_log, shift_floor
from probatum.canon.arith.ziv import PRECISIONS

__all__ = ["NOISE_BITS", "WORD_BITS", "compute_gumbel"]

NOISE_BITS: Final = 18
"""A noise is a multiple of 2**-18."""
WORD_BITS: Final = 32
"""Of the randomness in one noise."""


def compute_gumbel(word: int) -> int:
    """Compute the integer nearest to 2**18·(-log(-log((2w + 1)/2**33))).

    Proof. The inner logarithm is enclosed by `enclose_log`, and is negative: of its two ends'
    magnitudes the outer one, which grows, is enclosed again, low end and high end each. Rounding
    grows too, so where both round alike, that is G. Whether some word's exact value lies on half
    an integer no theorem excludes; there are 2**32 words, and all were looked at: none comes
    nearer than the specification says, so that the first precision always decides.

    Args:
        word: From 0 to 2**32 - 1.
    """
    below = above = 0
    for precision in PRECISIONS:
        inner = enclose_log(2 * word + 1, -WORD_BITS - 1, precision)
        least = enclose_log(-inner.high, inner.exponent, precision)
        most = enclose_log(-inner.low, inner.exponent, precision)
        below = _round(-most.high, most.exponent)
        above = _round(-least.low, least.exponent)
        if below == above:
            return below
    return above if below & 1 else below


def _round(mantissa: int, exponent: int) -> int:
    """Round mantissa·2**(exponent + 18) to the nearest integer."""
    return shift_floor(mantissa, exponent + NOISE_BITS + 1) + 1 >> 1
