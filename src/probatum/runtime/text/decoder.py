"""Decodes a llama exactly: rows of many texts at once, each as the canonical graph has it.

A row depends on its token, its position and the keys and values before it, and every element of a
row is an exact function of what it reads, rounded once. So neither the rows beside it, nor how a
text is cut into steps, nor threads or the kernel change a bit (`CANON-7`). Read `pure` next.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np

from probatum.canon.evaluate.blas import limit_blas
from probatum.canon.evaluate.selftest import check_arithmetic_once
from probatum.errors import Misuse
from probatum.runtime.text.cache import KeyValueCache
from probatum.runtime.text.steps import Floats, Heads, Kernel, Network, Part
from probatum.runtime.text.weights import TextWeights

__all__ = ["Decoder", "Reading"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """The next tokens of one text.

    Attributes:
        cache: Of those before; has room for these.
        tokens: At least one.
        wanted: Of how many of these, the last ones, logits are wanted.
    """

    cache: KeyValueCache
    tokens: tuple[int, ...]
    wanted: int


class Decoder:
    """A model and the kernel that computes it. Not for two threads at once.

    Args:
        weights: The model's.
        kernel: Computes its steps.

    Raises:
        Fault: `canon.unsound-arithmetic`.
    """

    def __init__(self, weights: TextWeights, kernel: Kernel) -> None:
        check_arithmetic_once()
        self._weights = weights
        self._kernel = kernel
        text = weights.text
        heads = Heads(
            queries=text.heads,
            keys=text.kv_heads,
            width=text.head_width,
            scale=np.float32(1 / sqrt(text.head_width)),
            cosines=weights.cosines,
            sines=weights.sines,
        )
        epsilon: np.float32 = np.array([text.norm_epsilon_bits], np.uint32).view(np.float32)[0]
        self._network = Network(
            text=text,
            layers=weights.layers,
            final_norm=weights.final_norm,
            head=weights.head,
            heads=heads,
            epsilon=epsilon,
        )

    def read(self, readings: Sequence[Reading]) -> list[Floats | None]:
        """Read tokens of many texts: the caches then hold them.

        Returns:
            Of each text the logits that were wanted, float32 [wanted, V]; None where a key, a
            value, a logit or what they are made of is not finite: its cache is of no more use.

        Raises:
            Misuse: `text.no-room` in a cache: kernels write where they are told to.
        """
        parts: list[Part] = []
        count = 0
        for one in readings:
            if one.cache.length + len(one.tokens) > min(one.cache.room, self._weights.text.context):
                raise Misuse("text.no-room", "there are more tokens than the cache has room for")
            parts.append(Part(cache=one.cache, begin=count, count=len(one.tokens)))
            count += len(one.tokens)
        tokens = np.fromiter((token for one in readings for token in one.tokens), np.intp, count)
        rows = [
            row
            for part, one in zip(parts, readings, strict=True)
            for row in range(part.begin + part.count - one.wanted, part.begin + part.count)
        ]
        wanted = np.array(rows, np.int64)
        marks = np.zeros(count, np.int32)
        with np.errstate(all="ignore"), limit_blas(1):
            x = self._weights.embedding.read(tokens)
            logits = self._kernel.read(self._network, x, tuple(parts), wanted, marks)
        for part in parts:
            part.cache.length += part.count
        found: list[Floats | None] = []
        first = 0
        for part, one in zip(parts, readings, strict=True):
            own = logits[first : first + one.wanted]
            first += one.wanted
            bad = marks[part.begin : part.begin + part.count].any()
            found.append(None if bad or not np.isfinite(own).all() else own)
        return found
