"""WindowMax and WindowMean: pools, channels last (`CANON-1`, `CANON-9`).

x[B, spatial..., C] makes [B, spatial'..., C]. Padding never counts as an element; a window over
padding alone is inadmissible.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from probatum.canon.arith import sums
from probatum.canon.arith.formats import FORMATS
from probatum.canon.graph.binding import BoundNode
from probatum.canon.graph.sizes import Size
from probatum.canon.graph.types import CanonDtype, TensorType
from probatum.canon.primitives.interface import (
    BLOCK_TERMS,
    Attributes,
    Fold,
    PartialReading,
    Preparing,
    ReadBound,
    Reading,
)
from probatum.canon.primitives.operands import (
    FLOATS,
    NUMBERS,
    check_attributes,
    check_dtype,
    check_operands,
    get_literal,
    get_literals,
)
from probatum.canon.primitives.places import (
    count_blocks,
    get_block,
    join_runs,
    list_coordinates,
)
from probatum.canon.primitives.sums.extremes import (
    COMPARISON_WORK,
    decode_extreme,
    encode_extreme,
    find_extreme,
)
from probatum.canon.primitives.sums.geometry import (
    GEOMETRY,
    Windows,
    find_windows,
    infer_spatial,
    read_windows,
)
from probatum.canon.primitives.sums.reductions import ELEMENT_WORK
from probatum.canon.primitives.sums.totals import sum_elements
from probatum.errors import Refusal

__all__ = ["WINDOWS", "Window"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """Greatest or mean of the elements under each window.

    Attributes:
        averages: The mean, else the greatest. The mean of padding alone cannot be; with
            `count_include_pad` the sum is divided by the number of taps.
    """

    operator: str
    averages: bool
    version: int = 1

    def infer(
        self,
        inputs: tuple[TensorType, ...],
        attributes: Attributes,
        dtype: CanonDtype | None = None,
    ) -> TensorType:
        """Compute the type; see `Typed`."""
        (x,) = check_operands(self.operator, inputs, FLOATS if self.averages else NUMBERS)
        counted = ("count_include_pad",) if self.averages else ()
        check_attributes(self.operator, attributes, *GEOMETRY, "kernel", *counted)
        for name in counted:
            get_literal(self.operator, attributes, name, 0, 1)
        windows = self._read(attributes)
        spatial = infer_spatial(self.operator, x, windows)
        shape = (x.shape[0], *spatial, x.shape[-1])
        return TensorType(check_dtype(self.operator, x.dtype, dtype), shape)

    def list_conditions(
        self, inputs: tuple[TensorType, ...], attributes: Attributes
    ) -> tuple[Size, ...]:
        """Every window has an element: pads are shorter than it, and no dilation steps over x."""
        windows = self._read(attributes)
        spans = [
            dilation * (size - 1)
            for dilation, size in zip(windows.dilations, windows.kernel, strict=True)
        ]
        return (
            *(span - pad for span, pad in zip(spans, windows.pads_begin, strict=True)),
            *(span - pad for span, pad in zip(spans, windows.pads_end, strict=True)),
            *(
                size - (dilation if taps > 1 else 1)
                for size, dilation, taps in zip(
                    inputs[0].shape[1:-1], windows.dilations, windows.kernel, strict=True
                )
            ),
        )

    def count_blocks(self, node: BoundNode) -> int:
        """One a 1,024 taps."""
        return count_blocks(_get_windows(node).taps)

    def prepare(self, _: BoundNode, __: int, ___: int) -> Preparing:
        """Nothing."""
        yield from ()
        return ()

    def fold(self, node: BoundNode, element: int, block: int, _: tuple[int, ...]) -> PartialReading:
        """Sum, or find the greatest, of the taps of one block that are not padding."""
        (x,) = node.inputs
        places = _list_places(node, element, get_block(_get_windows(node).taps, block))
        bits: tuple[int, ...] = ()
        if places:
            bits = yield join_runs(0, places)
        if self.averages:
            return sum_elements(x.dtype, bits)
        return encode_extreme(x.dtype, find_extreme(x.dtype, bits, greatest=True)) if bits else b""

    def combine(self, node: BoundNode, left: bytes, right: bytes) -> bytes:
        """Add, or find the greater; a block of padding alone has the empty partial."""
        if self.averages:
            return sums.combine(left, right)
        dtype = node.output.dtype
        both = [decode_extreme(dtype, one) for one in (left, right) if one]
        return encode_extreme(dtype, find_extreme(dtype, both, greatest=True)) if both else b""

    def finish(self, node: BoundNode, element: int, partial: bytes, _: tuple[int, ...]) -> Reading:
        """Round the mean once, or take the greatest as it is."""
        yield from ()
        dtype = node.output.dtype
        if not self.averages:
            return decode_extreme(dtype, partial)
        taps = _get_windows(node).taps
        count = taps
        if not node.get_int("count_include_pad"):
            count = len(_list_places(node, element, range(taps)))
        if count == 0:
            raise Refusal("canon.bad-partial", "a window over padding alone has no mean")
        return sums.finish_mean(FORMATS[dtype], partial, count)

    def bound_reads(self, node: BoundNode) -> tuple[ReadBound, ...]:
        """One element a tap, a stretch a row of the kernel."""
        windows = _get_windows(node)
        taps = min(windows.taps, BLOCK_TERMS)
        rows = min(windows.rows, BLOCK_TERMS // windows.kernel[-1] + 2)
        channels = node.inputs[0].shape[-1]
        span = (windows.kernel[-1] - 1) * windows.dilations[-1] * channels + 1
        return (ReadBound(0, taps, 1, rows, span),)

    def count_operations(self, node: BoundNode) -> int:
        """A tap each an element."""
        return node.output.count * _get_windows(node).taps

    def measure(self, node: BoundNode) -> int:
        """A block of elements, and all places of a window."""
        work = ELEMENT_WORK if self.averages else COMPARISON_WORK
        return work * BLOCK_TERMS + 32 * max(BLOCK_TERMS, _get_windows(node).taps)

    def _read(self, attributes: Attributes) -> Windows:
        kernel = get_literals(self.operator, attributes, "kernel")
        return read_windows(self.operator, attributes, kernel)


def _get_windows(node: BoundNode) -> Windows:
    return find_windows(node, node.get_ints("kernel"))


def _list_places(node: BoundNode, element: int, taps: range) -> list[int]:
    """List the row-major places of the taps that are not padding."""
    (x,) = node.inputs
    windows = _get_windows(node)
    batch, *window, channel = list_coordinates(node.output.shape, element)
    base = batch * (x.count // x.shape[0]) + channel
    found = (windows.find_tap(x.shape[1:-1], window, tap) for tap in taps)
    return [base + place * x.shape[-1] for place in found if place is not None]


WINDOWS: Final[tuple[Fold, ...]] = (
    Window(operator="WindowMax", averages=False),
    Window(operator="WindowMean", averages=True),
)
"""All of this page."""
