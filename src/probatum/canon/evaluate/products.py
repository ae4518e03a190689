"""Matrices of float64 that multiply: what level 1 needs of them, and the ladder of their products.

Serves Dot and Conv, which makes its matrix of patches. The bounds: docs/spec/evaluation.md §3.
Read `widening`, `tiles` and `ozaki` next.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from probatum.canon.arith.formats import FORMATS
from probatum.canon.arith.sums import finish_products, sum_products
from probatum.canon.evaluate.blas import add_product
from probatum.canon.evaluate.ladder import climb
from probatum.canon.evaluate.ozaki import sum_by_slices
from probatum.canon.evaluate.rounding import UNIT, Indices, round_to
from probatum.canon.evaluate.tiles import round_products
from probatum.canon.evaluate.values import Array, Doubles, get_bits, widen
from probatum.canon.evaluate.workspace import Scratch, Workspace

__all__ = ["multiply_aligned", "multiply_rows", "settle_products"]

FLOOD: Final = 1 / 32
"""Above this share of undecided elements a whole product is done by slices."""
FLOOD_LEAST: Final = 256
UPDATES: Final = 4
"""How often a BLAS may add to one element within a chunk: its own blocks have 96 terms at least."""
INFLATE: Final = 1 + 2.0**-16
"""More than all second-order terms of the bounds, for up to 2**30 terms."""


def _count_chunks(terms: int, ws: Workspace) -> tuple[int, int]:
    """Cut terms into chunks as alike as can be: how many, and the terms of the largest."""
    chunks = max(1, -(-terms // ws.k_chunk))
    return chunks, -(-terms // chunks)


def multiply_chunks(left: Doubles, right: Doubles, ws: Workspace) -> Doubles:
    """Compute left @ right.T, K in chunks whose products are added in turn.

    Args:
        left: B, M, K.
        right: B, N, K.
        ws: Whose memory the result, B, M, N, is.
    """
    out = ws.take_doubles((*left.shape[:-1], right.shape[-2]))
    flipped, size = right.swapaxes(-1, -2), _count_chunks(left.shape[-1], ws)[1]
    np.matmul(left[..., :size], flipped[..., :size, :], out=out)
    for begin in range(size, left.shape[-1], size):
        end = begin + size
        sides = left[..., begin:end], right[..., begin:end]
        if len(out) == 1 and add_product(sides[0][0], sides[1][0], out[0]):
            continue
        part = ws.take_doubles(out.shape)
        np.matmul(sides[0], sides[1].swapaxes(-1, -2), out=part)
        out += part
        ws.give_back(part)
    return out


def multiply_rows(
    left: Doubles,
    right: Doubles,
    norms: tuple[Doubles, Doubles],
    dtype: str,
    out: Array,
    ws: Workspace,
    narrow: Array | None = None,
) -> None:
    """Compute every product of a row of `left` with a row of `right`, rounded once.

    Args:
        left: B, M, K; finite, and products with `right` exact in float64.
        right: B, N, K; likewise.
        norms: Of left's rows, B, M, and right's, B, N.
        dtype: What to round to: float32, float16 or bfloat16.
        out: B, M, N; contiguous.
        ws: Where to work.
        narrow: Right before it was widened, where its rows are contiguous and right's are not.
    """
    terms = left.shape[-1]
    value = multiply_chunks(left, right, ws)
    # Each product goes through at most as many additions as its chunk has terms, and a few for each
    # chunk; 3 more u cover the rounding of fl(v ± d) itself.
    chunks, size = _count_chunks(terms, ws)
    factor = (size + UPDATES * chunks + 3) * UNIT * INFLATE
    undecided = round_products(value, norms[0] * factor, norms[1], dtype, out, ws)
    ws.give_back(value)
    if len(undecided) > max(FLOOD_LEAST, FLOOD * out.size):
        undecided = _flood(left, right, dtype, out, ws)
    if len(undecided):
        sides = left, right if narrow is None else narrow
        out.reshape(-1)[undecided] = _climb(sides, norms, undecided, dtype, ws.scratch)


def settle_products(
    sides: tuple[Array, Array],
    norms: tuple[Doubles, Doubles],
    undecided: Indices,
    out: Array,
    ws: Workspace,
) -> None:
    """Decide float32 products that level 1 left open.

    Args:
        sides: B, M, K and B, N, K; float32, finite.
        norms: Of their rows.
        undecided: Flat places in out.
        out: B, M, N.
        ws: Where to work.
    """
    if len(undecided) > max(FLOOD_LEAST, FLOOD * out.size):
        one, two = (widen(side, "float32") for side in sides)
        undecided = _flood(one, two, "float32", out, ws)
    if len(undecided):
        out.reshape(-1)[undecided] = _climb(sides, norms, undecided, "float32", ws.scratch)


def _flood(left: Doubles, right: Doubles, dtype: str, out: Array, ws: Workspace) -> Indices:
    """Do all by slices: flat indices of what even that leaves undecided."""
    found = []
    for at, (one, two) in enumerate(zip(left, right, strict=True)):
        rounded, undecided = sum_by_slices(one, two, dtype, ws)
        np.copyto(out[at], rounded)
        found.append(undecided + at * rounded.size)
    return np.concatenate(found)


def _climb(
    sides: tuple[Array, Array],
    norms: tuple[Doubles, Doubles],
    undecided: Indices,
    dtype: str,
    scratch: Scratch,
) -> Array:
    """Decide products by the ladder: those of the flat indices; a side may be narrow."""
    left, right = sides
    terms, columns = left.shape[-1], right.shape[-2]
    rows, others = np.divmod(undecided, columns)
    others += rows // left.shape[-2] * columns
    magnitudes = norms[0].reshape(-1)[rows] * norms[1].reshape(-1)[others]
    flat = left.reshape(-1, terms), right.reshape(-1, terms)
    return _climb_pairs(flat, (rows, others), magnitudes, dtype, scratch)


def multiply_aligned(left: Doubles, right: Doubles, dtype: str) -> Array:
    """Compute the dot of each row with the other's of its number, rounded once, by the ladder.

    Args:
        left: n, K; finite, and products with `right` exact in float64.
        right: n, K.
        dtype: What to round to: float32, float16 or bfloat16.
    """
    places = np.arange(len(left))
    magnitudes = np.einsum("ij,ij->i", np.abs(left), np.abs(right))
    return _climb_pairs((left, right), (places, places), magnitudes, dtype, Scratch())


def _climb_pairs(
    sides: tuple[Array, Array],
    places: tuple[Indices, Indices],
    magnitudes: Doubles,
    dtype: str,
    scratch: Scratch,
) -> Array:
    """Decide the products of rows of the two sides, of those numbers, by the ladder."""
    terms = sides[0].shape[-1]

    def take(side: Array, rows: Indices, name: str) -> Doubles:
        # Fresh arrays of this size would each time be fresh memory of the machine's.
        wide = side.dtype == np.float64
        out = scratch.take(name, len(rows) * terms).reshape(-1, terms)
        into = out if wide else np.empty(out.shape, side.dtype)
        side.take(rows, axis=0, out=into, mode="clip")
        return out if wide else widen(into, dtype, out)

    def gather(chosen: Indices) -> Doubles:
        products = take(sides[0], places[0][chosen], "products")
        products *= take(sides[1], places[1][chosen], "factors")
        return products

    def settle(chosen: Indices) -> Array:
        names = ("products", "factors")
        pairs = zip(
            *(take(*one) for one in zip(sides, (at[chosen] for at in places), names, strict=True)),
            strict=True,
        )
        return np.concatenate([_settle(one, two, dtype) for one, two in pairs])

    return climb(dtype, magnitudes, terms, gather, settle)


def _settle(one: Doubles, two: Doubles, dtype: str) -> Array:
    """Sum products in integers: one element."""
    fmt = FORMATS[dtype]
    sides = [get_bits(round_to(dtype, side)).tolist() for side in (one, two)]
    bits = finish_products(fmt, sum_products(fmt, *sides))
    return np.array([bits], f"u{fmt.width // 8}").view(round_to(dtype, one[:1]).dtype)
