"""The steps of a decoder in numpy alone: what other kernels are held to, bit for bit.

Weights stay as they are stored: blocks of rows are widened as they are needed, so that the products
run from the cache. Every product is exact in float64; sums have order-free bounds, and what these
leave open goes down the evaluator's ladder with its rows decoded again (`CANON-2`). What is not
finite is never computed with: the row is marked, and its text ends with a fault.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from numpy.typing import NDArray

from probatum.canon.evaluate.rounding import UNIT, Indices
from probatum.canon.evaluate.sums import sum_rows
from probatum.canon.evaluate.univariate.applying import FUNCTIONS, apply_univariate
from probatum.canon.evaluate.values import Doubles, Value
from probatum.canon.evaluate.workspace import Workspace
from probatum.runtime.text.cache import KeyValueCache
from probatum.runtime.text.layers import read_layers
from probatum.runtime.text.matrices import AnyMatrix
from probatum.runtime.text.products import round_products, settle_products
from probatum.runtime.text.steps import Floats, Heads, Marks, Network, Part

__all__ = ["PureKernel", "store_rows"]

_BLOCK: Final = 1 << 16
"""Elements of a matrix that are widened at a time: 512 KB."""
_WIDE_BLOCK: Final = 1 << 18
"""Where many rows share what is widened."""
_MANY: Final = 16
_TILE: Final = 1 << 18
"""Elements that are rounded at a time."""
_SCORES: Final = 1 << 22
"""Scores of one text that are held at a time."""
_INFLATE: Final = 1 + 2.0**-16


class PureKernel:
    """Numpy, and the BLAS that it brings.

    Args:
        threads: Worked on at a time; no bit depends on it.
    """

    name = "numpy"

    def __init__(self, threads: int = 1) -> None:
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads) if threads > 1 else None
        self._ws = Workspace()
        self._wide = [np.empty(0)] * threads

    def close(self) -> None:
        """Let threads go."""
        if self._pool is not None:
            self._pool.shutdown()

    def read(
        self,
        network: Network,
        x: Floats,
        parts: tuple[Part, ...],
        wanted: NDArray[np.int64],
        marks: Marks,
    ) -> Floats:
        """Pass rows through all layers; see `Kernel`."""
        return read_layers(self, network, x, parts, wanted, marks)

    def norm(self, x: Floats, weight: Floats, epsilon: np.float32) -> Floats:
        """Divide by the root of the mean square; see `Kernel`."""
        mean = self._sum(x * x, x.shape[1])
        root = np.sqrt(mean + epsilon)
        out: Floats = x / root[:, None] * weight
        return out

    def multiply(self, x: Floats, matrix: AnyMatrix, marks: Marks) -> Floats:
        """Multiply by a matrix; see `Kernel`."""
        wide = x.astype(np.float64)
        norms = np.sqrt(np.vecdot(wide, wide))
        if not np.isfinite(norms).all():
            bad = ~np.isfinite(norms)
            marks[bad] = 1
            wide[bad], norms[bad] = 0.0, 0.0
        columns = len(matrix.norms)
        out = np.empty((len(x), columns), np.float32)
        if self._pool is None:
            left = [self._multiply_columns(wide, norms, matrix, out, 0, 0, columns)]
        else:
            edges = [columns * one // self._threads for one in range(self._threads + 1)]
            futures = [
                self._pool.submit(
                    self._multiply_columns,
                    wide,
                    norms,
                    matrix,
                    out,
                    one,
                    edges[one],
                    edges[one + 1],
                )
                for one in range(self._threads)
            ]
            left = [future.result() for future in futures]
        for rows, places in (one for share in left for one in share):
            settle_products(wide, matrix.read, out, (rows, places))
        return out

    def _multiply_columns(
        self,
        wide: Doubles,
        norms: Doubles,
        matrix: AnyMatrix,
        out: Floats,
        thread: int,
        begin: int,
        end: int,
    ) -> list[tuple[Indices, Indices]]:
        """Multiply by some of a matrix's rows: rows and columns of what is undecided."""
        if begin == end:  # fewer rows than threads
            return []
        height, terms = wide.shape
        value = np.empty((height, end - begin))
        block = max(1, (_WIDE_BLOCK if height >= _MANY else _BLOCK) // terms)
        room = self._wide[thread]
        if room.size < block * terms:
            self._wide[thread] = room = np.empty(block * terms)
        for first in range(begin, end, block):
            last = min(end, first + block)
            here = room[: (last - first) * terms].reshape(-1, terms)
            matrix.widen(first, last, here)
            if height == 1:
                np.matmul(here, wide[0], out=value[0, first - begin : last - begin])
            else:
                np.matmul(wide, here.T, out=value[:, first - begin : last - begin])
        # Every product passes at most K - 1 additions, and 4 where a BLAS adds to its result.
        factors = norms * ((terms + 8) * UNIT * _INFLATE)
        step = max(1, _TILE // (end - begin))
        found = []
        for first in range(0, height, step):
            some = slice(first, first + step)
            rounded = np.empty_like(value[some], np.float32)
            undecided = round_products(value[some], factors[some], matrix.norms[begin:end], rounded)
            out[some, begin:end] = rounded
            if undecided is not None:
                found.append((undecided[0] + first, undecided[1] + begin))
        return found

    def attend(
        self, projected: Floats, parts: tuple[Part, ...], layer: int, heads: Heads, marks: Marks
    ) -> Floats:
        """Attend; see `Kernel`."""
        out = np.zeros((len(projected), heads.queries * heads.width), np.float32)
        for part in parts:
            rows = slice(part.begin, part.begin + part.count)
            queries = store_rows(projected[rows], part, layer, heads)
            if queries is None:
                marks[rows] = 1
                continue
            self.mix_part(queries, part, layer, out[rows])
        return out

    def mix_part(self, queries: Floats, part: Part, layer: int, out: Floats) -> None:
        """Mix values for the rows of one text, whose keys and values are stored.

        Args:
            queries: float32 [n, Hq, d], turned and scaled.
            part: The text's.
            layer: Of the cache.
            out: [n, Hq d].
        """
        length = part.cache.length
        step = max(1, _SCORES // (queries.shape[1] * (length + part.count)))
        for begin in range(0, part.count, step):
            some = queries[begin : begin + step]
            self._mix_rows(some, part.cache, layer, length + begin, out[begin : begin + step])

    def _mix_rows(
        self, queries: Floats, cache: KeyValueCache, layer: int, first: int, out: Floats
    ) -> None:
        """Mix values for some of the rows, from a position on; see `mix_part`."""
        count, asking, width = queries.shape
        heads = cache.keys.shape[1]
        group, seen = asking // heads, first + count
        asked = queries.reshape(count, heads, group, width).swapaxes(0, 1)
        wide = asked.reshape(heads, count * group, width).astype(np.float64)
        norms = np.sqrt(np.vecdot(wide, wide))
        good = np.isfinite(norms)
        if not good.all():
            # No number comes of such a row: its own next product marks it.
            wide[~good] = np.nan
        keys = cache.keys[layer, :, :seen]
        scores = np.empty((heads, count * group, seen), np.float32)
        undecided = round_products(
            np.matmul(wide, keys.astype(np.float64).swapaxes(1, 2)),
            norms * ((width + 8) * UNIT * _INFLATE),
            cache.norms[layer, :, :seen],
            scores,
        )
        hidden = None
        if count > 1:
            hidden = np.arange(seen) > np.repeat(np.arange(first, seen), group)[:, None]
        if undecided is not None:
            head, row, place = undecided
            which = good[head, row] & (place <= first + row // group)
            settle_products(wide, keys.__getitem__, scores, (head[which], row[which], place[which]))
        if hidden is not None:
            scores[:, hidden] = -np.inf
        mixed = self._mix(self._soften(scores), cache, layer)
        back = mixed.reshape(heads, count, group * width).swapaxes(0, 1)
        out[...] = back.reshape(count, asking * width)

    def _soften(self, scores: Floats) -> Doubles:
        """Softmax of rows, in float32 steps; widened."""
        moved = scores - scores.max(axis=-1, keepdims=True)
        powers = np.empty_like(moved)
        value = Value(moved, "float32", finite=False)
        apply_univariate(FUNCTIONS["Exp"], value, powers, self._ws)
        total = self._sum(powers.reshape(-1, powers.shape[-1]), 1)
        powers /= total.reshape(*powers.shape[:-1], 1)
        wide: Doubles = powers.astype(np.float64)
        return wide

    def _mix(self, shares: Doubles, cache: KeyValueCache, layer: int) -> Floats:
        """Compute the sums of values by shares: [Hkv, rows, d]."""
        seen = shares.shape[-1]
        values = cache.values[layer, :, :seen]
        mixed = np.empty((*shares.shape[:-1], values.shape[-1]), np.float32)
        # Shares add up to less than 1 + 2**-20: each is rounded once from a quotient by a sum.
        factor = (seen + 8) * UNIT * _INFLATE * (1 + 2.0**-20)
        undecided = round_products(
            np.matmul(shares, values.astype(np.float64)),
            np.full(shares.shape[:-1], factor),
            cache.most[layer].astype(np.float64),
            mixed,
        )
        if undecided is not None:
            head, row, place = undecided
            which = ~np.isnan(shares[head, row, 0])
            at = (head[which], row[which], place[which])
            settle_products(shares, values.swapaxes(1, 2).__getitem__, mixed, at)
        return mixed

    def _sum(self, rows: Floats, divisor: int) -> Floats:
        """Sum rows of what is not negative, divided by an integer; NaN and infinities too."""
        terms = rows.shape[1]
        total = rows.sum(axis=1, dtype=np.float64)
        if divisor != 1:
            total /= divisor
        # A sum of positive terms is its own magnitude; K additions, a division, and the test's.
        slack = (terms + 8) * UNIT * _INFLATE
        out: Floats = (total * (1 + slack)).astype(np.float32)
        differ = out.view(np.uint32) != (total * (1 - slack)).astype(np.float32).view(np.uint32)
        differ |= ~np.isfinite(total)
        if differ.any():
            some = np.empty(int(differ.sum()), np.float32)
            sum_rows(rows[differ], "float32", divisor, some, self._ws)
            out[differ] = some
        return out

    def gate(self, both: Floats) -> Floats:
        """Gate; see `Kernel`."""
        half = both.shape[1] // 2
        gate = np.ascontiguousarray(both[:, :half])
        shut = np.empty_like(gate)
        value = Value(gate, "float32", finite=False)
        apply_univariate(FUNCTIONS["Sigmoid"], value, shut, self._ws)
        shut *= gate
        shut *= both[:, half:]
        return shut


def store_rows(projected: Floats, part: Part, layer: int, heads: Heads) -> Floats | None:
    """Turn queries and keys by their positions, and put keys and values into the cache.

    Returns:
        The queries, scaled, [n, Hq, d]; None where a key or a value is not finite.
    """
    count, half = part.count, heads.width // 2
    first = part.cache.length
    cut = projected.reshape(count, heads.queries + 2 * heads.keys, heads.width)
    cosine = heads.cosines[first : first + count, None]
    sine = heads.sines[first : first + count, None]
    both = cut[:, : heads.queries + heads.keys]
    one, two = both[..., :half].copy(), both[..., half:].copy()
    both[..., :half] = one * cosine - two * sine
    both[..., half:] = two * cosine + one * sine
    keys = cut[:, heads.queries : heads.queries + heads.keys]
    values = cut[:, heads.queries + heads.keys :]
    if not (np.isfinite(keys).all() and np.isfinite(values).all()):
        return None
    place = slice(first, first + count)
    cache = part.cache
    cache.keys[layer, :, place] = keys.swapaxes(0, 1)
    cache.values[layer, :, place] = values.swapaxes(0, 1)
    wide = keys.swapaxes(0, 1).astype(np.float64)
    cache.norms[layer, :, place] = np.sqrt(np.vecdot(wide, wide))
    np.maximum(cache.most[layer], np.abs(values).max(axis=0), out=cache.most[layer])
    queries = cut[:, : heads.queries]
    queries *= heads.scale
    return queries
