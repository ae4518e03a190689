"""Exact sums: of elements, and of products of two elements, rounded once at the end (`CANON-9`).

A partial sum is an integer in units of the least value (or of its square), or an infinity, or NaN;
joining partials is exact, so no order or split of the terms changes a bit. Must not know which
primitive sums.

A partial's bytes are one byte of kind (0 finite, 1 +inf, 2 -inf, 3 NaN) and, where finite, the
integer as two's complement, big-endian, as short as can be: zero has none.
"""

from __future__ import annotations

from collections.abc import Sequence
from operator import mul
from typing import Final, Literal, NamedTuple, TypeAlias

from probatum.canon.arith.formats import Format, inf, nan
from probatum.canon.arith.rounding import round_dyadic, round_ratio
from probatum.errors import Refusal

__all__ = [
    "PARTIAL_BYTES",
    "Total",
    "combine",
    "decode_partial",
    "encode_partial",
    "finish_mean",
    "finish_products",
    "finish_sum",
    "sum_elements",
    "sum_products",
]

PARTIAL_BYTES: Final = 640
"""Float64 products span 4,196 bits; this leaves room for more terms than can be."""

TotalKind: TypeAlias = Literal["finite", "+inf", "-inf", "nan"]
KINDS: Final[tuple[TotalKind, ...]] = ("finite", "+inf", "-inf", "nan")


class Total(NamedTuple):
    """An exact partial sum.

    Attributes:
        kind: Infinities of both signs together are NaN.
        value: The sum in units; 0 where not finite.
    """

    kind: TotalKind
    value: int


def encode_partial(total: Total) -> bytes:
    """Write a partial sum in its one encoding."""
    value = total.value
    # One bit of sign; the lengths of -2**n and 2**n - 1 are alike.
    length = 0 if value == 0 else (value if value > 0 else ~value).bit_length() // 8 + 1
    return bytes((KINDS.index(total.kind),)) + value.to_bytes(length, "big", signed=True)


def decode_partial(partial: bytes) -> Total:
    """Read a partial sum.

    Raises:
        Refusal: `canon.bad-partial`.
    """
    if not 1 <= len(partial) <= PARTIAL_BYTES or partial[0] >= len(KINDS):
        raise Refusal("canon.bad-partial", "these bytes are no partial sum")
    total = Total(KINDS[partial[0]], int.from_bytes(partial[1:], "big", signed=True))
    if (total.kind != "finite" and len(partial) > 1) or encode_partial(total) != partial:
        raise Refusal("canon.bad-partial", "a partial sum is not in its one encoding")
    return total


def combine(left: bytes, right: bytes) -> bytes:
    """Add two partial sums of one unit, exactly.

    Raises:
        Refusal: `canon.bad-partial`, also where the sum does not fit a partial.
    """
    one, two = decode_partial(left), decode_partial(right)
    if one.kind == "finite" and two.kind == "finite":
        joined = encode_partial(Total("finite", one.value + two.value))
        if len(joined) > PARTIAL_BYTES:
            raise Refusal("canon.bad-partial", "a partial sum is larger than any sum can be")
        return joined
    kinds = {one.kind, two.kind} - {"finite"}
    return encode_partial(Total(kinds.pop() if len(kinds) == 1 else "nan", 0))


def sum_elements(fmt: Format, elements: Sequence[int]) -> bytes:
    """Sum elements in units of the least value.

    Args:
        fmt: Their format.
        elements: Their bits.
    """
    values = _scale(fmt, elements)
    if values is None:
        magnitudes = fmt.sign_bit - 1
        found = {bits for bits in elements if bits & magnitudes >= fmt.infinity}
        return encode_partial(_join_specials(fmt, found))
    scaled, shift = values
    return encode_partial(Total("finite", sum(scaled) << shift))


