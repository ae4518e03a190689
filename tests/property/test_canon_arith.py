"""Whatever the bits: the nearest value, as MPFR has it, and sums in any split (`CANON-3`)."""

from hypothesis import given
from hypothesis import strategies as st

from probatum.canon.arith import basic, functions, sums
from probatum.canon.arith.formats import FORMATS, compute_order, decode
from probatum.canon.arith.powers import power
from probatum.canon.arith.rounding import round_dyadic, round_ratio
from probatum.errors import Refusal
from tests.unit.canon.arith import mpfr


@st.composite
def elements(draw, count=1):
    fmt = draw(st.sampled_from(list(FORMATS.values())))
    near = st.builds(
        lambda mantissa, exponent: round_dyadic(fmt, mantissa, exponent),
        st.integers(-(1 << 12), 1 << 12),
        st.integers(-30, 10),
    )
    one = st.integers(0, (1 << fmt.width) - 1) | near
    return fmt, *(draw(one) for _ in range(count))


@given(elements(), st.sampled_from(list(mpfr.FUNCTIONS)))
def test_functions_are_mpfrs(drawn, name):
    fmt, bits = drawn
    want = mpfr.compute(fmt, mpfr.FUNCTIONS[name], bits)
    assert getattr(functions, name)(fmt, bits) == want


@given(elements(count=2))
def test_powers_are_mpfrs(drawn):
    fmt, x, y = drawn
    assert power(fmt, x, y) == mpfr.compute(fmt, pow, x, y)


@given(elements(count=2))
def test_addition_and_multiplication_commute(drawn):
    fmt, x, y = drawn
    assert basic.add(fmt, x, y) == basic.add(fmt, y, x)
    assert basic.multiply(fmt, x, y) == basic.multiply(fmt, y, x)


@given(elements(count=8), st.integers(0, 4), st.randoms())
def test_no_order_or_split_changes_a_sum(drawn, cut, chance):
    fmt, *row = drawn
    pairs = list(zip(row[:4], row[4:], strict=True))
    whole = sums.sum_products(fmt, *zip(*pairs, strict=True))
    chance.shuffle(pairs)
    parts = [
        sums.sum_products(fmt, [x for x, _ in part], [y for _, y in part])
        for part in (pairs[:cut], pairs[cut:])
    ]
    assert sums.combine(*parts) == whole
    assert sums.finish_products(fmt, whole) < 1 << fmt.width


@given(
    st.sampled_from(list(FORMATS.values())),
    st.integers(),
    st.integers(1),
    st.integers(),
    st.integers(1),
    st.integers(-1200, 1200),
)
def test_rounding_is_monotonous(fmt, top, bottom, other_top, other_bottom, exponent):
    one = round_ratio(fmt, top, bottom, exponent)
    two = round_ratio(fmt, other_top, other_bottom, exponent)
    difference = top * other_bottom - other_top * bottom
    if difference <= 0:
        assert compute_order(fmt, one) <= compute_order(fmt, two)
    if difference >= 0:
        assert compute_order(fmt, one) >= compute_order(fmt, two)
    assert decode(fmt, one).negative == (top < 0)


@given(st.binary(max_size=700), st.binary(max_size=700))
def test_partials_are_refused_or_joined(left, right):
    try:
        joined = sums.combine(left, right)
    except Refusal as refusal:
        assert refusal.code == "canon.bad-partial"  # noqa: PT017
        return
    assert sums.encode_partial(sums.decode_partial(joined)) == joined


@given(st.integers(-(1 << 5000), 1 << 5000))
def test_zero_is_neutral(value):
    partial = sums.encode_partial(sums.Total("finite", value))
    for one in (partial, b"\x01", b"\x02", b"\x03"):
        assert sums.combine(one, b"\x00") == sums.combine(b"\x00", one) == one
