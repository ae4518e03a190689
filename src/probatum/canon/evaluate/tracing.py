"""Making a trace while a graph is evaluated: one keyed hash a tensor (`CANON-5`).

A `Tracer` is a sink of `evaluate`: it sees each tensor once, keeps 32 bytes of it and lets it go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from probatum.canon.graph.binding import BoundGraph
from probatum.canon.trace.roots import compute_keyed_root, compute_trace_root, derive_entry_keys
from probatum.errors import Misuse
from probatum.protocol.primitives import Root, Salt

__all__ = ["Tracer"]


class Tracer:
    """Collects the roots of all entries.

    Attributes:
        keys: One an entry.
    """

    def __init__(self, graph: BoundGraph, names: Mapping[int, str], salt: Salt) -> None:
        types = ((node.output.dtype, node.output.shape) for node in graph.nodes)
        self.keys: Sequence[bytes] = derive_entry_keys(salt, types, names)
        self._salt = salt
        self._roots: list[Root] = []

    def __call__(self, number: int, array: NDArray[Any]) -> None:
        """Take the tensor of one entry, contiguous; entries come in order.

        Raises:
            Misuse: `canon.out-of-order`.
        """
        if number != len(self._roots):
            raise Misuse("canon.out-of-order", f"entry {len(self._roots)} comes before {number}")
        data = array.reshape(-1).view(np.uint8).data
        self._roots.append(compute_keyed_root(self.keys[number], data))

    @property
    def roots(self) -> tuple[Root, ...]:
        """The roots of the entries so far."""
        return tuple(self._roots)

    def compute_root(self) -> Root:
        """Compute the trace root.

        Raises:
            Misuse: `canon.out-of-order` before all entries have come.
        """
        if len(self._roots) != len(self.keys):
            raise Misuse("canon.out-of-order", "a trace has the roots of all entries")
        return compute_trace_root(self._salt, self._roots)
