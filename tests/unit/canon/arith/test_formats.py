"""Formats against Python's and numpy's own reading of bits."""

import random
import struct

import ml_dtypes
import numpy as np
import pytest

from probatum.canon.arith import formats
from probatum.canon.arith.formats import FORMATS, Format

CODES = {"float16": "<e", "float32": "<f", "float64": "<d"}


def read(fmt: Format, bits: int) -> float:
    if fmt.name == "bfloat16":
        return struct.unpack("<f", struct.pack("<I", bits << 16))[0]
    return struct.unpack(CODES[fmt.name], bits.to_bytes(fmt.width // 8, "little"))[0]


def sample(fmt: Format) -> list[int]:
    if fmt.width == 16:
        return list(range(1 << 16))
    chance = random.Random(fmt.name)
    edges = [0, 1, fmt.infinity - 1, fmt.infinity, fmt.infinity + 1, formats.nan(fmt)]
    edges += [1 << (fmt.precision - 1), (1 << (fmt.precision - 1)) - 1, formats.one(fmt)]
    return (
        edges
        + [e | fmt.sign_bit for e in edges]
        + [chance.getrandbits(fmt.width) for _ in range(4000)]
    )


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
def test_bits_mean_what_ieee_754_says(fmt):
    for bits in sample(fmt):
        value, number = read(fmt, bits), formats.decode(fmt, bits)
        if np.isnan(value):
            assert number == ("nan", False, 0, 0)
            assert formats.is_nan(fmt, bits)
            continue
        assert not formats.is_nan(fmt, bits)
        assert number.negative == (bits >= fmt.sign_bit)
        if abs(value) == float("inf"):
            assert (number.kind, number.mantissa) == ("inf", 0)
        elif value == 0:
            assert (number.kind, number.mantissa) == ("zero", 0)
        else:
            assert number.kind == "finite"
            assert 0 < number.mantissa < 1 << fmt.precision
            top, bottom = value.as_integer_ratio()
            assert number.signed * bottom << max(number.exponent, 0) == top << max(
                -number.exponent, 0
            )


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
def test_named_values(fmt):
    assert read(fmt, formats.one(fmt)) == 1
    assert read(fmt, formats.one(fmt, negative=True)) == -1
    assert read(fmt, formats.inf(fmt)) == float("inf")
    assert read(fmt, formats.inf(fmt, negative=True)) == -float("inf")
    assert formats.zero(fmt) == 0
    assert str(read(fmt, formats.zero(fmt, negative=True))) == "-0.0"


def test_the_one_nan_is_the_usual_quiet_one():
    want = {"float16": 0x7E00, "bfloat16": 0x7FC0, "float32": 0x7FC00000, "float64": 0x7FF8 << 48}
    assert {name: formats.nan(fmt) for name, fmt in FORMATS.items()} == want
    assert np.array([np.nan], ml_dtypes.bfloat16).view(np.uint16)[0] == 0x7FC0


@pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)
def test_order_is_that_of_the_values_with_nan_greatest(fmt):
    bits = sample(fmt)
    for one, two in zip(bits, reversed(bits), strict=True):
        left, right = read(fmt, one), read(fmt, two)
        if np.isnan(left):
            assert formats.compute_order(fmt, one) > formats.compute_order(fmt, fmt.infinity)
        elif not np.isnan(right):
            ordered = formats.compute_order(fmt, one) < formats.compute_order(fmt, two)
            assert ordered == (left < right)


@pytest.mark.parametrize("width", [8, 16, 32, 64])
def test_integers_wrap(width):
    for value in (0, 1, -1, 2 ** (width - 1) - 1, -(2 ** (width - 1)), 2**200 + 5, -(2**200) - 5):
        bits = formats.from_signed(width, value)
        assert 0 <= bits < 1 << width
        back = formats.to_signed(width, bits)
        assert (back - value) % (1 << width) == 0
        assert -(1 << (width - 1)) <= back < 1 << (width - 1)
