"""When an entry's memory is free: after its last reader, and that of whatever shares it.

Must not know numpy or kernels. Read `evaluating` next.
"""

from __future__ import annotations

from dataclasses import dataclass

from probatum.canon.graph.records import ENTRY, WEIGHT, CanonicalGraph, NodeRecord, Ref
from probatum.canon.graph.sizes import Size

__all__ = ["Plan", "make_plan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What an evaluation of a graph may do with memory; the same for all dims.

    Attributes:
        constants: Entries that depend on weights alone, in value and shape.
        freed: By node, the entries whose memory nothing reads after it.
        given: The entries whose memory outputs lie in.
    """

    constants: frozenset[int]
    freed: tuple[tuple[int, ...], ...]
    given: tuple[int, ...]


def make_plan(graph: CanonicalGraph) -> Plan:
    """Plan the memory of a graph."""
    constants: set[int] = set()
    owners: list[int | None] = []
    last: dict[int, int] = {}
    for number, node in enumerate(graph.nodes):
        if _is_constant(node, constants):
            constants.add(number)
        owners.append(_get_owner(node, number, owners))
        for ref in node.reads:
            owner = owners[ref.number] if ref.space == ENTRY else None
            if owner is not None:
                last[owner] = number
        last.setdefault(number, number)
    given = {owners[one.ref.number] for one in graph.outputs if one.ref.space == ENTRY}
    lasting = {owners[number] for number in constants}
    freed: list[list[int]] = [[] for _ in graph.nodes]
    for number, owner in enumerate(owners):
        if owner == number and number not in given | lasting:
            freed[last[number]].append(number)
    return Plan(
        constants=frozenset(constants),
        freed=tuple(map(tuple, freed)),
        given=tuple(sorted(owner for owner in given - lasting if owner is not None)),
    )


def _get_owner(node: NodeRecord, number: int, owners: list[int | None]) -> int | None:
    """Get the entry whose memory an entry lies in; None where a request or package owns it."""
    if node.operator != "Reshape":
        return number
    ref = node.reads[0]
    return owners[ref.number] if ref.space == ENTRY else None


def _is_constant(node: NodeRecord, constants: set[int]) -> bool:
    return (
        all(_is_fixed(ref, constants) for ref in node.reads)
        and all(isinstance(size, int) for size in node.shape)
        and all(_are_integers(one.value) for one in node.attributes)
    )


def _is_fixed(ref: Ref, constants: set[int]) -> bool:
    return ref.space == WEIGHT or (ref.space == ENTRY and ref.number in constants)


def _are_integers(value: str | tuple[Size, ...]) -> bool:
    return isinstance(value, str) or all(isinstance(size, int) for size in value)
