"""CANON-4: the compiled kernel gives numpy's bits, with each width of vectors that there is."""

import importlib.util
import shutil
from pathlib import Path

import numpy as np
import pytest

from probatum.canon.evaluate import evaluating, fused, trial
from probatum.canon.evaluate.compiled import Compiled, find_libraries, load_library
from probatum.canon.evaluate.fused import multiply_fused
from probatum.canon.evaluate.rounding import round_to
from probatum.canon.evaluate.tiles import round_products
from probatum.canon.evaluate.trial import explain_compiled, find_difference, make_floats
from probatum.canon.evaluate.univariate.applying import FUNCTIONS, apply_univariate
from probatum.canon.evaluate.values import Value, get_bits, widen
from probatum.canon.evaluate.widening import widen_rows
from probatum.canon.evaluate.workspace import Flags, Workspace
from tests.unit.canon.evaluate.networks import Network, hash_networks

ROOT = Path(__file__).resolve().parents[4]
NAMES = ("Erf", "Exp", "Log", "Sigmoid", "Tanh")

pytestmark = pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid")


@pytest.fixture(scope="session")
def kernels(tmp_path_factory):
    """The kernel, compiled anew for each width that this processor has."""
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("no C compiler")
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    hook = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(hook)
    target = tmp_path_factory.mktemp("kernel") / "built"
    assert hook.build(ROOT / "src/probatum/canon/evaluate/kernel", target)
    paths = find_libraries(target)
    assert paths[-1].name == "kernel-0.so"
    most = load_library(paths[-1]).probatum_level()
    levels = [int(path.stem[7:]) for path in paths]
    made = [
        Compiled(load_library(path), level)
        for path, level in zip(paths, levels, strict=True)
        if level <= most
    ]
    for kernel in made:
        kernel.multiplies = True  # the narrowest too, which leaves that to the BLAS otherwise
    return made


def apply(name, x, dtype="float32", **settings):
    out = np.empty_like(x)
    value = Value(x, dtype, finite=False)
    apply_univariate(FUNCTIONS[name], value, out, Workspace(**settings))
    return get_bits(out).tolist()


def make_arguments(name):
    """Hostile values, 100,000 of any bits and others, all values of both narrower formats."""
    floats = make_floats(np.random.default_rng(11), 100_000)
    bits = np.arange(1 << 16, dtype=np.uint16)
    narrow = [widen(bits.view(np.float16), "float16"), widen(bits, "bfloat16")]
    x = np.concatenate((floats, *narrow)).astype(np.float32)
    # log of what has none goes to integers, a tenth of a millisecond each.
    return np.concatenate((np.abs(x), x[:100])) if name == "Log" else x


@pytest.mark.parametrize("name", NAMES)
def test_every_function_is_numpys(kernels, name):
    x = make_arguments(name)
    want = apply(name, x)
    for kernel in kernels:
        assert kernel.has(name)
        assert apply(name, x, compiled=kernel) == want
    assert apply(name, x, compiled=kernels[0], threads=2) == want


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_narrower_formats_are_as_before(kernels, name, dtype):
    bits = np.arange(1 << 15, dtype=np.uint16)  # signs cost log's integers
    x = bits.view(np.float16) if dtype == "float16" else bits
    assert apply(name, x, dtype, compiled=kernels[0]) == apply(name, x, dtype)


@pytest.mark.parametrize("count", [0, 1, 7, 8, 9, 255, 256, 257, 1000])
def test_no_length_leaves_anything_out(kernels, count):
    x = np.linspace(-3, 3, count).astype(np.float32)
    want = apply("Tanh", x)
    for kernel in kernels:
        out = np.full(count + 16, 7, np.float32)
        places = np.empty(count, np.int64)
        found = kernel.apply("Tanh", x, out, places)
        assert (out[count:] == 7).all()
        sure = np.ones(count, bool)
        sure[places[:found]] = False
        assert (
            out[:count].view(np.uint32)[sure].tolist() == np.array(want, np.uint32)[sure].tolist()
        )


def test_hardly_anything_is_undecided(kernels):
    x = make_floats(np.random.default_rng(12), 50_000)
    x = x[np.isfinite(x)]
    for kernel in kernels:
        for name in NAMES:
            some = x[x > 0] if name == "Log" else x
            found = kernel.apply(name, some, np.empty_like(some), np.empty(some.size, np.int64))
            assert found < 20


