"""Number formats: what an element's bits say (`CANON-1`).

IEEE 754 binary formats and two's complement integers, as bits: an unsigned integer of the format's
width. Read `rounding` next. Must not know what is computed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, Literal, NamedTuple, TypeAlias

__all__ = [
    "BFLOAT16",
    "FLOAT16",
    "FLOAT32",
    "FLOAT64",
    "FORMATS",
    "Format",
    "Kind",
    "Number",
    "compute_order",
    "decode",
    "from_signed",
    "inf",
    "is_nan",
    "nan",
    "one",
    "to_signed",
    "zero",
]

Kind: TypeAlias = Literal["nan", "inf", "zero", "finite"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """An IEEE 754 binary format.

    Attributes:
        name: The dtype that has it.
        width: Bits of an element.
        precision: Bits of a significand, the implied one included.
        least_exponent: The least positive value is 2**least_exponent; all are multiples of it.
        greatest_exponent: The greatest power of two is 2**greatest_exponent.
    """

    name: str
    width: int
    precision: int
    least_exponent: int
    greatest_exponent: int

    @property
    def sign_bit(self) -> int:
        """The bit that makes a number negative."""
        return 1 << (self.width - 1)

    @property
    def infinity(self) -> int:
        """The bits of +inf; greater magnitudes are NaN."""
        return (1 << (self.width - 1)) - (1 << (self.precision - 1))


FLOAT16: Final = Format(
    name="float16", width=16, precision=11, least_exponent=-24, greatest_exponent=15
)
BFLOAT16: Final = Format(
    name="bfloat16", width=16, precision=8, least_exponent=-133, greatest_exponent=127
)
FLOAT32: Final = Format(
    name="float32", width=32, precision=24, least_exponent=-149, greatest_exponent=127
)
FLOAT64: Final = Format(
    name="float64", width=64, precision=53, least_exponent=-1074, greatest_exponent=1023
)
FORMATS: Final[Mapping[str, Format]] = MappingProxyType(
    {fmt.name: fmt for fmt in (FLOAT16, BFLOAT16, FLOAT32, FLOAT64)}
)
"""The floating-point formats by the name of their dtype."""


class Number(NamedTuple):
    """What bits say: a finite value is ±mantissa·2**exponent, the mantissa positive.

    Attributes:
        kind: ``zero`` and ``finite`` (not zero) are told apart; mantissa and exponent are 0 for
            all but ``finite``.
        negative: The sign bit; False for NaN.
        mantissa: The significand as an integer.
        exponent: Of the mantissa's last bit.
    """

    kind: Kind
    negative: bool
    mantissa: int
    exponent: int

    @property
    def signed(self) -> int:
        """The mantissa with its sign; 0 for zeros."""
        return -self.mantissa if self.negative else self.mantissa


def decode(fmt: Format, bits: int) -> Number:
    """Read an element's bits.

    Args:
        fmt: Its format.
        bits: Below 2**width.
    """
    magnitude = bits & (fmt.sign_bit - 1)
    negative = bits >= fmt.sign_bit
    if magnitude >= fmt.infinity:
        if magnitude == fmt.infinity:
            return Number("inf", negative, 0, 0)
        return Number("nan", False, 0, 0)  # noqa: FBT003
    if magnitude == 0:
        return Number("zero", negative, 0, 0)
    biased = magnitude >> (fmt.precision - 1)
    fraction = magnitude & ((1 << (fmt.precision - 1)) - 1)
    if biased == 0:
        return Number("finite", negative, fraction, fmt.least_exponent)
    mantissa = fraction | 1 << (fmt.precision - 1)
    return Number("finite", negative, mantissa, fmt.least_exponent + biased - 1)


def is_nan(fmt: Format, bits: int) -> bool:
    """Tell whether bits are a NaN, whichever."""
    return bits & (fmt.sign_bit - 1) > fmt.infinity


def nan(fmt: Format) -> int:
    """Get the one NaN that a computation gives: positive, quiet, no payload."""
    return fmt.infinity | 1 << (fmt.precision - 2)


def inf(fmt: Format, negative: bool = False) -> int:  # noqa: FBT001, FBT002
    """Get the bits of an infinity."""
    return fmt.infinity | (fmt.sign_bit if negative else 0)


def zero(fmt: Format, negative: bool = False) -> int:  # noqa: FBT001, FBT002
    """Get the bits of a zero."""
    return fmt.sign_bit if negative else 0


def one(fmt: Format, negative: bool = False) -> int:  # noqa: FBT001, FBT002
    """Get the bits of 1 or -1."""
    return (-fmt.least_exponent - fmt.precision + 2) << (fmt.precision - 1) | zero(fmt, negative)


def compute_order(fmt: Format, bits: int) -> int:
    """Compute an integer by which values compare: both zeros are 0, NaN is above +inf."""
    magnitude = bits & (fmt.sign_bit - 1)
    if magnitude > fmt.infinity:
        return fmt.infinity + 1
    return magnitude if bits < fmt.sign_bit else -magnitude


def to_signed(width: int, bits: int) -> int:
    """Read bits as two's complement."""
    return bits - (1 << width) if bits >> (width - 1) else bits


def from_signed(width: int, value: int) -> int:
    """Write an integer as two's complement, wrapping modulo 2**width."""
    return value & ((1 << width) - 1)
