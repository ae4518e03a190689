"""The steps of a decoder by a small compiled kernel, where it was built: the same bits, faster.

Its C pages lie in `kernel`; what they leave undecided is computed by `pure`. Several libraries are
built, each for vectors of another width; the widest that this processor has is loaded.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from probatum.canon.evaluate import libraries
from probatum.runtime.text.matrices import AnyMatrix
from probatum.runtime.text.products import settle_products
from probatum.runtime.text.pure import PureKernel
from probatum.runtime.text.steps import Floats, Heads, Marks, Network, Part
from probatum.runtime.text.tables import (
    MatrixTable,
    NetworkTable,
    ReadingTable,
    describe_matrix,
    describe_network,
    describe_parts,
    find,
)

__all__ = ["CompiledKernel", "find_libraries", "load_library"]

BUILT: Final = Path(__file__).parent / "kernel" / "built"
_ROOM: Final = 1 << 14
"""Undecided elements that a call tells the places of."""

_POINTER = ctypes.c_void_p
_LONG = ctypes.c_long
_SIGNATURES: Final[libraries.Signatures] = {
    "level": (ctypes.c_int, ()),
    "open_pool": (_POINTER, (ctypes.c_int,)),
    "close_pool": (None, (_POINTER,)),
    "multiply": (
        _LONG,
        (
            *(_POINTER, ctypes.POINTER(MatrixTable), _POINTER, _LONG),
            *(_POINTER, _POINTER, _POINTER, _LONG, _POINTER),
        ),
    ),
    "norm": (
        _LONG,
        (_POINTER, _POINTER, ctypes.c_float, _LONG, _LONG, _POINTER, _POINTER),
    ),
    "gate": (_LONG, (_POINTER, _LONG, _LONG, _POINTER, _POINTER, _LONG)),
    "attend": (
        None,
        (
            *(_POINTER, _POINTER, _POINTER, _LONG, _POINTER, _POINTER),
            *(_LONG, _LONG, _LONG, _LONG, ctypes.c_float, _POINTER, _POINTER, _POINTER),
        ),
    ),
    "read": (
        _LONG,
        (_POINTER, ctypes.POINTER(NetworkTable), ctypes.POINTER(ReadingTable)),
    ),
}


def find_libraries(folder: Path = BUILT) -> tuple[Path, ...]:
    """List the libraries that were built; see `libraries.find_libraries`."""
    return libraries.find_libraries(folder)


def load_library(path: Path) -> ctypes.CDLL:
    """Load one library. Raises OSError if it is none, or of another version."""
    return libraries.load_library(path, _SIGNATURES)


@cache
def load_widest() -> tuple[ctypes.CDLL, int] | None:
    """Load the library for this processor, and its level; None where none was built or loads."""
    return libraries.load_widest(BUILT, _SIGNATURES)


class _Step(IntEnum):
    """Of a layer, as `layers.c` has them; the first two after the last layer make logits."""

    NORM, PROJECT, ATTEND, MERGE, FEED_NORM, EXPAND, GATE, CONTRACT = range(8)


class CompiledKernel:
    """The compiled steps.

    Args:
        library: Of `load_library`.
        threads: Worked on at a time; no bit depends on it.
        name: What it is called.
    """

    def __init__(self, library: ctypes.CDLL, threads: int = 1, name: str = "compiled") -> None:
        self.name = name
        self._library = library
        self._pure = PureKernel()
        self._pool = library.probatum_open_pool(threads)
        self._undecided = np.empty(_ROOM, np.int64)
        self._scratch = np.empty(0)
        self._rooms = tuple(np.empty(0, np.float32) for _ in range(3))
        self._described: tuple[Network, NetworkTable] | None = None

    def close(self) -> None:
        """Let threads go."""
        if self._pool is not None:
            self._library.probatum_close_pool(self._pool)
            self._pool = None
        self._described = None

    def read(
        self,
        network: Network,
        x: Floats,
        parts: tuple[Part, ...],
        wanted: NDArray[np.int64],
        marks: Marks,
    ) -> Floats:
        """Pass rows through all layers, in one call but for what it leaves open; see `Kernel`."""
        if self._described is None or self._described[0] is not network:
            self._described = (network, describe_network(network))
        text, count = network.text, len(x)
        across = (text.heads + 2 * text.kv_heads) * text.head_width
        longest = max(text.width, text.heads * text.head_width, text.hidden)
        self._rooms = tuple(
            room if room.size >= count * width else np.empty(count * width, np.float32)
            for room, width in zip(
                self._rooms, (text.width, max(across, 2 * text.hidden), longest), strict=True
            )
        )
        run = _Run(
            network=network,
            x=x,
            parts=parts,
            state=self._rooms[0][: count * text.width].reshape(x.shape),
            wide=self._rooms[1],
            mixed=self._rooms[2],
            open=np.empty((len(parts), text.kv_heads), np.int32),
            logits=np.empty((len(wanted), text.vocabulary), np.float32),
            marks=marks,
            own_marks=np.zeros(len(wanted), np.int32),
        )
        described = describe_parts(parts)
        table = ReadingTable(
            parts=find(described),
            part_count=len(parts),
            count=count,
            x=find(x),
            state=find(run.state),
            wide=find(run.wide),
            mixed=find(run.mixed),
            wanted=find(wanted),
            wanted_count=len(wanted),
            logits=find(run.logits),
            marks=find(marks),
            wanted_marks=find(run.own_marks),
            open=find(run.open),
            undecided=self._take(count),
            room=self._undecided.size,
            scratch=self._take_scratch(count + longest),
            step=0,
        )
        while found := self._library.probatum_read(self._pool, self._described[1], table):
            self._settle(run, found, *divmod(table.step, len(_Step)))
            table.step += 1
        marks[wanted] |= run.own_marks
        return run.logits

    def _settle(self, run: _Run, found: int, number: int, step: int) -> None:
        """Settle what a step of all layers left open."""
        network, count = run.network, len(run.x)
        if number == len(network.layers):
            rows = len(run.logits)
            state = run.state[:rows]
            if step == _Step.NORM:
                self._settle_norm(run.x[:rows], network.final_norm, network.epsilon, state, found)
            else:
                self._settle_product(state, network.head, run.logits, run.own_marks, found)
            return
        layer, heads = network.layers[number], network.heads
        across = (heads.queries + 2 * heads.keys) * heads.width
        projected = run.wide[: count * across].reshape(count, -1)
        mixed = run.mixed[: count * heads.queries * heads.width].reshape(count, -1)
        hidden = network.text.hidden
        both = run.wide[: count * 2 * hidden].reshape(count, -1)
        gated = run.mixed[: count * hidden].reshape(count, -1)
        match step:
            case _Step.NORM:
                self._settle_norm(run.x, layer.attention_norm, network.epsilon, run.state, found)
            case _Step.PROJECT:
                self._settle_product(run.state, layer.project, projected, run.marks, found)
            case _Step.ATTEND:
                self._settle_heads(projected, run.parts, number, heads, run.marks, run.open, mixed)
            case _Step.MERGE:
                self._settle_product(mixed, layer.merge, run.state, run.marks, found)
            case _Step.FEED_NORM:
                self._settle_norm(run.x, layer.feed_norm, network.epsilon, run.state, found)
            case _Step.EXPAND:
                self._settle_product(run.state, layer.expand, both, run.marks, found)
            case _Step.GATE:
                self._settle_gate(both, gated, found)
            case _:
                self._settle_product(gated, layer.contract, run.state, run.marks, found)

    def norm(self, x: Floats, weight: Floats, epsilon: np.float32) -> Floats:
        """Divide by the root of the mean square; see `Kernel`."""
        count, width = x.shape
        out = np.empty_like(x)
        found = self._library.probatum_norm(
            find(x), find(weight), float(epsilon), count, width, find(out), self._take(count)
        )
        self._settle_norm(x, weight, epsilon, out, found)
        return out

    def _settle_norm(
        self, x: Floats, weight: Floats, epsilon: np.float32, out: Floats, found: int
    ) -> None:
        if found:
            rows = self._undecided[:found]
            out[rows] = self._pure.norm(x[rows], weight, epsilon)

    def multiply(self, x: Floats, matrix: AnyMatrix, marks: Marks) -> Floats:
        """Multiply by a matrix; see `Kernel`."""
        count, terms = x.shape
        out = np.empty((count, len(matrix.norms)), np.float32)
        found = self._library.probatum_multiply(
            *(self._pool, describe_matrix(matrix), find(x), count, find(out), find(marks)),
            *(find(self._undecided), self._undecided.size, self._take_scratch(count + terms)),
        )
        self._settle_product(x, matrix, out, marks, found)
        return out

    def _settle_product(
        self, x: Floats, matrix: AnyMatrix, out: Floats, marks: Marks, found: int
    ) -> None:
        if found > self._undecided.size:
            out[...] = self._pure.multiply(x, matrix, marks)
        elif found:
            at = np.divmod(self._undecided[:found], out.shape[1])
            settle_products(x.astype(np.float64), matrix.read, out, at)

    def attend(
        self, projected: Floats, parts: tuple[Part, ...], layer: int, heads: Heads, marks: Marks
    ) -> Floats:
        """Attend; see `Kernel`."""
        described = describe_parts(parts)
        out = np.zeros((len(projected), heads.queries * heads.width), np.float32)
        open_ = np.zeros((len(parts), heads.keys), np.int32)
        self._library.probatum_attend(
            *(self._pool, find(projected), find(described), len(parts)),
            *(find(heads.cosines), find(heads.sines)),
            *(heads.queries, heads.keys, heads.width),
            *(layer, float(heads.scale), find(out), find(marks), find(open_)),
        )
        self._settle_heads(projected, parts, layer, heads, marks, open_, out)
        return out

    def _settle_heads(
        self,
        projected: Floats,
        parts: tuple[Part, ...],
        layer: int,
        heads: Heads,
        marks: Marks,
        open_: Marks,
        out: Floats,
    ) -> None:
        for part in (parts[place] for place in np.flatnonzero(open_.any(axis=1))):
            rows = slice(part.begin, part.begin + part.count)
            if not marks[rows].any():
                cut = projected[rows].reshape(part.count, -1, heads.width)
                queries = np.ascontiguousarray(cut[:, : heads.queries])
                self._pure.mix_part(queries, part, layer, out[rows])

    def gate(self, both: Floats) -> Floats:
        """Gate; see `Kernel`."""
        count, width = len(both), both.shape[1] // 2
        out = np.empty((count, width), np.float32)
        found = self._library.probatum_gate(
            *(find(both), count, width, find(out), find(self._undecided), self._undecided.size)
        )
        self._settle_gate(both, out, found)
        return out

    def _settle_gate(self, both: Floats, out: Floats, found: int) -> None:
        if found > self._undecided.size:
            out[...] = self._pure.gate(both)
        elif found:
            width = out.shape[1]
            rows, places = np.divmod(self._undecided[:found], width)
            pairs = np.stack((both[rows, places], both[rows, places + width]), axis=1)
            out[rows, places] = self._pure.gate(pairs)[:, 0]

    def _take(self, count: int) -> int:
        """Take room for so many undecided: its address."""
        if self._undecided.size < count:
            self._undecided = np.empty(count, np.int64)
        return find(self._undecided)

    def _take_scratch(self, count: int) -> int:
        """Take room for so many float64: its address."""
        if self._scratch.size < count:
            self._scratch = np.empty(count)
        return find(self._scratch)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Run:
    """What steps of all layers leave to one another; kept as long as the library may write there.

    Attributes:
        state: What a norm or a product made of each row, [R, D].
        wide: Room for rows of the longest products.
        mixed: Room for what attention and gate make of them.
        open: Of each part the heads that are undecided.
        own_marks: Of the rows that are wanted.
    """

    network: Network
    x: Floats
    parts: tuple[Part, ...]
    state: Floats
    wide: Floats
    mixed: Floats
    open: Marks
    logits: Floats
    marks: Marks
    own_marks: Marks
