"""Sizes: one form a polynomial, exact when bound, bounded before they are trusted (`NODE-1`)."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from probatum.canon.graph.sizes import (
    Expr,
    Quotient,
    Term,
    bind_size,
    bound_size,
    check_size,
    make_dim,
    multiply_sizes,
    show_size,
    sum_sizes,
)
from probatum.errors import Refusal
from probatum.protocol.encoding import decode, encode

N, M = make_dim("n"), make_dim("m")
DIMS = frozenset({"n", "m"})


LEAVES = st.sampled_from([(N, lambda d: d["n"]), (M, lambda d: d["m"])]) | st.integers(-9, 9).map(
    lambda value: (value, lambda _: value)
)


def both(operation):
    """The same operation on a size and on what it is when dims are bound."""

    def apply(one, two):
        (left, bind_left), (right, bind_right) = one, two
        return (
            operation(left, right),
            lambda dims: operation(bind_left(dims), bind_right(dims)),
        )

    return apply


OPERATIONS = st.sampled_from(
    [lambda a, b: a + b, lambda a, b: a - b, lambda a, b: a * b]
) | st.integers(1, 7).map(lambda divisor: lambda a, b: (a + b) // divisor)
SIZES = st.recursive(
    LEAVES,
    lambda children: st.builds(
        lambda operation, one, two: both(operation)(one, two), OPERATIONS, children, children
    ),
    max_leaves=5,
)


@given(pair=SIZES, n=st.integers(0, 50), m=st.integers(0, 50))
def test_arithmetic_before_binding_is_arithmetic_after_it(pair, n, m):
    size, compute = pair
    dims = {"n": n, "m": m}
    assert bind_size(size, dims) == compute(dims)
    assert bind_size(sum_sizes((size, 1, size)), dims) == 2 * compute(dims) + 1


@given(pair=SIZES, n=st.integers(0, 20), m=st.integers(0, 20), wide=st.integers(0, 20))
def test_a_range_encloses_every_value(pair, n, m, wide):
    low, high = bound_size(pair[0], {"n": (n, n + wide), "m": (m, m)})
    for value in (n, n + wide // 2, n + wide):
        assert low <= bind_size(pair[0], {"n": value, "m": m}) <= high


def count_depth(size):
    factors = [f for term in getattr(size, "terms", ()) for f in term.factors]
    inner = [count_depth(f.numerator) for f in factors if isinstance(f, Quotient)]
    return max(inner, default=0) + isinstance(size, Expr)


@given(pair=SIZES)
def test_what_arithmetic_makes_is_in_its_one_form(pair):
    if count_depth(pair[0]) <= 4:  # the only thing that arithmetic does not watch
        check_size(pair[0], DIMS)
    if isinstance(pair[0], Expr):
        assert decode(Expr, encode(pair[0]), limit_bytes=1 << 16) == pair[0]


def test_equal_polynomials_are_equal():
    assert (N + 1) * (N - 1) == N * N - 1
    assert N * M == M * N
    assert N - N == 0
    assert (4 * N + 6) // 2 == 2 * N + 3
    assert 3 - N == -1 * N + 3
    assert -N == 0 - N
    assert multiply_sizes((N, 2, M)) == 2 * M * N


def test_quotients_round_down():
    half = (N - 3) // 2
    assert [bind_size(half, {"n": n}) for n in (0, 1, 2, 3, 6)] == [-2, -1, -1, 0, 1]


@pytest.mark.parametrize(
    "size",
    [
        Expr(terms=(Term(coefficient=0, factors=("n",)),)),
        Expr(terms=(Term(coefficient=3, factors=()),)),
        Expr(terms=(Term(coefficient=1, factors=("n", "m")),)),
        Expr(terms=(Term(coefficient=1, factors=()), Term(coefficient=1, factors=("n",)))),
        Expr(terms=(Term(coefficient=1, factors=("n",)), Term(coefficient=1, factors=("n",)))),
        Expr(terms=(Term(coefficient=1, factors=(Quotient(numerator=N, divisor=1),)),)),
        Expr(terms=(Term(coefficient=1, factors=(Quotient(numerator=2 * N, divisor=2),)),)),
        Expr(terms=(Term(coefficient=1, factors=(Quotient(numerator=N, divisor=-2),)),)),
        1 << 62,
    ],
)
def test_other_forms_are_refused(size):
    with pytest.raises(Refusal, match=r"canon\.bad-size"):
        check_size(size, DIMS)


def test_unknown_dims_are_refused():
    for call in (
        lambda: check_size(make_dim("k"), DIMS),
        lambda: bind_size(N, {}),
        lambda: bound_size(N, {}),
    ):
        with pytest.raises(Refusal, match=r"canon\.unknown-dim"):
            call()


def test_bounds_hold():
    deep = N
    for _ in range(6):
        deep = (deep + 1) // 3 + N
    with pytest.raises(Refusal, match="nested"):
        check_size(deep, DIMS)
    with pytest.raises(Refusal, match=r"canon\.bad-size"):
        N * (1 << 62)
    with pytest.raises(Refusal, match=r"canon\.bad-size"):
        bind_size(N * N, {"n": 1 << 40})
    with pytest.raises(Refusal, match=r"canon\.bad-size"):
        N // 0
    with pytest.raises(Refusal, match=r"canon\.bad-size"):
        multiply_sizes((N,) * 9)
    with pytest.raises(Refusal, match="more than"):
        sum_sizes(tuple(make_dim(f"d{i}") for i in range(17)))


def test_sizes_are_shown():
    assert show_size(5) == "5"
    assert show_size(2 * N * M + (N - 1) // 2 + 1) == "2*m*n + floor((n + -1)/2) + 1"
