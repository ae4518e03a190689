"""Cast: a number in another dtype (`CANON-1`, `CANON-8`).

To floats: rounded once, beyond the range infinite. Floats to integers: cut toward zero, saturated,
NaN is 0. Integers to integers: wrapped. To bool: not zero; NaN is true.
"""

from __future__ import annotations

from dataclasses import dataclass

from probatum.canon.arith.basic import convert
from probatum.canon.arith.formats import FORMATS, Format, decode, from_signed
from probatum.canon.arith.rounding import round_dyadic
from probatum.canon.graph.binding import BoundNode
from probatum.canon.graph.sizes import Size
from probatum.canon.graph.types import DTYPES, CanonDtype, TensorType
from probatum.canon.primitives.interface import Attributes, Read, ReadBound, Reading
from probatum.canon.primitives.maps.arithmetic import WORK, read_int
from probatum.canon.primitives.operands import (
    FLOATS,
    WIDTHS,
    check_attributes,
    check_operands,
    is_signed,
    refuse_operands,
)

__all__ = ["Cast", "cast"]


def cast(source: CanonDtype, target: CanonDtype, bits: int) -> int:
    """Cast an element's bits."""
    if source in FLOATS:
        fmt = FORMATS[source]
        if target in FLOATS:
            return convert(fmt, FORMATS[target], bits)
        if target == "bool":
            return int(bits & (fmt.sign_bit - 1) != 0)
        return _saturate(fmt, target, bits)
    value = int(bits != 0) if source == "bool" else read_int(source, bits)
    if target in FLOATS:
        return round_dyadic(FORMATS[target], value)
    return int(value != 0) if target == "bool" else from_signed(WIDTHS[target], value)


def _saturate(fmt: Format, target: CanonDtype, bits: int) -> int:
    width = WIDTHS[target]
    least, greatest = (
        (-(1 << (width - 1)), (1 << (width - 1)) - 1)
        if is_signed(target)
        else (0, (1 << width) - 1)
    )
    x = decode(fmt, bits)
    if x.kind == "inf":
        value = least if x.negative else greatest
    else:
        whole = x.mantissa << x.exponent if x.exponent >= 0 else x.mantissa >> -x.exponent
        value = min(max(-whole if x.negative else whole, least), greatest)
    return from_signed(width, value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cast:
    """The one primitive whose result's dtype the record decides."""

    operator: str = "Cast"
    version: int = 1

    def infer(
        self,
        inputs: tuple[TensorType, ...],
        attributes: Attributes,
        dtype: CanonDtype | None = None,
    ) -> TensorType:
        """Compute the type; see `Typed`."""
        (x,) = check_operands("Cast", inputs, frozenset(DTYPES))
        check_attributes("Cast", attributes)
        if dtype is None:
            raise refuse_operands("Cast needs to know to what")
        return TensorType(dtype, x.shape)

    def list_conditions(self, _: tuple[TensorType, ...], __: Attributes) -> tuple[Size, ...]:
        """None."""
        return ()

    def judge(self, node: BoundNode, element: int) -> Reading:
        """Read one element and cast it."""
        (bits,) = yield (Read(0, element),)
        return cast(node.inputs[0].dtype, node.output.dtype, bits)

    def bound_reads(self, _: BoundNode) -> tuple[ReadBound, ...]:
        """One element."""
        return (ReadBound(0, 1),)

    def count_operations(self, node: BoundNode) -> int:
        """One an element."""
        return node.output.count

    def measure(self, _: BoundNode) -> int:
        """One rounding."""
        return WORK
