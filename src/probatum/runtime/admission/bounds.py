"""The bounds that an ONNX file is held to: names and numbers, in one place (`PUB-1`).

Counts are of a whole file, functions unfolded, unless the name says otherwise.
"""

from __future__ import annotations

from typing import Final

from probatum.protocol import limits

__all__ = [
    "DEPTH",
    "DIM",
    "DOMAINS",
    "FIELDS",
    "IR_VERSIONS",
    "KEPT_FIELDS",
    "MODEL_BYTES",
    "NAME_BYTES",
    "NODES",
    "RANK",
    "REASONS",
    "SCALE",
    "SUBGRAPHS",
    "TENSORS",
    "TEXT_BYTES",
]

MODEL_BYTES: Final = 2 * 1024 * limits.MIB - 1
"""What a protobuf message can hold."""
FIELDS: Final = 8_000_000
"""Fields of all messages. Numbers of large tree ensembles are a field each."""
KEPT_FIELDS: Final = 1_000_000
"""Fields other than numbers in lists: what reading the file costs in memory."""
DEPTH: Final = 48
"""Messages within messages; a graph within a graph is three."""
TEXT_BYTES: Final = 32 * limits.MIB
"""Documentation and metadata; exporters put stack traces there."""
NAME_BYTES: Final = 1024
NODES: Final = 100_000
TENSORS: Final = 50_000
SUBGRAPHS: Final = 8
"""Graphs within graphs."""
RANK: Final = 16
DIM: Final = 1 << 40
SCALE: Final = 65_536.0
"""Factor by which an image may grow along one dimension."""
IR_VERSIONS: Final = range(3, 14)
DOMAINS: Final = {"": range(7, 27), "ai.onnx.ml": range(1, 6)}
"""Operator sets, and the versions that the engine knows. ``ai.onnx`` is another name of ``""``."""
REASONS: Final = 16
"""Reasons that are listed; a file with more is no less refused."""
