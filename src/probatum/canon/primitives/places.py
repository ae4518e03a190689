"""Where elements are: row-major numbers and coordinates (`CANON-9`).

Must not know any primitive.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from probatum.canon.primitives.interface import BLOCK_TERMS, Read

__all__ = [
    "count_blocks",
    "find_broadcast",
    "find_place",
    "get_block",
    "join_runs",
    "list_coordinates",
    "wrap_index",
]


def list_coordinates(shape: Sequence[int], element: int) -> list[int]:
    """List the coordinates of a row-major number."""
    coordinates = []
    for size in reversed(shape):
        element, place = divmod(element, size)
        coordinates.append(place)
    return coordinates[::-1]


def find_place(shape: Sequence[int], coordinates: Sequence[int]) -> int:
    """Find the row-major number of coordinates, as many as sizes."""
    place = 0
    for size, coordinate in zip(shape, coordinates, strict=True):
        place = place * size + coordinate
    return place


def find_broadcast(shape: Sequence[int], coordinates: Sequence[int]) -> int:
    """Find the row-major number in a tensor that is stretched to more coordinates."""
    skipped = len(coordinates) - len(shape)
    place = 0
    for size, coordinate in zip(shape, coordinates[skipped:], strict=True):
        place = place * size + (coordinate if size != 1 else 0)
    return place


def wrap_index(index: int, size: int) -> int | None:
    """Count a negative index from the end, once; None where it is out of range."""
    wrapped = index + size if index < 0 else index
    return wrapped if 0 <= wrapped < size else None


def count_blocks(terms: int) -> int:
    """Count the blocks of so many terms; no terms make one empty block."""
    return max(1, -(-terms // BLOCK_TERMS))


def get_block(terms: int, block: int) -> range:
    """Get the numbers of the terms of one block."""
    return range(block * BLOCK_TERMS, min(terms, (block + 1) * BLOCK_TERMS))


def join_runs(source: int, places: Sequence[int]) -> tuple[Read, ...]:
    """Make reads of single elements, joining neighbours into runs; keeps the order."""
    runs: list[Read] = []
    starts = [0] + [at + 1 for at, (one, two) in enumerate(pairwise(places)) if two != one + 1]
    for start, end in zip(starts, [*starts[1:], len(places)], strict=True):
        if end > start:
            runs.append(Read(source, places[start], end - start))
    return tuple(runs)
