"""Weights in fewer bits, as substitutes would hold them: float16, bfloat16, int8 by channel.

The canonical graph stays as it is, so that what is measured is the weights alone. Numbers that
stand alone (an epsilon, a scale) stay; so do the thresholds of trees. Must not know graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np

from probatum.canon.evaluate.values import Array

__all__ = ["NARROWINGS", "narrow_all"]

_Narrow: TypeAlias = Callable[[Array], Array]


def narrow_all(weights: tuple[Array, ...], narrow: _Narrow) -> tuple[Array, ...] | None:
    """Narrow all float32 weights of more than one element; None where there are none."""
    wide = [array.dtype == np.float32 and array.size > 1 for array in weights]
    if not any(wide):
        return None
    return tuple(
        np.asarray(narrow(array), order="C") if is_wide else array
        for array, is_wide in zip(weights, wide, strict=True)
    )


def _to_float16(array: Array) -> Array:
    finite: Array = np.where(np.isfinite(array), np.clip(array, -65504, 65504), array)
    return finite.astype(np.float16).astype(np.float32)


def _to_bfloat16(array: Array) -> Array:
    """Round to nearest, ties to even, on the bits; what would overflow or is no number stays."""
    bits = array.view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + (bits >> 16 & 1)) & 0xFFFF0000
    kept: Array = np.where(rounded & 0x7F800000 == 0x7F800000, bits, rounded)
    return kept.astype(np.uint32).view(np.float32)


def _to_int8(array: Array) -> Array:
    """Round to 255 levels a channel, symmetric; channels are the first axis; vectors stay."""
    if array.ndim < 2 or not np.isfinite(array).all():
        return array
    greatest = np.abs(array).max(axis=tuple(range(1, array.ndim)), keepdims=True, initial=0)
    step = np.where(greatest > 0, greatest / np.float32(127), np.float32(1)).astype(np.float32)
    levels: Array = np.clip(np.rint(array / step), -127, 127) * step
    return levels.astype(np.float32)


NARROWINGS: Final[Mapping[str, _Narrow]] = MappingProxyType(
    {
        "float16 weights": _to_float16,
        "bfloat16 weights": _to_bfloat16,
        "int8 weights, by channel": _to_int8,
    }
)
"""What each substitute makes of a float32 weight."""
