"""Bits of integers: what numpy does to them is what they mean (`CANON-2`)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np

from probatum.canon.evaluate.values import Value
from probatum.canon.evaluate.workspace import Workspace
from probatum.canon.graph.binding import BoundNode

__all__ = ["compute_bitwise"]

_FUNCTIONS: Final[Mapping[str, Callable[..., Any]]] = {
    "BitAnd": np.bitwise_and,
    "BitOr": np.bitwise_or,
    "BitXor": np.bitwise_xor,
    "BitNot": np.invert,
}


def compute_bitwise(node: BoundNode, inputs: tuple[Value, ...], ws: Workspace) -> Value:
    """Compute BitAnd, BitOr, BitXor, BitNot."""
    out = ws.take(node.output.shape, node.output.dtype)
    _FUNCTIONS[node.operator](*(value.array for value in inputs), out=out)
    return Value(out, node.output.dtype, finite=True)
