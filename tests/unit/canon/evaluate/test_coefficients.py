"""CANON-2: the stored coefficients' greatest errors, in 50 digits on a grid, as the bounds say."""

from __future__ import annotations

from decimal import Decimal, localcontext
from itertools import pairwise

import pytest

from probatum.canon.evaluate.univariate import circle, error_function, exponential, logarithm

POINTS = 1200


def polynomial(coefficients, t):
    total = Decimal(0)
    for coefficient in reversed(coefficients):
        total = total * t + Decimal(coefficient)
    return total


def sum_series(term, ratio):
    """A series of which each term is the one before times ratio(k)."""
    total, k = Decimal(0), 0
    while abs(term) > Decimal(10) ** -48:
        total += term
        k += 1
        term *= ratio(k)
    return total


def even(t):
    """r coth(r/2), t = r²."""
    if t == 0:
        return Decimal(2)
    r = t.sqrt()
    e = r.exp()
    return r * (e + 1) / (e - 1)


def erf_over_x(t):
    """2/sqrt(pi) e^-t sum (2t)^k/(2k+1)!!: all positive."""
    root_pi = Decimal("1.77245385090551602729816748334114518279754945612238712821381")
    series = sum_series(Decimal(1), lambda k: 2 * t / (2 * k + 1))
    return 2 / root_pi * (-t).exp() * series


def log_over_s(t):
    return 2 + sum(2 * t**k / (2 * k + 1) for k in range(1, 40))


def sine_over_r(t):
    return sum_series(Decimal(1), lambda k: -t / ((2 * k) * (2 * k + 1)))


def cosine(t):
    return sum_series(Decimal(1), lambda k: -t / ((2 * k - 1) * (2 * k)))


CASES = {
    "exp": (lambda t: polynomial(exponential.COEFFICIENTS, t), even, "0.12042", -49.5),
    "erf": (
        lambda t: polynomial(error_function.ABOVE, t) / polynomial(error_function.BELOW, t),
        erf_over_x,
        "16",
        -49.1,
    ),
    "erf, rough": (
        lambda t: (
            polynomial(error_function.ROUGH_ABOVE, t) / polynomial(error_function.ROUGH_BELOW, t)
        ),
        erf_over_x,
        "16",
        -36.4,
    ),
    "log": (lambda t: polynomial(logarithm.COEFFICIENTS, t), log_over_s, "0.02946", -51.7),
    "sin": (lambda t: polynomial(circle.SINE, t), sine_over_r, "0.6175", -55.5),
    "cos": (lambda t: polynomial(circle.COSINE, t), cosine, "0.6175", -57),
}


@pytest.mark.parametrize("name", sorted(CASES))
def test_greatest_error(name):
    """Between points the error moves by less than the gap to the next power of two claims."""
    compute, exact, most, claim = CASES[name]
    with localcontext() as context:
        context.prec = 50
        errors = []
        for number in range(POINTS + 1):
            t = Decimal(most) * (Decimal(number) / POINTS) ** 2  # denser where erf moves fast
            errors.append(compute(t) / exact(t) - 1)
        greatest = max(map(abs, errors))
        # An error curve of few extrema: what lies between two points is bounded by the largest
        # step between neighbours.
        step = max(abs(b - a) for a, b in pairwise(errors))
    assert greatest + step / 2 < 2 ** Decimal(claim)
    assert greatest > 2 ** Decimal(claim - 2), "the claim is not idle"


def test_all_positive_where_the_proof_says_so():
    for coefficients in (
        error_function.ABOVE,
        error_function.BELOW,
        error_function.ROUGH_ABOVE,
        error_function.ROUGH_BELOW,
        logarithm.COEFFICIENTS,
    ):
        assert min(coefficients) > 0


def test_parts_of_a_quarter_turn():
    pi = Decimal("3.14159265358979323846264338327950288419716939937510582097494459")
    with localcontext() as context:
        context.prec = 60
        assert abs(sum(map(Decimal, circle.QUARTER)) - pi / 2) < Decimal(2) ** -120
        ln2 = Decimal(2).ln()
        assert abs(Decimal(exponential.LN2) - ln2) < Decimal(2) ** -55
        parts = Decimal(logarithm.LN2_HIGH) + Decimal(logarithm.LN2_LOW)
        assert abs(parts - ln2) < Decimal(2) ** -90
    for part in circle.QUARTER[:2]:
        mantissa, _ = part.as_integer_ratio()
        assert mantissa.bit_length() <= 33