def sum_products(fmt: Format, left: Sequence[int], right: Sequence[int]) -> bytes:
    """Sum the products of two rows of elements in units of the least value's square.

    Args:
        fmt: The format of both.
        left: Bits of the first factors.
        right: Bits of the second factors, as many.
    """
    ones, twos = _scale(fmt, left), _scale(fmt, right)
    if ones is None or twos is None:
        found = {_multiply_special(fmt, a, b) for a, b in zip(left, right, strict=True)}
        return encode_partial(_join_specials(fmt, found - {0}))
    assert len(left) == len(right), "two rows of a product are as long as each other"
    return encode_partial(Total("finite", sum(map(mul, ones[0], twos[0])) << ones[1] + twos[1]))


def finish_sum(fmt: Format, partial: bytes) -> int:
    """Round a sum of elements to their format. Raises Refusal `canon.bad-partial`."""
    return _finish(fmt, partial, fmt.least_exponent, 1)


def finish_mean(fmt: Format, partial: bytes, count: int) -> int:
    """Round the mean of `count` > 0 elements to their format, once.

    Raises:
        Refusal: `canon.bad-partial`.
    """
    return _finish(fmt, partial, fmt.least_exponent, count)


def finish_products(fmt: Format, partial: bytes) -> int:
    """Round a sum of products to their factors' format. Raises Refusal `canon.bad-partial`."""
    return _finish(fmt, partial, 2 * fmt.least_exponent, 1)


def _finish(fmt: Format, partial: bytes, unit: int, count: int) -> int:
    total = decode_partial(partial)
    if total.kind != "finite":
        return nan(fmt) if total.kind == "nan" else inf(fmt, negative=total.kind == "-inf")
    if count == 1:
        return round_dyadic(fmt, total.value, unit)
    return round_ratio(fmt, total.value, count, unit)


def _scale(fmt: Format, elements: Sequence[int]) -> tuple[list[int], int] | None:
    """Turn elements into integers of one unit, 2**shift of the least value.

    The unit is the coarsest that the exponents allow, so that ordinary rows stay small integers.
    None where an element is not finite.
    """
    fraction_bits = fmt.precision - 1
    fraction, implied = (1 << fraction_bits) - 1, 1 << fraction_bits
    fields = [bits >> fraction_bits for bits in elements]  # sign and biased exponent
    present = set(fields)
    sign = fmt.sign_bit >> fraction_bits
    if not present.isdisjoint((sign - 1, 2 * sign - 1)):
        return None
    tiny = not present.isdisjoint((0, sign))
    if tiny and any(bits & fraction for bits in elements if not bits >> fraction_bits & sign - 1):
        # A subnormal has the exponent of field 1 but no implied bit.
        scales = {f: _get_scale(f, sign, 1) for f in present}
        implieds = {f: implied if f & sign - 1 else 0 for f in present}
        pairs = zip(elements, fields, strict=True)
        return [((bits & fraction) | implieds[f]) * scales[f] for bits, f in pairs], 0
    least = min((f & sign - 1 for f in present if f & sign - 1), default=1)
    scales = {f: _get_scale(f, sign, least) if f & sign - 1 else 0 for f in present}
    return [
        (bits & fraction | implied) * scales[f] for bits, f in zip(elements, fields, strict=True)
    ], least - 1


def _get_scale(field: int, sign: int, least: int) -> int:
    shift = max(field & sign - 1, 1) - least
    return -1 << shift if field & sign else 1 << shift


def _multiply_special(fmt: Format, one: int, two: int) -> int:
    """Multiply where something is not finite: bits of an infinity, of NaN, or 0 if finite."""
    magnitudes = fmt.sign_bit - 1
    left, right = one & magnitudes, two & magnitudes
    if left < fmt.infinity and right < fmt.infinity:
        return 0
    if left > fmt.infinity or right > fmt.infinity or 0 in (left, right):
        return nan(fmt)
    return fmt.infinity | ((one ^ two) & fmt.sign_bit)


def _join_specials(fmt: Format, found: set[int]) -> Total:
    if found == {fmt.infinity}:
        return Total("+inf", 0)
    if found == {fmt.infinity | fmt.sign_bit}:
        return Total("-inf", 0)
    return Total("nan", 0)
