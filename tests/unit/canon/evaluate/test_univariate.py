from __future__ import annotations

import numpy as np
import pytest

from probatum.canon.arith import functions
from probatum.canon.arith.formats import FORMATS
from probatum.canon.arith.powers import power
from probatum.canon.evaluate.rounding import round_to
from probatum.canon.evaluate.univariate import circle, error_function, exponential, logarithm
from probatum.canon.evaluate.univariate.applying import FUNCTIONS
from probatum.canon.evaluate.values import get_bits
from probatum.canon.evaluate.workspace import Scratch
from tests.unit.canon.evaluate.oracle import compute, make_hostile

NARROW = ("float16", "bfloat16", "float32")


def make_arguments(dtype, seed):
    rng = np.random.default_rng(seed)
    usual = [
        rng.standard_normal(150),
        rng.standard_normal(100) * 30,
        rng.standard_normal(60) * 2.0 ** rng.integers(-60, 17, 60),
        rng.uniform(-105, 89, 100),
        1 + rng.standard_normal(60) * 2.0 ** rng.integers(-24, 0, 60),
        np.arange(40) * np.pi / 2,
        np.array([88.72283, 88.72284, -103.97208, -103.97207, 9.01, 9.02, 3.9192059, 3.92]),
    ]
    return np.concatenate((make_hostile(dtype, 200, seed), round_to(dtype, np.concatenate(usual))))


@pytest.mark.parametrize("dtype", NARROW)
@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_every_function_is_the_integers(name, dtype):
    x = make_arguments(dtype, 1)
    exact = FUNCTIONS[name].exact
    want = [exact(FORMATS[dtype], bits) for bits in get_bits(x).tolist()]
    got = compute(name, [(dtype, x)], dtype, x.shape).tolist()
    wrong = [
        (hex(a), hex(b), hex(c)) for a, b, c in zip(get_bits(x), got, want, strict=True) if b != c
    ]
    assert not wrong, wrong[:5]


@pytest.mark.parametrize("name", sorted(FUNCTIONS))
def test_float64_goes_to_the_integers(name):
    x = np.concatenate((make_hostile("float64", 20), np.linspace(-3, 3, 10)))
    exact = FUNCTIONS[name].exact
    want = [exact(FORMATS["float64"], bits) for bits in get_bits(x).tolist()]
    assert compute(name, [("float64", x)], "float64", x.shape).tolist() == want


@pytest.mark.parametrize("dtype", NARROW)
def test_power(dtype):
    rng = np.random.default_rng(2)
    x = np.concatenate((make_hostile(dtype, 150, 3), round_to(dtype, rng.uniform(0, 9, 150))))
    y = np.concatenate((make_hostile(dtype, 150, 4), round_to(dtype, rng.standard_normal(150) * 4)))
    y[:40] = round_to(dtype, rng.choice([2.0, 0.5, 3.0, -1.0, 0.0, 1.0], 40))
    want = [
        power(FORMATS[dtype], a, b)
        for a, b in zip(get_bits(x).tolist(), get_bits(y).tolist(), strict=True)
    ]
    assert compute("Pow", [(dtype, x), (dtype, y)], dtype, x.shape).tolist() == want


def test_threads_change_nothing():
    x = np.random.default_rng(5).standard_normal(40000).astype(np.float32)
    for name in ("Exp", "Erf"):
        one = compute(name, [("float32", x)], "float32", x.shape)
        two = compute(name, [("float32", x)], "float32", x.shape, settings={"threads": 2})
        assert (one == two).all()


CLAIMS = {
    "Exp": (exponential.compute_exp, functions.exp, (-104, 104), exponential.EXP_ERROR),
    "Sigmoid": (
        exponential.compute_sigmoid,
        functions.sigmoid,
        (-104, 40),
        exponential.SIGMOID_ERROR,
    ),
    "Tanh": (exponential.compute_tanh, functions.tanh, (-12, 12), exponential.TANH_ERROR),
    "Erf": (error_function.compute_erf, functions.erf, (-4, 4), error_function.ERF_ERROR),
    "Erf, rough": (
        error_function.compute_erf_roughly,
        functions.erf,
        (-4, 4),
        error_function.ROUGH_ERROR,
    ),
    "Log": (logarithm.compute_log, functions.log, (0, 9), logarithm.LOG_ERROR),
    "Sin": (circle.compute_sine, functions.sin, (-99, 99), circle.CIRCLE_ERROR),
    "Cos": (circle.compute_cosine, functions.cos, (-99, 99), circle.CIRCLE_ERROR),
}


@pytest.mark.parametrize("name", sorted(CLAIMS))
def test_level_one_keeps_its_bound(name):
    """Against the function in float64, rounded once: half a unit of slack."""
    compute_fast, exact, (least, most), error = CLAIMS[name]
    rng = np.random.default_rng(6)
    x = np.concatenate(
        (
            rng.uniform(least, most, 500),
            np.exp(rng.uniform(-80, 1, 300)),
            rng.uniform(0.9, 1.1, 200),
        )
    )
    x = x.astype(np.float32).astype(np.float64)
    bits = [exact(FORMATS["float64"], one) for one in get_bits(x).tolist()]
    want = np.array(bits, np.uint64).view(np.float64)
    got = compute_fast(x.copy(), Scratch())
    sure = ~np.isnan(got)
    assert sure.mean() > 0.9
    off = np.abs(got[sure] - want[sure]) / np.abs(want[sure])
    # A polynomial fitted to its bound, with its claim close above, and no more to spare.
    spare = 1 if "rough" in name else 2
    assert off[np.isfinite(off)].max() < error / spare
