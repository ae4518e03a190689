"""The order of elements: by value, zeros equal, every NaN equal and greatest (`CANON-1`)."""

from __future__ import annotations

from probatum.canon.arith.formats import FORMATS, compute_order
from probatum.canon.primitives.maps.arithmetic import read_int
from probatum.canon.primitives.operands import FLOATS

__all__ = ["compute_key"]


def compute_key(dtype: str, bits: int) -> int:
    """Compute an integer by which elements of a number dtype compare."""
    return compute_order(FORMATS[dtype], bits) if dtype in FLOATS else read_int(dtype, bits)
