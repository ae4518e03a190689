"""Exact sums against fractions, in any order and split (`CANON-9`)."""

import random
from fractions import Fraction

import pytest

from probatum.canon.arith import sums
from probatum.canon.arith.formats import FLOAT16, FLOAT32, FLOAT64, FORMATS, decode, inf, nan, one
from probatum.canon.arith.rounding import round_dyadic, round_ratio
from probatum.errors import Refusal

ALL = pytest.mark.parametrize("fmt", FORMATS.values(), ids=FORMATS)


def value_of(fmt, bits):
    number = decode(fmt, bits)
    return number.signed * Fraction(2) ** number.exponent


def rows(fmt, chance):
    """Rows of every kind: ordinary, wild exponents, subnormals, zeros, cancelling, empty."""
    narrow = one(fmt)
    span = 6 << (fmt.precision - 1)
    makers = [
        lambda: chance.randrange(narrow - span, narrow + span),
        lambda: chance.randrange(fmt.infinity),
        lambda: chance.randrange(1 << (fmt.precision - 1)),
        lambda: chance.choice([0, 0, chance.randrange(narrow - span, narrow)]),
        lambda: chance.choice([0, 1, 1 << (fmt.precision - 1), fmt.infinity - 1]),
        lambda: 0,
    ]
    for make in makers:
        for length in (1, 2, 7, 64):
            row = [make() | chance.choice([0, fmt.sign_bit]) for _ in range(length)]
            yield row
            yield row + [bits ^ fmt.sign_bit for bits in reversed(row)]
    yield []


@ALL
def test_sums_and_means_of_elements(fmt):
    chance = random.Random(1)
    for row in rows(fmt, chance):
        exact = sum((value_of(fmt, bits) for bits in row), Fraction(0))
        partial = sums.sum_elements(fmt, row)
        want = round_ratio(fmt, exact.numerator, exact.denominator)
        assert sums.finish_sum(fmt, partial) == want
        mean = exact / max(len(row), 1)
        assert sums.finish_mean(fmt, partial, max(len(row), 1)) == round_ratio(
            fmt, mean.numerator, mean.denominator
        )


@ALL
def test_sums_of_products_in_any_order_and_split(fmt):
    chance = random.Random(2)
    lines = [row for row in rows(fmt, chance) if row]
    for left in lines:
        for right in chance.sample(lines, 12):
            length = min(len(left), len(right))
            one_row, two = left[:length], right[:length]
            exact = sum(
                (value_of(fmt, a) * value_of(fmt, b) for a, b in zip(one_row, two, strict=True)),
                Fraction(0),
            )
            partial = sums.sum_products(fmt, one_row, two)
            assert sums.finish_products(fmt, partial) == round_ratio(
                fmt, exact.numerator, exact.denominator
            )
            cut = chance.randrange(length + 1)
            parts = [
                sums.sum_products(fmt, one_row[:cut], two[:cut]),
                sums.sum_products(fmt, one_row[cut:], two[cut:]),
            ]
            chance.shuffle(parts)
            assert sums.combine(*parts) == partial


@ALL
def test_signs_of_zero(fmt):
    minus = fmt.sign_bit
    assert sums.finish_sum(fmt, sums.sum_elements(fmt, [minus, minus])) == 0
    assert sums.finish_products(fmt, sums.sum_products(fmt, [minus], [one(fmt)])) == 0
    assert sums.finish_sum(fmt, sums.sum_elements(fmt, [])) == 0
    # What is not zero but rounds to it keeps its sign.
    assert sums.finish_products(fmt, sums.sum_products(fmt, [1 | minus], [1])) == minus
    assert sums.finish_mean(fmt, sums.sum_elements(fmt, [1 | minus]), 3) == minus


@ALL
def test_overflow_happens_once_at_the_end(fmt):
    top, minus = fmt.infinity - 1, fmt.sign_bit
    assert sums.finish_sum(fmt, sums.sum_elements(fmt, [top, top])) == fmt.infinity
    assert sums.finish_sum(fmt, sums.sum_elements(fmt, [top, top, top | minus])) == top
    assert sums.finish_mean(fmt, sums.sum_elements(fmt, [top] * 9), 9) == top
    ones = [one(fmt)] * 4
    row = [top, top, top | minus, top | minus]
    assert sums.finish_products(fmt, sums.sum_products(fmt, row, ones)) == 0


