"""Tables of rotary positions: cosines and sines that a package carries as weights (`TEXT-1`).

Every step is rounded once from exact numbers, so the same sizes make the same bytes on every
machine: frequencies by decimal arithmetic, their products with positions in float64 (exact: 24
and 20 bits), cosine and sine as the canonical functions of float32 (`CANON-1`).
"""

from __future__ import annotations

from decimal import Context, Decimal
from typing import Final

import numpy as np

from probatum.canon.evaluate.evaluating import Evaluator
from probatum.canon.graph.records import (
    ENTRY,
    INPUT,
    CanonicalGraph,
    InputRecord,
    NodeRecord,
    OutputRecord,
    Ref,
)
from probatum.hub.importing.sources import Array

__all__ = ["make_rope_tables"]

_DIGITS: Final = 60


def make_rope_tables(base: float, head_width: int, context: int) -> tuple[Array, Array]:
    """Make cosines and sines of position · base^(−2i / head width).

    Args:
        base: Of the angles.
        head_width: Elements of a head, even.
        context: Positions, at most 2^20.

    Returns:
        Two float32 arrays [context, head_width / 2].
    """
    decimal = Context(prec=_DIGITS)
    log = decimal.ln(Decimal(base))
    exponents = [
        decimal.divide(decimal.multiply(Decimal(-2 * pair), log), Decimal(head_width))
        for pair in range(head_width // 2)
    ]
    frequencies = np.array([float(decimal.exp(one)) for one in exponents]).astype(np.float32)
    places = np.arange(context, dtype=np.float64)
    angles = np.multiply.outer(places, frequencies.astype(np.float64)).astype(np.float32)
    shape = angles.shape
    graph = CanonicalGraph(
        dims=(),
        inputs=(InputRecord(name="angles", dtype="float32", shape=shape),),
        weights=(),
        nodes=tuple(_make_node(operator, shape) for operator in ("Cos", "Sin")),
        outputs=tuple(
            OutputRecord(name=name, ref=Ref(space=ENTRY, number=number))
            for number, name in enumerate(("cos", "sin"))
        ),
    )
    cosines, sines = Evaluator(graph, ()).evaluate((angles,))
    return cosines, sines


def _make_node(operator: str, shape: tuple[int, ...]) -> NodeRecord:
    reads = (Ref(space=INPUT, number=0),)
    return NodeRecord(
        operator=operator, version=1, attributes=(), reads=reads, dtype="float32", shape=shape
    )
