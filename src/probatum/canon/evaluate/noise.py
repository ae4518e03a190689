"""Gumbel noise of many tokens at once (`GUMBEL-1`, `CANON-2`).

Words come from SHA-256, one call for eight tokens that are neighbours; the noise is two logarithms
in float64 and a rounding to multiples of 2**-18. Where the error of the logarithms leaves that
rounding open, which is so for one word in eight million, the judge's integers decide.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from probatum.canon.arith.gumbel import NOISE_BITS, WORD_BITS, compute_gumbel
from probatum.canon.evaluate.rounding import Indices
from probatum.canon.evaluate.univariate.logarithm import compute_log
from probatum.canon.evaluate.values import Array, Doubles, Value
from probatum.canon.evaluate.workspace import CHUNK, Scratch, Workspace
from probatum.canon.graph.binding import BoundNode
from probatum.canon.primitives.maps.noise import (
    BLOCK_WORDS,
    derive_noise_block,
    derive_noise_key,
)

__all__ = ["NOISE_ERROR", "compute_gumbel_noise", "compute_noise", "compute_words", "round_noise"]

NOISE_ERROR: Final = 2.0**-24
"""Bounds the error before rounding, in units of the noise's last place.

The argument (2w + 1)/2**33 is exact and of 33 bits, so that `compute_log` keeps its promise of a
relative error of 2**-47 for the inner logarithm l. The outer one's argument is off by that factor,
which moves its logarithm by 2**-47; having 53 bits, it makes m + 1 inexact, by u relative. With
|log l| < 22.9 the error is below 2**-47 + 22.9·(2**-47 + 2u) < 2**-42.4, and 2**18 times that below
2**-24.4. The scaling is by a power of two, and distances to an integer below 2**23 are exact.
"""


def compute_words(key: bytes, positions: Array, tokens: Array) -> NDArray[np.uint32]:
    """Compute the random word of each pair of a position and a token.

    Args:
        key: Of `derive_noise_key`.
        positions: int64, n; read as 64 bits.
        tokens: int64, n; read as 64 bits.
    """
    numbers = tokens.view(np.uint64)
    pairs = list(
        zip(
            positions.view(np.uint64).tolist(),
            (numbers // np.uint64(BLOCK_WORDS)).tolist(),
            strict=True,
        )
    )
    order = {pair: row for row, pair in enumerate(dict.fromkeys(pairs))}
    joined = b"".join(derive_noise_block(key, *pair) for pair in order)
    blocks = np.frombuffer(joined, ">u4").reshape(-1, BLOCK_WORDS)
    rows = np.fromiter((order[pair] for pair in pairs), np.intp, len(pairs))
    chosen = blocks[rows, (numbers % np.uint64(BLOCK_WORDS)).astype(np.intp)]
    return chosen.astype(np.uint32)


def round_noise(words: NDArray[np.uint32], scratch: Scratch) -> tuple[Doubles, Indices]:
    """Compute noises in units of 2**-18 as whole float64, and where that is undecided.

    Args:
        words: At most `CHUNK`.
        scratch: Holds the result.
    """
    x = scratch.take("noise", words.size)
    np.copyto(x, words)
    x += 0.5
    x *= 2.0**-WORD_BITS
    np.negative(compute_log(x, scratch), out=x)
    noise = compute_log(x, scratch)
    noise *= -(2.0**NOISE_BITS)
    np.rint(noise, out=x)
    noise -= x
    np.abs(noise, out=noise)
    undecided = np.flatnonzero(noise >= 0.5 - NOISE_ERROR)
    x += 0.0  # of the two zeros the positive one
    return x, undecided


def compute_noise(words: NDArray[np.uint32], scratch: Scratch) -> NDArray[np.float32]:
    """Compute the noise of each word, any number of them."""
    out = np.empty(words.size, np.float32)
    for begin in range(0, words.size, CHUNK):
        chunk = words[begin : begin + CHUNK]
        units, undecided = round_noise(chunk, scratch)
        for at in undecided.tolist():
            units[at] = compute_gumbel(int(chunk[at]))
        units *= 2.0**-NOISE_BITS
        out[begin : begin + CHUNK] = units
    return out


def compute_gumbel_noise(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute Gumbel."""
    nonce, choice, positions, tokens = (value.array for value in inputs)
    key = derive_noise_key(
        nonce.astype("<i8", copy=False).tobytes(), int(choice.view(np.uint64).item())
    )
    shape = node.output.shape
    places, numbers = (_flatten(one, shape) for one in (positions, tokens))
    noise = compute_noise(compute_words(key, places, numbers), ws.scratch)
    return Value(noise.reshape(shape), "float32", finite=True)


def _flatten(array: Array, shape: tuple[int, ...]) -> NDArray[Any]:
    return np.ascontiguousarray(np.broadcast_to(array, shape)).reshape(-1)
