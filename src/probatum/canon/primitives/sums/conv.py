"""Conv: sums of products under windows, channels last (`CANON-1`, `CANON-9`).

x[B, spatial..., C] and w[M, kernel..., C/group] make [B, spatial'..., M]. The terms of an element
are in the order of w's row: kernel place, then channel. Padding contributes nothing, not even an
infinite weight's product with zero.
"""

from __future__ import annotations

from dataclasses import dataclass

from probatum.canon.arith import sums
from probatum.canon.graph.binding import BoundNode
from probatum.canon.graph.sizes import Size
from probatum.canon.graph.types import CanonDtype, TensorType
from probatum.canon.primitives.interface import (
    BLOCK_TERMS,
    Attributes,
    PartialReading,
    Preparing,
    Read,
    ReadBound,
    Reading,
)
from probatum.canon.primitives.operands import (
    NUMBERS,
    check_attributes,
    check_dtype,
    check_operands,
    get_literal,
    refuse_operands,
)
from probatum.canon.primitives.places import count_blocks, get_block, list_coordinates
from probatum.canon.primitives.sums.dot import PRODUCT_WORK, find_product_dtype
from probatum.canon.primitives.sums.geometry import (
    GEOMETRY,
    find_windows,
    infer_spatial,
    read_windows,
)
from probatum.canon.primitives.sums.totals import finish_products, sum_products

__all__ = ["Conv"]

GROUPS = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Conv:
    """Cross-correlation of one to six spatial axes, in groups of channels."""

    operator: str = "Conv"
    version: int = 1

    def infer(
        self,
        inputs: tuple[TensorType, ...],
        attributes: Attributes,
        dtype: CanonDtype | None = None,
    ) -> TensorType:
        """Compute the type; see `Typed`."""
        x, w = check_operands("Conv", inputs, NUMBERS, NUMBERS)
        check_attributes("Conv", attributes, *GEOMETRY, "group")
        group = get_literal("Conv", attributes, "group", 1, GROUPS)
        sizes = tuple(size for size in w.shape if isinstance(size, int))
        if len(sizes) != len(w.shape) or len(sizes) < 3 or 0 in sizes:
            raise refuse_operands("Conv's w[M, kernel..., C/group] has fixed sizes, none of them 0")
        if x.shape[-1:] != (sizes[-1] * group,) or sizes[0] % group:
            raise refuse_operands("Conv's group divides C and M, and w has C/group channels")
        windows = read_windows("Conv", attributes, sizes[1:-1])
        spatial = infer_spatial("Conv", x, windows)
        computed = find_product_dtype("Conv", x.dtype, w.dtype)
        return TensorType(check_dtype("Conv", computed, dtype), (x.shape[0], *spatial, sizes[0]))

    def list_conditions(self, _: tuple[TensorType, ...], __: Attributes) -> tuple[Size, ...]:
        """None: a window over padding alone sums nothing."""
        return ()

    def count_blocks(self, node: BoundNode) -> int:
        """One a 1,024 terms."""
        return count_blocks(_count_terms(node))

    def prepare(self, _: BoundNode, __: int, ___: int) -> Preparing:
        """Nothing."""
        yield from ()
        return ()

    def fold(self, node: BoundNode, element: int, block: int, _: tuple[int, ...]) -> PartialReading:
        """Sum the products of one block."""
        x, w = node.inputs
        windows = find_windows(node, w.shape[1:-1])
        batch, *window, row = list_coordinates(node.output.shape, element)
        channels, terms = w.shape[-1], get_block(_count_terms(node), block)
        spatial = x.shape[1:-1]
        base = batch * (x.count // x.shape[0])
        offset = row // (w.shape[0] // node.get_int("group")) * channels
        runs: list[Read] = []
        inside: list[range] = []  # places in the block of terms that are not padding
        for tap in range(terms.start // channels, -(-terms.stop // channels)):
            place = windows.find_tap(spatial, window, tap)
            if place is None:
                continue
            begin = max(terms.start, tap * channels)
            end = min(terms.stop, (tap + 1) * channels)
            first = base + place * x.shape[-1] + offset + begin - tap * channels
            _extend(runs, Read(0, first, end - begin))
            inside.append(range(begin - terms.start, end - terms.start))
        if not runs:
            return sum_products((x.dtype, w.dtype), (), ())
        weights = Read(1, row * _count_terms(node) + terms.start, len(terms))
        bits = yield (*runs, weights)
        count = sum(len(places) for places in inside)
        factors = [bits[count + at] for places in inside for at in places]
        return sum_products((x.dtype, w.dtype), bits[:count], factors)

    def combine(self, _: BoundNode, left: bytes, right: bytes) -> bytes:
        """Add two partial sums."""
        return sums.combine(left, right)

    def finish(self, node: BoundNode, _: int, partial: bytes, __: tuple[int, ...]) -> Reading:
        """Round, or wrap, the sum."""
        yield from ()
        return finish_products(node.output.dtype, partial)

    def bound_reads(self, node: BoundNode) -> tuple[ReadBound, ...]:
        """A run a tap, or a row of the kernel; and one run of weights."""
        x, w = node.inputs
        windows = find_windows(node, w.shape[1:-1])
        channels, across = w.shape[-1], windows.kernel[-1]
        length = min(BLOCK_TERMS, _count_terms(node))
        taps = min(windows.taps, length // channels + 2)
        rows = min(windows.rows, length // (channels * across) + 2)
        span = (across - 1) * windows.dilations[-1] * x.shape[-1] + channels
        return (ReadBound(0, taps, min(channels, length), rows, span), ReadBound(1, 1, length))

    def count_operations(self, node: BoundNode) -> int:
        """A kernel's taps times its channels an element."""
        return node.output.count * _count_terms(node)

    def measure(self, _: BoundNode) -> int:
        """1,024 products, each added to a long integer, and as many places."""
        return (PRODUCT_WORK + 32) * BLOCK_TERMS


def _count_terms(node: BoundNode) -> int:
    w = node.inputs[1]
    return w.count // w.shape[0]


def _extend(runs: list[Read], run: Read) -> None:
    """Append a run, or lengthen the last one where they touch."""
    if runs and runs[-1].first + runs[-1].length == run.first:
        runs[-1] = Read(0, runs[-1].first, runs[-1].length + run.length)
    else:
        runs.append(run)
