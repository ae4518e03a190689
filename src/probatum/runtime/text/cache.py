"""Keys and values of one text, as far as it was read, in every layer.

What a decoder computes of a token depends on those before it through these alone. Elements are
float32, as the canonical graph rounds them; what bounds of products need is kept beside them.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from probatum.protocol.manifests import TextModel

__all__ = ["KeyValueCache", "compute_cache_bytes"]

_ELEMENT_BYTES: Final = 4
_NORM_BYTES: Final = 8


def compute_cache_bytes(text: TextModel, tokens: int) -> int:
    """Compute what a cache for so many tokens takes at most."""
    heads = text.layers * text.kv_heads
    element_bytes = 2 * text.head_width * _ELEMENT_BYTES + _NORM_BYTES
    return heads * (tokens * element_bytes + text.head_width * _ELEMENT_BYTES)


class KeyValueCache:
    """Room for a text of a known greatest length.

    The system gives memory as it is touched, so that a short answer to a long limit costs little.

    Attributes:
        keys: float32 [layers, Hkv, room, d], turned by their positions.
        values: float32 [layers, Hkv, room, d].
        norms: Euclidean norms of the keys, float64 [layers, Hkv, room].
        most: Greatest magnitude of each element of the values so far, float32 [layers, Hkv, d].
        length: Tokens read.
    """

    __slots__ = ("keys", "length", "most", "norms", "values")

    def __init__(self, text: TextModel, room: int) -> None:
        shape = (text.layers, text.kv_heads, room, text.head_width)
        self.keys = np.empty(shape, np.float32)
        self.values = np.empty(shape, np.float32)
        self.norms = np.empty(shape[:3], np.float64)
        self.most = np.zeros((shape[0], shape[1], shape[3]), np.float32)
        self.length = 0

    @property
    def room(self) -> int:
        """Tokens at most."""
        return int(self.keys.shape[2])
