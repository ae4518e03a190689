"""A canonical graph as the bytes of a package's file (`NODE-1`).

Whoever has these bytes can judge: they hold every record and the roots of all weights, and the
canonical digest follows from them. Must not know files.
"""

from __future__ import annotations

from typing import Final

from probatum.canon.graph.records import CanonicalGraph
from probatum.protocol import limits
from probatum.protocol.encoding import decode, encode

__all__ = ["GRAPH_BYTES", "decode_graph", "encode_graph"]

GRAPH_BYTES: Final = 16 * limits.MIB


def encode_graph(graph: CanonicalGraph) -> bytes:
    """Encode a graph."""
    return encode(graph)


def decode_graph(data: bytes) -> CanonicalGraph:
    """Decode a graph; what its records mean is not checked (`canon.primitives.admitting`).

    Raises:
        Refusal: `encoding.*`.
    """
    return decode(CanonicalGraph, data, limit_bytes=GRAPH_BYTES)
