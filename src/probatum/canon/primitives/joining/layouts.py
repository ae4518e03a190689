"""Where the rows of joined requests lie in a tensor, and what a rule is told of a node (`EXACT-2`).

Must not know any primitive. Read `rules` next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from probatum.canon.graph.records import NodeRecord
from probatum.canon.graph.sizes import Size, divide_by_dim, names_dim, show_size
from probatum.canon.graph.types import TensorType
from probatum.errors import Refusal

__all__ = ["SHAPE", "Rows", "Step", "find_rows", "refuse_rows"]

SHAPE: Final = "shape"
"""The one attribute that may name the dim of rows: the shape of the result itself."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Where rows lie: an axis of n times `each` places, of which `each` neighbours are one row.

    No other size of the tensor depends on n. A tensor without rows has none of these: it is the
    same for every request.

    Attributes:
        axis: Which axis.
        each: Places of one row.
    """

    axis: int
    each: Size


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One node, and where rows lie in what it reads.

    Attributes:
        dim: The name of n.
        node: Its record.
        inputs: Types of what it reads.
        rows: Where rows lie in each of them; None where there are none.
    """

    dim: str
    node: NodeRecord
    inputs: tuple[TensorType, ...]
    rows: tuple[Rows | None, ...]

    @property
    def output(self) -> TensorType:
        """The type of what it computes."""
        return TensorType(self.node.dtype, self.node.shape)

    def get_sizes(self, name: str) -> tuple[Size, ...]:
        """Get an attribute of sizes; the node's record was admitted."""
        (value,) = (one.value for one in self.node.attributes if one.name == name)
        assert not isinstance(value, str), "an admitted record has the sizes that it must have"
        return value

    def get_axis(self, source: int) -> int | None:
        """Get the axis of rows of what is read at a place, None where there are none."""
        rows = self.rows[source]
        return rows.axis if rows is not None else None


def refuse_rows(message: str) -> Refusal:
    """Make the refusal of a node that does not keep rows apart."""
    return Refusal("canon.rows-depend", message)


def find_rows(shape: tuple[Size, ...], axis: int, dim: str) -> Rows:
    """Find rows on an axis.

    Raises:
        Refusal: `canon.rows-depend` where the axis is not n times something, or another size
            depends on n too.
    """
    each = divide_by_dim(shape[axis], dim)
    others = (*shape[:axis], *shape[axis + 1 :])
    if each is None or names_dim(each, dim) or any(names_dim(size, dim) for size in others):
        shown = ", ".join(map(show_size, shape))
        raise refuse_rows(f"in [{shown}] the rows of {dim} are not one axis")
    return Rows(axis, each)