@ALL
def test_infinities_and_nan(fmt):
    plus, minus, quiet, unit = inf(fmt), inf(fmt, negative=True), nan(fmt), one(fmt)
    loud = fmt.sign_bit | (fmt.infinity + 1)
    cases = {
        (plus, unit): plus,
        (minus, unit, 0): minus,
        (plus, plus): plus,
        (plus, unit, minus): quiet,
        (unit, loud): quiet,
        (minus, quiet): quiet,
    }
    for row, want in cases.items():
        assert sums.finish_sum(fmt, sums.sum_elements(fmt, row)) == want
        assert sums.finish_products(fmt, sums.sum_products(fmt, row, [unit] * len(row))) == want
        parts = [sums.sum_elements(fmt, [bits]) for bits in row]
        joined = parts[0]
        for part in parts[1:]:
            joined = sums.combine(joined, part)
        assert joined == sums.sum_elements(fmt, row)
    products = {
        ((plus,), (0,)): quiet,
        ((fmt.sign_bit, unit), (minus, unit)): quiet,
        ((plus, unit), (unit | fmt.sign_bit, unit)): minus,
        ((minus, plus), (minus, plus)): plus,
        ((minus, plus), (minus, minus)): quiet,
        ((0, unit), (loud, unit)): quiet,
    }
    for (left, right), want in products.items():
        assert sums.finish_products(fmt, sums.sum_products(fmt, left, right)) == want
        assert sums.finish_products(fmt, sums.sum_products(fmt, right, left)) == want


def test_partials_have_one_encoding_of_at_most_640_bytes():
    for value in (0, 1, -1, 127, 128, -128, -129, 255, 256, 1 << 4300, -(1 << 4300)):
        partial = sums.encode_partial(sums.Total("finite", value))
        assert sums.decode_partial(partial).value == value
        padding = b"\xff" if value < 0 else b"\x00"
        with pytest.raises(Refusal, match="encoding"):
            sums.decode_partial(partial[:1] + padding + partial[1:])
    for bad in (b"", b"\x04", b"\x01\x05", b"\x03\x00", b"\x00\x00", bytes(641), b"\x00" * 2):
        with pytest.raises(Refusal) as caught:
            sums.decode_partial(bad)
        assert caught.value.code == "canon.bad-partial"
    largest = b"\x00\x7f" + b"\xff" * 638
    assert sums.decode_partial(largest).value == (1 << 639 * 8 - 1) - 1
    with pytest.raises(Refusal):
        sums.combine(largest, b"\x00\x01")
    widest = sums.sum_products(
        FLOAT64, [FLOAT64.infinity - 1] * 4096, [FLOAT64.infinity - 1] * 4096
    )
    assert len(widest) < 540


def test_combining_is_associative_and_commutative():
    chance = random.Random(4)
    plain = [
        sums.encode_partial(sums.Total("finite", chance.getrandbits(99) - (1 << 98))) for _ in "abc"
    ]
    parts = [*plain, b"\x01", b"\x02", b"\x03", b"\x00"]
    for a in parts:
        for b in parts:
            assert sums.combine(a, b) == sums.combine(b, a)
            for c in parts:
                assert sums.combine(sums.combine(a, b), c) == sums.combine(a, sums.combine(b, c))


def test_ties_of_a_sum_go_to_even():
    # 1 + 2^-11 and (1 + 2^-10) + 2^-11 lie halfway in float16.
    unit, half = one(FLOAT16), round_dyadic(FLOAT16, 1, -11)
    assert sums.finish_sum(FLOAT16, sums.sum_elements(FLOAT16, [unit, half])) == unit
    assert sums.finish_sum(FLOAT16, sums.sum_elements(FLOAT16, [unit + 1, half])) == unit + 2
    assert sums.finish_sum(FLOAT32, sums.sum_elements(FLOAT32, [one(FLOAT32), 1])) == one(FLOAT32)
