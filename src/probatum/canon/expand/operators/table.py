"""All operators that can be expanded, by domain and name, with the versions admitted (`PUB-1`)."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from probatum.canon.expand.operators import (
    attention,
    learned,
    maps,
    moves,
    norms,
    orders,
    recurrent,
    sums,
    trees,
)
from probatum.canon.expand.site import Expansion
from probatum.errors import Refusal

__all__ = ["ADMITTED", "get_expansion"]

ADMITTED: Final[Mapping[tuple[str, str], tuple[Expansion, frozenset[int]]]] = MappingProxyType(
    {
        **{
            ("ai.onnx", name): entry
            for page in (moves, maps, sums, norms, attention, orders, recurrent)
            for name, entry in page.OPERATORS.items()
        },
        **{
            ("ai.onnx.ml", name): entry
            for page in (learned, trees)
            for name, entry in page.OPERATORS.items()
        },
    }
)
"""Expansion and versions of each (domain, name)."""


def get_expansion(domain: str, operator: str, since: int, label: str) -> Expansion:
    """Get how an operator is expanded.

    Raises:
        Refusal: `canon.unknown-operator`.
    """
    entry = ADMITTED.get((domain, operator))
    if entry is None or since not in entry[1]:
        shown = f"{domain}.{operator} of version {since}"
        raise Refusal(
            "canon.unknown-operator",
            f"{label}: {shown} has no canonical meaning yet",
            hint="docs/spec/operators says how one is added",
        )
    return entry[0]
