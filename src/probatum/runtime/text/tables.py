"""What the compiled kernel is told of a model and of a reading: structures as `kernel.h` has them.

They hold addresses alone: whoever makes one keeps what it was made of. Must not know the steps.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from probatum.canon.evaluate.values import Array
from probatum.runtime.text.matrices import AnyMatrix, Matrix
from probatum.runtime.text.steps import Network, Part
from probatum.runtime.text.weights import Layer

__all__ = [
    "MatrixTable",
    "NetworkTable",
    "ReadingTable",
    "describe_matrix",
    "describe_network",
    "describe_parts",
    "find",
]

_POINTER = ctypes.c_void_p
_LONG = ctypes.c_int64


class MatrixTable(ctypes.Structure):
    """A matrix (`matrix`)."""

    _fields_ = (
        ("kind", _LONG),
        ("data", _POINTER),
        ("norms", _POINTER),
        ("rows", _LONG),
        ("terms", _LONG),
    )


class LayerTable(ctypes.Structure):
    """A layer (`layer`)."""

    _fields_ = (
        *((name, _POINTER) for name in ("attention_norm", "bias", "feed_norm")),
        *((name, MatrixTable) for name in ("project", "merge", "expand", "contract")),
    )


class NetworkTable(ctypes.Structure):
    """A model (`network`)."""

    _fields_ = (
        ("layers", ctypes.POINTER(LayerTable)),
        *((name, _LONG) for name in ("depth", "width", "queries", "keys", "head_width", "hidden")),
        *((name, _POINTER) for name in ("final_norm", "cosines", "sines")),
        ("head", MatrixTable),
        ("epsilon", ctypes.c_float),
        ("scale", ctypes.c_float),
    )


class ReadingTable(ctypes.Structure):
    """What is read, and how far it is (`reading`)."""

    _fields_ = (
        ("parts", _POINTER),
        ("part_count", _LONG),
        ("count", _LONG),
        *((name, _POINTER) for name in ("x", "state", "wide", "mixed", "wanted")),
        ("wanted_count", _LONG),
        *((name, _POINTER) for name in ("logits", "marks", "wanted_marks", "open", "undecided")),
        ("room", _LONG),
        ("scratch", _POINTER),
        ("step", _LONG),
    )


def describe_matrix(matrix: AnyMatrix) -> MatrixTable:
    """Describe a matrix."""
    if isinstance(matrix, Matrix):
        rows, terms = matrix.rows.shape
        return MatrixTable(0, find(matrix.rows), find(matrix.norms), rows, terms)
    kind, terms = matrix.form.value, matrix.terms
    return MatrixTable(kind, find(matrix.blocks), find(matrix.norms), len(matrix.blocks), terms)


def describe_network(network: Network) -> NetworkTable:
    """Describe a model."""
    heads = network.heads
    layers = [_describe_layer(layer) for layer in network.layers]
    return NetworkTable(
        layers=(LayerTable * len(layers))(*layers),
        depth=len(layers),
        width=network.text.width,
        queries=heads.queries,
        keys=heads.keys,
        head_width=heads.width,
        hidden=network.text.hidden,
        final_norm=find(network.final_norm),
        cosines=find(heads.cosines),
        sines=find(heads.sines),
        head=describe_matrix(network.head),
        epsilon=float(network.epsilon),
        scale=float(heads.scale),
    )


def _describe_layer(layer: Layer) -> LayerTable:
    return LayerTable(
        attention_norm=find(layer.attention_norm),
        bias=None if layer.bias is None else find(layer.bias),
        feed_norm=find(layer.feed_norm),
        project=describe_matrix(layer.project),
        merge=describe_matrix(layer.merge),
        expand=describe_matrix(layer.expand),
        contract=describe_matrix(layer.contract),
    )


def describe_parts(parts: Sequence[Part]) -> NDArray[np.int64]:
    """Describe whose rows are read (`text_part`), a row each."""
    rows = [
        (
            *(part.begin, part.count, part.cache.length),
            *(find(part.cache.keys), find(part.cache.values)),
            *(find(part.cache.norms), find(part.cache.most), part.cache.room),
        )
        for part in parts
    ]
    return np.array(rows, np.int64)


def find(array: Array) -> int:
    """Find where an array's elements lie: C-contiguous, or it is a caller's mistake."""
    assert array.flags.c_contiguous, "the kernel reads rows that lie one after another"
    return array.ctypes.data
