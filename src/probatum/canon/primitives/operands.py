"""Checks that inference shares: how many operands, of which dtypes, which attributes (`CANON-1`).

Sizes are compared by their one form; broadcasting is right-aligned, and only a literal 1 is
stretched. Must not know any primitive.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import zip_longest
from types import MappingProxyType
from typing import Final

from probatum.canon.graph.sizes import Size, show_size
from probatum.canon.graph.types import DTYPES, CanonDtype, TensorType
from probatum.canon.primitives.interface import Attributes
from probatum.errors import Refusal

__all__ = [
    "BOOL",
    "FLOATS",
    "INDICES",
    "INTS",
    "NUMBERS",
    "SIGNED",
    "WIDTHS",
    "broadcast",
    "check_attributes",
    "check_dtype",
    "check_operands",
    "get_literal",
    "get_literals",
    "get_sizes",
    "get_word",
    "is_float",
    "is_signed",
    "refuse_attributes",
    "refuse_operands",
    "split_last",
]

FLOATS: Final = frozenset(name for name, traits in DTYPES.items() if traits.kind == "float")
SIGNED: Final = frozenset(name for name, traits in DTYPES.items() if traits.kind == "int")
INTS: Final = SIGNED | frozenset(name for name, traits in DTYPES.items() if traits.kind == "uint")
NUMBERS: Final = FLOATS | INTS
BOOL: Final = frozenset({"bool"})
INDICES: Final = frozenset({"int32", "int64"})
WIDTHS: Final[Mapping[str, int]] = MappingProxyType(
    {name: 8 * traits.size_bytes for name, traits in DTYPES.items()}
)
"""Bits of an element."""


def refuse_operands(message: str) -> Refusal:
    """Make the refusal of operands that a primitive does not take."""
    return Refusal("canon.wrong-operands", message)


def refuse_attributes(message: str) -> Refusal:
    """Make the refusal of attributes that a primitive does not take."""
    return Refusal("canon.wrong-attributes", message)


def is_float(dtype: str) -> bool:
    """Tell whether elements are floating-point numbers."""
    return dtype in FLOATS


def is_signed(dtype: str) -> bool:
    """Tell whether elements are signed integers."""
    return dtype in SIGNED


def check_operands(
    operator: str, inputs: tuple[TensorType, ...], *admitted: frozenset[str]
) -> tuple[TensorType, ...]:
    """Check number and dtypes of operands: one set of dtypes each.

    Raises:
        Refusal: `canon.wrong-operands`.
    """
    if len(inputs) != len(admitted):
        raise refuse_operands(f"{operator} reads {len(admitted)} tensors, not {len(inputs)}")
    for place, (one, dtypes) in enumerate(zip(inputs, admitted, strict=True)):
        if one.dtype not in dtypes:
            raise refuse_operands(f"{operator} does not read {one.dtype} at place {place}")
    return inputs


def check_dtype(operator: str, computed: CanonDtype, asked: CanonDtype | None) -> CanonDtype:
    """Check that a record's dtype, where given, is what is computed.

    Raises:
        Refusal: `canon.wrong-operands`.
    """
    if asked is not None and asked != computed:
        raise refuse_operands(f"{operator} computes {computed} here, not {asked}")
    return computed


def check_attributes(operator: str, attributes: Attributes, *names: str) -> None:
    """Check that there are exactly these attributes.

    Raises:
        Refusal: `canon.wrong-attributes`.
    """
    if set(attributes) != set(names):
        have, want = ", ".join(sorted(attributes)), ", ".join(sorted(names))
        raise refuse_attributes(f"{operator} has the attributes [{want}], not [{have}]")


def get_word(operator: str, attributes: Attributes, name: str, *admitted: str) -> str:
    """Get an attribute that is one of some words. Raises Refusal `canon.wrong-attributes`."""
    value = attributes[name]
    if not isinstance(value, str) or value not in admitted:
        raise refuse_attributes(f"{operator}'s {name} is one of {', '.join(admitted)}")
    return value


def get_sizes(
    operator: str, attributes: Attributes, name: str, count: int | None = None
) -> tuple[Size, ...]:
    """Get an attribute of sizes, of a fixed number of them if asked.

    Raises:
        Refusal: `canon.wrong-attributes`.
    """
    value = attributes[name]
    if isinstance(value, str) or (count is not None and len(value) != count):
        many = "sizes" if count is None else f"{count} sizes"
        raise refuse_attributes(f"{operator}'s {name} is of {many}")
    return value


def get_literals(
    operator: str, attributes: Attributes, name: str, count: int | None = None
) -> tuple[int, ...]:
    """Get an attribute of sizes that depend on no dim. Raises Refusal `canon.wrong-attributes`."""
    sizes = get_sizes(operator, attributes, name, count)
    literals = tuple(size for size in sizes if isinstance(size, int))
    if len(literals) != len(sizes):
        raise refuse_attributes(f"{operator}'s {name} is of integers that depend on no dim")
    return literals


def get_literal(operator: str, attributes: Attributes, name: str, least: int, greatest: int) -> int:
    """Get an attribute of one integer within bounds. Raises Refusal `canon.wrong-attributes`."""
    (value,) = get_literals(operator, attributes, name, 1)
    if not least <= value <= greatest:
        raise refuse_attributes(f"{operator}'s {name} is from {least} to {greatest}, not {value}")
    return value


def broadcast(operator: str, *shapes: tuple[Size, ...]) -> tuple[Size, ...]:
    """Broadcast shapes together, right-aligned; a literal 1 is stretched.

    Raises:
        Refusal: `canon.wrong-operands`.
    """
    joined: list[Size] = []
    for sizes in zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1):
        wide = {size for size in sizes if size != 1}
        if len(wide) > 1:
            shown = " and ".join(sorted(show_size(size) for size in wide))
            raise refuse_operands(f"{operator} cannot broadcast sizes {shown}")
        joined.append(wide.pop() if wide else 1)
    return tuple(reversed(joined))


def split_last(operator: str, tensor: TensorType) -> tuple[tuple[Size, ...], Size]:
    """Split a shape into all sizes but the last, and the last.

    Raises:
        Refusal: `canon.wrong-operands` for a scalar.
    """
    if not tensor.shape:
        raise refuse_operands(f"{operator} works along a last axis; a scalar has none")
    return tensor.shape[:-1], tensor.shape[-1]
