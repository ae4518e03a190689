"""Where windows lie on the spatial axes of a channels-last tensor (`CANON-1`).

x is [B, spatial..., C]; a window's taps are counted row-major over the kernel. Must not know what
is done with the elements under a window.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Final

from probatum.canon.graph.binding import BoundNode
from probatum.canon.graph.sizes import Size
from probatum.canon.graph.types import TensorType
from probatum.canon.primitives.interface import Attributes
from probatum.canon.primitives.operands import (
    get_literals,
    refuse_attributes,
    refuse_operands,
)
from probatum.canon.primitives.places import find_place, list_coordinates

__all__ = ["GEOMETRY", "Windows", "find_windows", "infer_spatial", "read_windows"]

GEOMETRY: Final = ("strides", "pads_begin", "pads_end", "dilations")
"""Attributes of every window, one number an axis each."""
GREATEST: Final = 1 << 20
"""Of a stride, pad, dilation or kernel size."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """A kernel's size and how it is laid, one number a spatial axis."""

    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    pads_begin: tuple[int, ...]
    pads_end: tuple[int, ...]
    dilations: tuple[int, ...]

    @property
    def taps(self) -> int:
        """Places under a window, those of padding included."""
        return prod(self.kernel)

    @property
    def rows(self) -> int:
        """Rows of a kernel: taps but for the last axis."""
        return prod(self.kernel[:-1])

    def find_tap(self, spatial: tuple[int, ...], window: list[int], tap: int) -> int | None:
        """Find a tap's row-major place on the spatial axes; None in the padding.

        Args:
            spatial: Sizes of x's spatial axes.
            window: Coordinates of the window.
            tap: Its number.
        """
        coordinates = []
        for axis, offset in enumerate(list_coordinates(self.kernel, tap)):
            place = (
                window[axis] * self.strides[axis]
                - self.pads_begin[axis]
                + offset * self.dilations[axis]
            )
            if not 0 <= place < spatial[axis]:
                return None
            coordinates.append(place)
        return find_place(spatial, coordinates)


def read_windows(operator: str, attributes: Attributes, kernel: tuple[int, ...]) -> Windows:
    """Read the attributes of windows and check their bounds.

    Raises:
        Refusal: `canon.wrong-attributes`.
    """
    numbers = {name: get_literals(operator, attributes, name, len(kernel)) for name in GEOMETRY}
    least = {"strides": 1, "dilations": 1, "pads_begin": 0, "pads_end": 0}
    for name, values in (*numbers.items(), ("kernel", kernel)):
        low = least.get(name, 1)
        if not all(low <= value <= GREATEST for value in values):
            raise refuse_attributes(f"{operator}'s {name} are from {low} to {GREATEST}")
    return Windows(kernel=kernel, **numbers)


def infer_spatial(operator: str, x: TensorType, windows: Windows) -> tuple[Size, ...]:
    """Compute how many windows fit, an axis each.

    Raises:
        Refusal: `canon.wrong-operands`.
    """
    rank = len(windows.kernel)
    if rank < 1 or len(x.shape) != rank + 2:
        raise refuse_operands(f"{operator} reads x[B, spatial..., C] with a size a kernel's axis")
    return tuple(
        (
            size
            + windows.pads_begin[axis]
            + windows.pads_end[axis]
            - windows.dilations[axis] * (windows.kernel[axis] - 1)
            - 1
        )
        // windows.strides[axis]
        + 1
        for axis, size in enumerate(x.shape[1:-1])
    )


def find_windows(node: BoundNode, kernel: tuple[int, ...]) -> Windows:
    """Get the windows of a node that `read_windows` has passed."""
    strides, begins, ends, dilations = (node.get_ints(name) for name in GEOMETRY)
    return Windows(
        kernel=kernel, strides=strides, pads_begin=begins, pads_end=ends, dilations=dilations
    )
