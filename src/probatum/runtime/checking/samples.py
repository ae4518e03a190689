"""Sample requests for a canonical graph: those that were given, or drawn by a seed.

Must not know evaluators or engines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

# By name: numpy loads this part when it is first used, when no file can be opened any more.
from numpy.random import Generator, default_rng

from probatum.canon.evaluate.values import Array
from probatum.canon.graph.binding import bind_dims
from probatum.canon.graph.records import ENTRY, INPUT, WEIGHT, CanonicalGraph, InputRecord, Ref
from probatum.canon.graph.sizes import bind_size
from probatum.errors import Refusal

__all__ = ["choose_dims", "draw_samples", "order_inputs"]

SAMPLES: Final = 3
_USUAL: Final = 8
"""A dim takes this value where it is admitted, or the nearest one that is."""
_PASSING: Final = frozenset({"Cast", "Reshape", "Transpose", "Expand", "Slice", "Concat"})


def choose_dims(graph: CanonicalGraph) -> dict[str, int]:
    """Choose the dims of requests that are drawn."""
    return {dim.name: min(max(_USUAL, dim.least), dim.greatest) for dim in graph.dims}


def draw_samples(graph: CanonicalGraph, seed: int) -> tuple[tuple[Array, ...], ...]:
    """Draw requests.

    Floats come from the standard normal distribution; integers that choose from a table, from all
    its rows; others are 0 or 1.

    Args:
        graph: Admitted.
        seed: What is drawn depends on it alone.
    """
    rng = default_rng(seed)
    dims = choose_dims(graph)
    rows = _find_tables(graph)
    return tuple(
        tuple(
            _draw(rng, record, dims, rows.get(number, 2))
            for number, record in enumerate(graph.inputs)
        )
        for _ in range(SAMPLES)
    )


def order_inputs(graph: CanonicalGraph, given: Mapping[str, Array]) -> tuple[Array, ...]:
    """Put a given request in the graph's order; nothing stays nothing.

    Raises:
        Refusal: `canon.missing-input`, `canon.wrong-shape`, `canon.dim-out-of-range`.
    """
    if not given:
        return ()
    missing = [record.name for record in graph.inputs if record.name not in given]
    if missing:
        raise Refusal("canon.missing-input", f"the request lacks {', '.join(missing)}")
    arrays = tuple(given[record.name] for record in graph.inputs)
    bind_dims(graph, tuple(array.shape for array in arrays))
    return arrays


def _draw(rng: Generator, record: InputRecord, dims: Mapping[str, int], rows: int) -> Array:
    shape = tuple(bind_size(size, dims) for size in record.shape)
    if record.dtype.startswith("float"):
        return rng.standard_normal(shape).astype(record.dtype)
    highest = min(rows, 2 if record.dtype == "bool" else rows)
    return rng.integers(0, max(1, highest), shape).astype(record.dtype)


def _find_tables(graph: CanonicalGraph) -> dict[int, int]:
    """Find, of each input, how many rows the smallest table has from which it chooses."""
    rows: dict[int, int] = {}
    for node in graph.nodes:
        if node.operator != "Gather" or node.reads[0].space != WEIGHT:
            continue
        axis = next(one.value[0] for one in node.attributes if one.name == "axis")
        size = graph.weights[node.reads[0].number].shape[int(str(axis))]
        for number in _trace_back(graph, node.reads[1]):
            rows[number] = min(size, rows.get(number, size))
    return rows


def _trace_back(graph: CanonicalGraph, ref: Ref) -> tuple[int, ...]:
    """List the inputs whose elements a tensor merely hands on."""
    if ref.space == INPUT:
        return (ref.number,)
    if ref.space != ENTRY or graph.nodes[ref.number].operator not in _PASSING:
        return ()
    return tuple(
        number for one in graph.nodes[ref.number].reads for number in _trace_back(graph, one)
    )
