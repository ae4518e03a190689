"""Windows over channels-last tensors, as views: what Conv, WindowMax and WindowMean walk over.

Must not know what is computed of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.lib.stride_tricks import as_strided

from probatum.canon.evaluate.values import Array
from probatum.canon.graph.binding import BoundNode

__all__ = ["Windows", "get_windows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Windows:
    """Where windows lie.

    Attributes:
        kernel: Places of a window, by axis.
        out: Windows, by axis.
        strides: From one to the next.
        dilations: From place to place.
        begins: Padding before.
    """

    kernel: tuple[int, ...]
    out: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    begins: tuple[int, ...]

    def view(self, x: Array, filler: float) -> Array:
        """See every window, padding filled in.

        Args:
            x: B, spatial..., C.
            filler: What padding holds.

        Returns:
            B, out..., kernel..., C; a view of x, or of a padded copy; never to be written.
        """
        spatial = x.shape[1:-1]
        reach = [
            max(begin + size, (count - 1) * stride + (kernel - 1) * dilation + 1)
            for begin, size, count, stride, kernel, dilation in zip(
                self.begins,
                spatial,
                self.out,
                self.strides,
                self.kernel,
                self.dilations,
                strict=True,
            )
        ]
        if tuple(reach) != spatial:
            if prod(reach) > prod(self.out) * prod(self.kernel):
                return self._gather(x, filler)  # far less than the padding that it skips
            padded = np.full((x.shape[0], *reach, x.shape[-1]), filler, x.dtype)
            inner = tuple(slice(b, b + size) for b, size in zip(self.begins, spatial, strict=True))
            padded[(slice(None), *inner)] = x
            x = padded
        steps = x.strides
        moved = zip(steps[1:-1], self.strides, strict=True)
        apart = zip(steps[1:-1], self.dilations, strict=True)
        return as_strided(
            x,
            (x.shape[0], *self.out, *self.kernel, x.shape[-1]),
            (
                steps[0],
                *(step * stride for step, stride in moved),
                *(step * dilation for step, dilation in apart),
                steps[-1],
            ),
            writeable=False,
        )

    def _gather(self, x: Array, filler: float) -> Array:
        """Copy every window, an axis at a time."""
        axes = len(self.kernel)
        for axis in range(axes):
            starts = np.arange(self.out[axis]) * self.strides[axis] - self.begins[axis]
            places = starts[:, None] + np.arange(self.kernel[axis]) * self.dilations[axis]
            size, at = x.shape[1 + 2 * axis], 1 + 2 * axis
            outside = (places < 0) | (places >= size)
            shape = (*x.shape[:at], *places.shape, *x.shape[at + 1 :])
            if size == 0:
                x = np.full(shape, filler, x.dtype)
                continue
            x = np.take(x, np.where(outside, 0, places), axis=at)
            x[(slice(None),) * at + (outside,)] = filler
        order = (*range(1, 1 + 2 * axes, 2), *range(2, 2 + 2 * axes, 2))
        return x.transpose(0, *order, 1 + 2 * axes)

    def view_inside(self, spatial: tuple[int, ...]) -> Array:
        """See which places lie inside the tensor: out..., kernel..., bool."""
        inside: Array = self.view(np.ones((1, *spatial, 1), np.bool_), filler=0)[0, ..., 0]
        return inside


def get_windows(node: BoundNode, kernel: tuple[int, ...]) -> Windows:
    """Get the windows of a node over its first operand."""
    return Windows(
        kernel=kernel,
        out=node.output.shape[1:-1],
        strides=node.get_ints("strides"),
        dilations=node.get_ints("dilations"),
        begins=node.get_ints("pads_begin"),
    )