def make_close(rng, shape):
    """float64 at and beside midpoints of float32, zeros of both signs, all exponents."""
    halves = (rng.integers(-(1 << 25), 1 << 25, shape) | 1) / 2.0**25
    near = halves * (1 + rng.integers(-3, 4, shape) * 2.0**-52)
    value = near * 2.0 ** rng.integers(-160, 129, shape)
    value[rng.random(shape) < 0.1] = 0.0
    value[rng.random(shape) < 0.1] *= -0.0
    return value


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 7), (2, 3, 8), (2, 4, 300), (1, 70, 1000)])
def test_tiles_are_decided_as_the_bound_says(kernels, shape):
    rng = np.random.default_rng(13)
    value = make_close(rng, shape)
    # Powers of two: their products are exact, so that all agree what is undecided.
    bounds = 2.0 ** rng.integers(-60, -20, shape[:2])
    norms = 2.0 ** rng.integers(-150, 100, (shape[0], shape[2]))
    bounds[0, 0] = 0.0
    slack = bounds[:, :, None] * norms[:, None]
    high, low = (round_to("float32", value + sign * slack) for sign in (1, -1))
    want = np.flatnonzero((get_bits(high) != get_bits(low)).ravel())
    if value.size > 100:
        assert 0 < len(want) < value.size
    for settings in (
        *({"compiled": kernel} for kernel in kernels),
        {"compiled": kernels[0], "threads": 2},
        {},
    ):
        out = np.empty(shape, np.float32)
        found = round_products(value, bounds, norms, "float32", out, Workspace(**settings))
        assert sorted(found.tolist()) == want.tolist()
        sure = np.ones(value.size, bool)
        sure[want] = False
        assert get_bits(out).ravel()[sure].tolist() == get_bits(high).ravel()[sure].tolist()


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 300, 33), (4, 16, 64), (3, 13, 9)])
@pytest.mark.parametrize("flipped", [False, True])
def test_rows_are_widened_with_their_norms(kernels, shape, flipped):
    x = make_floats(np.random.default_rng(14), 5000)
    x = np.resize(x[np.isfinite(x)], shape).astype(np.float32)
    if x.size > 1:
        x[0, 0, 0], x[-1, -1, -1] = np.nan, np.inf
    for settings in (
        {},
        {"compiled": kernels[0], "threads": 2},
        *({"compiled": kernel} for kernel in kernels),
    ):
        doubles, norms = widen_rows(x, "float32", Workspace(**settings), flipped=flipped)
        assert doubles.shape == x.shape
        assert (doubles == x).sum() == (x == x).sum()  # noqa: PLR0124
        assert np.signbit(doubles).tolist() == np.signbit(x).tolist()
        want = np.sqrt(np.square(x, dtype=np.float64).sum(axis=-1))
        assert np.allclose(norms, want, rtol=2.0**-40, atol=0, equal_nan=True)


def multiply(left, right, monkeypatch, kernel, **settings):
    monkeypatch.setattr(evaluating, "find_compiled", lambda: kernel)
    net = Network()
    x, weight = net.add_input(left.shape), net.add_weight(right)
    evaluator = evaluating.Evaluator(net.finish(net.dot(x, weight)), net.arrays, **settings)
    (out,) = evaluator.evaluate([left])
    evaluator.close()
    return out.tobytes()


@pytest.mark.parametrize("kind", ["hostile", "cancelling", "ties", "infinite", "zeros", "tiny"])
def test_products_are_numpys(kernels, kind, monkeypatch):
    rng = np.random.default_rng(15)
    for rows, terms, columns in ((1, 3, 5), (13, 60, 37), (40, 300, 130)):
        left = rng.standard_normal((rows, terms)).astype(np.float32)
        right = rng.standard_normal((columns, terms)).astype(np.float32)
        if kind == "hostile":
            left[::3] = np.resize(make_floats(rng, 400), left[::3].shape)
        elif kind == "cancelling":
            half = terms // 2
            left[:, half : 2 * half], right[:, half : 2 * half] = left[:, :half], -right[:, :half]
        elif kind == "ties":
            left, right = np.round(left * 4), np.round(right) + np.float32(2.0**24)
        elif kind == "infinite":
            left[0, 0], right[1, 2], left[-1, 1] = np.inf, -np.inf, np.nan
        elif kind == "zeros":
            left[::2], right[:, ::2] = -0.0, 0.0
        else:
            left *= np.float32(2.0**-130)
        want = multiply(left, right, monkeypatch, None)
        for kernel in kernels:
            assert multiply(left, right, monkeypatch, kernel) == want


