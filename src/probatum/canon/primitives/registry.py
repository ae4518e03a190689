"""All primitives by name and version; the meaning of a pair never changes (`CANON-1`, `NODE-1`).

A new primitive is a page of its own and a row here.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from probatum.canon.primitives.interface import Primitive
from probatum.canon.primitives.maps.arithmetic import ARITHMETIC
from probatum.canon.primitives.maps.bitwise import BITWISE
from probatum.canon.primitives.maps.casts import Cast
from probatum.canon.primitives.maps.comparisons import COMPARISONS
from probatum.canon.primitives.maps.functions import FUNCTIONS
from probatum.canon.primitives.maps.noise import Gumbel
from probatum.canon.primitives.moves.choices import CHOICES
from probatum.canon.primitives.moves.iota import Iota
from probatum.canon.primitives.moves.layout import LAYOUTS
from probatum.canon.primitives.orders.arguments import ARGUMENTS
from probatum.canon.primitives.orders.ranks import TopK
from probatum.canon.primitives.scatter import SCATTERS
from probatum.canon.primitives.sums.conv import Conv
from probatum.canon.primitives.sums.dot import Dot
from probatum.canon.primitives.sums.extremes import EXTREMES
from probatum.canon.primitives.sums.reductions import SUMS
from probatum.canon.primitives.sums.windows import WINDOWS
from probatum.canon.primitives.trees import TreeEnsemble
from probatum.errors import Refusal

__all__ = ["PRIMITIVES", "get_newest", "get_primitive"]

_ALL: Final[tuple[Primitive, ...]] = (
    *LAYOUTS,
    *CHOICES,
    Iota(),
    *ARITHMETIC,
    *COMPARISONS,
    *BITWISE,
    *FUNCTIONS,
    Cast(),
    Gumbel(),
    Dot(),
    Conv(),
    *SUMS,
    *EXTREMES,
    *WINDOWS,
    *ARGUMENTS,
    TopK(),
    *SCATTERS,
    TreeEnsemble(version=1),
    TreeEnsemble(),
)

PRIMITIVES: Final[Mapping[tuple[str, int], Primitive]] = MappingProxyType(
    {(primitive.operator, primitive.version): primitive for primitive in _ALL}
)
"""By operator and version."""
_NEWEST: Final[Mapping[str, Primitive]] = MappingProxyType(
    {primitive.operator: primitive for primitive in _ALL}
)
"""By operator: of several versions the last one."""


def get_newest(operator: str) -> Primitive:
    """Get the newest version of a primitive that there is."""
    return _NEWEST[operator]


def get_primitive(operator: str, version: int) -> Primitive:
    """Get what a node means.

    Raises:
        Refusal: `canon.unknown-operator`.
    """
    primitive = PRIMITIVES.get((operator, version))
    if primitive is None:
        raise Refusal(
            "canon.unknown-operator",
            f"no primitive is called {operator} version {version}",
            hint="docs/spec/operators says how one is added",
        )
    return primitive
