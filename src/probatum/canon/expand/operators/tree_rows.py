"""Where the rows of a tree stand, so that every walk comes into few stretches (`CANON-9`).

A tree of more rows than a stretch has is cut into parts, each small enough for one. From the
leaves up, a node joins the parts of those of its children from which the longest walk leads on, if
they fit together, and begins a part above them otherwise: no other cut has a shorter longest walk
(Diwan, Rane, Seshadri, Sudarshan: Clustering techniques for minimizing external path length, 1996).
Parts then share stretches, the largest placed first, so that little room is wasted. Must not know
what a row holds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from probatum.canon.primitives.trees import STRETCH_ROWS

__all__ = ["Placed", "place_rows"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Placed:
    """Where rows stand.

    Attributes:
        where: Node → row; the root's is 0.
        rows: Above every row; a multiple of a stretch where there is more than one.
        stretches: The most that a walk comes into.
    """

    where: Mapping[int, int]
    rows: int
    stretches: int


def place_rows(order: Sequence[int], children: Mapping[int, tuple[int, ...]]) -> Placed:
    """Place a tree's nodes.

    Args:
        order: All nodes, each one before its children, the root first.
        children: Of every node.
    """
    if len(order) <= STRETCH_ROWS:
        where = {node: row for row, node in enumerate(order)}
        return Placed(where=where, rows=len(order), stretches=1)
    parts, stretches = _cut(order, children)
    where, count = {}, 0
    free: list[list[int]] = [[] for _ in range(STRETCH_ROWS + 1)]
    """By the rows that are left: stretches."""
    # The root's part first, as row 0 is the root; a sort keeps the order of equals.
    for part in [parts[0], *sorted(parts[1:], key=len, reverse=True)]:
        room = next((room for room in range(len(part), STRETCH_ROWS) if free[room]), STRETCH_ROWS)
        if room < STRETCH_ROWS:
            stretch = free[room].pop()
        else:
            stretch, count = count, count + 1
        begin = stretch * STRETCH_ROWS + STRETCH_ROWS - room
        where.update((node, begin + row) for row, node in enumerate(part))
        free[room - len(part)].append(stretch)
    return Placed(where=where, rows=count * STRETCH_ROWS, stretches=stretches)


def _cut(
    order: Sequence[int], children: Mapping[int, tuple[int, ...]]
) -> tuple[list[list[int]], int]:
    """Cut into parts, that of the root first, and say how many the longest walk comes into."""
    walks: dict[int, int] = {}
    sizes: dict[int, int] = {}
    joined: set[int] = set()
    """Who is in the part of its parent."""
    for node in reversed(order):
        longest = max((walks[child] for child in children[node]), default=1)
        on = [child for child in children[node] if walks[child] == longest]
        size = 1 + sum(sizes[child] for child in on)
        if size <= STRETCH_ROWS:
            walks[node], sizes[node] = longest, size
            joined.update(on)
        else:
            walks[node], sizes[node] = longest + 1, 1
    parts: dict[int, list[int]] = {}
    within: dict[int, int] = {order[0]: order[0]}
    for node in order:
        parts.setdefault(within[node], []).append(node)
        for child in children[node]:
            within[child] = within[node] if child in joined else child
    return list(parts.values()), walks[order[0]]
