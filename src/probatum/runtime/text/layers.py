"""The order of a decoder's steps, as the canonical graph has it (`CANON-7`).

The compiled kernel has the same in `layers.c`, so that a step of all layers is one call. Must not
know how a step is computed. Read `pure` next.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from probatum.runtime.text.steps import Floats, Kernel, Marks, Network, Part

__all__ = ["read_layers"]


def read_layers(
    kernel: Kernel,
    network: Network,
    x: Floats,
    parts: tuple[Part, ...],
    wanted: NDArray[np.int64],
    marks: Marks,
) -> Floats:
    """Pass rows through all layers, step by step; see `Kernel.read`."""
    epsilon = network.epsilon
    for number, layer in enumerate(network.layers):
        h = kernel.norm(x, layer.attention_norm, epsilon)
        projected = kernel.multiply(h, layer.project, marks)
        if layer.bias is not None:
            projected += layer.bias
            marks |= ~np.isfinite(projected).all(axis=1)
        mixed = kernel.attend(projected, parts, number, network.heads, marks)
        x += kernel.multiply(mixed, layer.merge, marks)
        h = kernel.norm(x, layer.feed_norm, epsilon)
        gated = kernel.gate(kernel.multiply(h, layer.expand, marks))
        x += kernel.multiply(gated, layer.contract, marks)
    if not len(wanted):
        return np.empty((0, network.text.vocabulary), np.float32)
    h = kernel.norm(x[wanted], network.final_norm, epsilon)
    own = np.zeros(len(wanted), np.int32)
    logits = kernel.multiply(h, network.head, own)
    marks[wanted] |= own
    return logits
