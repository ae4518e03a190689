"""Names in a graph and in the graphs inside it: an inner graph sees the outer one's.

Must not know operators.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from probatum.canon.expand.values import Value
from probatum.errors import Refusal

__all__ = ["Scope"]


@dataclass(slots=True)
class Scope:
    """What each name stands for.

    Attributes:
        outer: The graph around this one.
        values: Names of this graph.
    """

    outer: Scope | None = None
    values: dict[str, Value] = field(default_factory=dict)

    def get(self, name: str) -> Value:
        """Get what a name stands for. Raises Refusal `canon.unknown-name`."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.outer
        raise Refusal("canon.unknown-name", f"nothing computes {name!r}")