@pytest.mark.parametrize(
    "shape", [(1, 1, 1, 1), (1, 7, 129, 25), (1, 300, 40, 23), (6, 9, 20, 50), (1, 520, 200, 600)]
)
def test_no_size_or_cut_changes_a_product(kernels, shape, monkeypatch):
    count, rows, terms, columns = shape
    rng = np.random.default_rng(16)
    left = rng.standard_normal((count, rows, terms)).astype(np.float32)
    right = rng.standard_normal((count, columns, terms)).astype(np.float32)
    left, right = (left, right) if count > 1 else (left[0], right[0])
    want = multiply(left, right, monkeypatch, None)
    for kernel in kernels:
        for settings in ({}, {"k_chunk": 17}, {"threads": 2}, {"kept_bytes": 0}):
            assert multiply(left, right, monkeypatch, kernel, **settings) == want
    monkeypatch.setattr(fused, "PLACES", 1)
    assert multiply(left, right, monkeypatch, kernels[0]) == want


def test_a_side_that_is_used_twice_in_other_shapes_is_laid_out_anew(kernels):
    rng = np.random.default_rng(17)
    x = Value(rng.standard_normal((3, 4, 5)).astype(np.float32), "float32", finite=True)
    for kernel in kernels:
        ws = Workspace(compiled=kernel)
        for shape in ((6, 5), (3, 6, 5), (6, 5)):
            other = Value(rng.standard_normal(shape).astype(np.float32), "float32", finite=True)
            out = np.empty((3, 4, 6), np.float32)
            assert multiply_fused(x, other, out, ws) is not None
            exact = x.array.astype(np.float64) @ other.array.astype(np.float64).swapaxes(-1, -2)
            assert np.allclose(out, exact, rtol=1e-6)


def test_whole_networks_are_numpys(kernels, monkeypatch):
    want = hash_networks(compiled=False)
    for kernel in kernels:
        monkeypatch.setattr(evaluating, "find_compiled", lambda kernel=kernel: kernel)
        assert hash_networks() == want


def test_nothing_hears_of_the_kernels_overflows(kernels):
    flags = Flags()
    x, out = np.full(40, 200, np.float32), np.empty(40, np.float32)
    with np.errstate(over="call", invalid="call", call=flags):
        for kernel in kernels:
            kernel.apply("Exp", x, out, np.empty(40, np.int64))
            assert np.isinf(out).all()
            np.add(out[:1], 1.0)
            np.multiply(x, x)
            assert not flags.take()


class Wrong(Compiled):
    """A kernel of which one function is off by one unit in the last place, of negative values."""

    def apply(self, name, x, out, undecided):
        found = super().apply(name, x, out, undecided)
        if name == "Sigmoid":
            out.view(np.uint32)[x < 0] += 1
        return found


class Careless(Compiled):
    """A kernel that takes every product for decided."""

    def multiply(self, *given):
        super().multiply(*given)
        return 0


def test_a_kernel_is_tried_before_it_is_used(kernels, monkeypatch):
    for kernel in kernels:
        assert find_difference(kernel) is None
    given = kernels[0]._library, kernels[0].level
    assert find_difference(Careless(*given)) == "products of hostile values"
    monkeypatch.setattr(trial, "load_widest", lambda: Wrong(*given))
    trial._find_fault.cache_clear()
    try:
        assert trial.find_compiled() is None
        assert explain_compiled().fault == "Sigmoid of hostile values"
        monkeypatch.setattr(trial, "load_widest", lambda: None)
        trial._find_fault.cache_clear()
        assert trial.find_compiled() is None
        assert not explain_compiled().fault
        assert "slower" in explain_compiled().detail
    finally:
        trial._find_fault.cache_clear()


def test_a_file_that_is_no_library_is_refused(tmp_path):
    (tmp_path / "kernel-0.so").write_bytes(b"nothing")
    with pytest.raises(OSError, match="kernel-0"):
        load_library(tmp_path / "kernel-0.so")
