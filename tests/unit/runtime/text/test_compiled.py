import ctypes
import importlib.util
import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest

from probatum.canon.expand.language.blocks import WeightForm
from probatum.runtime.text import compiled, kernels
from probatum.runtime.text.cache import KeyValueCache
from probatum.runtime.text.compiled import CompiledKernel, find_libraries, load_library
from probatum.runtime.text.decoder import Decoder, Reading
from probatum.runtime.text.matrices import make_matrix as make_stored
from probatum.runtime.text.pure import PureKernel
from probatum.runtime.text.trial import (
    BLOCK_FORMS,
    KINDS,
    draw_blocks,
    draw_hostile,
    find_difference,
    make_matrix,
)
from probatum.runtime.text.weights import open_weights
from tests.unit.runtime.text.llamas import (
    BLOCKY,
    TINY,
    choose_forms,
    draw_weights,
    quantise,
    write_stored,
    write_weights,
)

ROOT = Path(__file__).resolve().parents[4]
EPSILON = np.float32(1e-5)

pytestmark = pytest.mark.filterwarnings("ignore:overflow")


def load_hook():
    spec = importlib.util.spec_from_file_location("hatch_build", ROOT / "hatch_build.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def libraries(tmp_path_factory):
    """The kernel, compiled anew for each width that this processor has."""
    if not any(map(shutil.which, ("cc", "gcc", "clang"))):
        pytest.skip("no C compiler")
    target = tmp_path_factory.mktemp("kernel") / "built"
    made = load_hook().build(ROOT / "src/probatum/runtime/text/kernel", target)
    assert made
    assert find_libraries(target)[-1].name == "kernel-0.so"
    most = load_library(find_libraries(target)[-1]).probatum_level()
    return [path for path in find_libraries(target) if int(path.stem[7:]) <= most]


@pytest.fixture(scope="session")
def compiled_kernels(libraries):
    """Each of them, with one thread and with two."""
    made = [CompiledKernel(load_library(path), threads) for path in libraries for threads in (1, 2)]
    yield made
    for kernel in made:
        kernel.close()


def same(one, two):
    nan = np.isnan(one) & np.isnan(two)
    return bool(((one.view(np.uint32) == two.view(np.uint32)) | nan).all())


def test_every_step_on_samples_is_numpys(compiled_kernels):
    for kernel in compiled_kernels:
        assert find_difference(kernel, PureKernel()) is None


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("terms", [1, 7, 8, 31, 64, 576, 1536])
def test_products_of_hostile_values_are_numpys(compiled_kernels, kind, terms):
    rng = np.random.default_rng(terms)
    for rows in (1, 2, 3, 8, 13):
        x = np.nan_to_num(draw_hostile(rng, (rows, terms), kind))
        w = make_matrix(np.nan_to_num(draw_hostile(rng, (101, terms), kind)))
        wanted = PureKernel().multiply(x, w, np.zeros(rows, np.int32))
        for kernel in compiled_kernels:
            marks = np.zeros(rows, np.int32)
            assert same(kernel.multiply(x, w, marks), wanted)
            assert not marks.any()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("form", BLOCK_FORMS)
@pytest.mark.parametrize("blocks", [1, 3, 48])
def test_products_of_blocks_are_those_of_their_float32(compiled_kernels, form, kind, blocks):
    """By numpy and by every library, as many rows as there are ways to share decoded ones."""
    rng = np.random.default_rng(blocks)
    w = draw_blocks(rng, form, 203, blocks, kind)
    floats = make_matrix(w.read(np.arange(203)))
    assert kind == "zeros" or floats.rows.any()
    for rows in (1, 2, 3, 8, 13):
        x = np.nan_to_num(draw_hostile(rng, (rows, 32 * blocks), kind))
        wanted = PureKernel().multiply(x, floats, np.zeros(rows, np.int32))
        for kernel in [PureKernel(), *compiled_kernels]:
            marks = np.zeros(rows, np.int32)
            assert same(kernel.multiply(x, w, marks), wanted)
            assert not marks.any()


@pytest.mark.parametrize("form", BLOCK_FORMS)
def test_every_element_of_a_block_is_the_references(compiled_kernels, form):
    """A row of zeros and a one picks out single weights: of all scales, all codes."""
    rng = np.random.default_rng(7)
    w = draw_blocks(rng, form, 500, 3, "plain")
    halves = rng.integers(0, 1 << 16, (500, 3, 2), np.uint16)
    halves[(halves & 0x7C00) == 0x7C00] &= 0x83FF  # subnormal in place of not finite
    w.blocks.reshape(500, 3, -1)[..., :4] = halves.view(np.uint8)
    w = make_stored(form, w.blocks)
    assert np.isfinite(w.norms).all()
    wanted = w.read(np.arange(500)).T
    ones = np.eye(96, dtype=np.float32)
    for kernel in compiled_kernels:
        found = kernel.multiply(ones, w, np.zeros(96, np.int32))
        alone = np.concatenate(
            [kernel.multiply(ones[at : at + 1], w, np.zeros(1, np.int32)) for at in range(96)]
        )
        assert (found == wanted).all()
        assert (alone == wanted).all()


def test_open_products_of_blocks_are_decoded_again(compiled_kernels):
    """Ties of every kind within one block: each goes down to the exact sums."""
    blocks = np.zeros((300, 34), np.uint8)
    blocks[:, :2] = np.array([2.0**-12], "<f2").view(np.uint8)
    rng = np.random.default_rng(3)
    blocks[:, 2:] = rng.integers(-2, 3, (300, 32)).astype(np.int8).view(np.uint8)
    w = make_stored(WeightForm.Q8_0, blocks)
    x = (2.0 ** rng.choice([0, -24, -48, -60], (3, 32))).astype(np.float32)
    wanted = PureKernel().multiply(x, make_matrix(w.read(np.arange(300))), np.zeros(3, np.int32))
    for kernel in [PureKernel(), *compiled_kernels]:
        for rows in (1, 2, 3):
            found = kernel.multiply(x[:rows], w, np.zeros(rows, np.int32))
            assert same(found, wanted[:rows])


def test_rows_that_are_not_finite_are_marked_beside_blocks(compiled_kernels):
    rng = np.random.default_rng(0)
    w = draw_blocks(rng, WeightForm.Q4_1, 50, 2, "plain")
    x = rng.standard_normal((9, 64)).astype(np.float32)
    wanted = PureKernel().multiply(x, w, np.zeros(9, np.int32))
    x[3, 5], x[8, 0] = np.nan, -np.inf
    for kernel in [*compiled_kernels, PureKernel()]:
        marks = np.zeros(9, np.int32)
        found = kernel.multiply(x, w, marks)
        assert marks.tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 1]
        assert same(found[marks == 0], wanted[marks == 0])


def test_exact_ties_and_their_neighbours_go_to_even(compiled_kernels):
    """1 + 2**-24 lies halfway; a term far below decides, at either side, however small."""
    rows = [
        [odd, 2.0**-24, lift, *[0.0] * 21]
        for lift in (0.0, 2.0**-60, -(2.0**-60), 2.0**-148, -(2.0**-148))
        for odd in (1.0, 1 + 2.0**-23)
    ]
    w = make_matrix(np.array(rows, np.float32))
    x = np.ones((1, 24), np.float32)
    wanted = PureKernel().multiply(x, w, np.zeros(1, np.int32))
    assert wanted[0, 0] == 1
    assert wanted[0, 1] == np.float32(1 + 2.0**-22)
    assert wanted[0, [2, 6]].tolist() == [1 + 2.0**-23] * 2
    assert wanted[0, [4, 8]].tolist() == [1] * 2
    for kernel in compiled_kernels:
        assert same(kernel.multiply(x, w, np.zeros(1, np.int32)), wanted)


def test_a_row_that_is_not_finite_is_marked_and_alone(compiled_kernels):
    rng = np.random.default_rng(0)
    x = rng.standard_normal((9, 40)).astype(np.float32)
    w = make_matrix(rng.standard_normal((50, 40)).astype(np.float32))
    wanted = PureKernel().multiply(x, w, np.zeros(9, np.int32))
    x[3, 5], x[8, 0] = np.nan, -np.inf
    for kernel in [*compiled_kernels, PureKernel()]:
        marks = np.zeros(9, np.int32)
        found = kernel.multiply(x, w, marks)
        assert marks.tolist() == [0, 0, 0, 1, 0, 0, 0, 0, 1]
        good = marks == 0
        assert same(found[good], wanted[good])


def test_more_undecided_than_are_told_go_to_numpy(compiled_kernels, monkeypatch):
    rng = np.random.default_rng(5)
    both = rng.standard_normal((40, 600)).astype(np.float32)
    wanted = PureKernel().gate(both)
    for kernel in compiled_kernels:
        monkeypatch.setattr(kernel, "_undecided", kernel._undecided[:0])
        assert same(kernel.gate(both), wanted)


@pytest.mark.parametrize("kind", [*KINDS, "special"])
def test_small_steps_of_hostile_values_are_numpys(compiled_kernels, kind):
    rng = np.random.default_rng(3)
    for width in (2, 5, 16, 577):
        x = draw_hostile(rng, (7, 2 * width), kind)
        if kind == "special":
            x[0, ::3] = np.inf
            x[1, ::2] = -np.inf
            x[2, 1::2] = np.nan
            x[3] = np.linspace(-110, 100, 2 * width)
        gain = rng.standard_normal(2 * width).astype(np.float32)
        with np.errstate(all="ignore"):
            normed, gated = PureKernel().norm(x, gain, EPSILON), PureKernel().gate(x)
            for kernel in compiled_kernels:
                assert same(kernel.norm(x, gain, EPSILON), normed)
                assert same(kernel.gate(x), gated)


@pytest.mark.parametrize("scale", [1.0, 3.0, 1e12, "blocks"])
def test_whole_texts_are_numpys(compiled_kernels, tmp_path, scale):
    """Three prompts and sixteen tokens, step by step and together, by every kernel."""
    if scale == "blocks":
        text = BLOCKY
        stored, decoded = quantise(text, draw_weights(text), choose_forms)
        floats = open_weights(write_weights(tmp_path / "f", decoded), text)
        weights = open_weights(write_stored(tmp_path / "m", stored), text)
    else:
        text = TINY
        floats = weights = open_weights(
            write_weights(tmp_path / "m", draw_weights(text, scale=scale)), text
        )
    rng = np.random.default_rng(1)
    texts = [tuple(rng.integers(0, 67, size).tolist()) for size in (20, 27, 46)]

    def read(kernel, *, cut, weights=weights):
        decoder = Decoder(weights, kernel)
        caches = [KeyValueCache(text, 46) for _ in texts]
        whole = [
            Reading(cache=cache, tokens=text[: len(text) - 16 * cut], wanted=1)
            for cache, text in zip(caches, texts, strict=True)
        ]
        found = [decoder.read(whole)]
        for place in range(16 * cut):
            step = [
                Reading(cache=cache, tokens=(text[len(text) - 16 + place],), wanted=1)
                for cache, text in zip(caches, texts, strict=True)
            ]
            found += [decoder.read(step)]
        return [[None if one is None else one.tobytes() for one in step] for step in found]

    wanted = read(PureKernel(), cut=1, weights=floats)
    assert read(PureKernel(), cut=1) == wanted
    assert wanted[-1] == read(PureKernel(), cut=0)[-1]
    for kernel in compiled_kernels:
        assert read(kernel, cut=1) == wanted
        assert read(kernel, cut=0)[-1] == wanted[-1]


def test_steps_of_all_layers_go_on_after_whatever_was_settled(tmp_path):
    """A kernel that doubts everything stops at every step; numpy settles it, and bits stay."""
    compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
    if compiler is None:
        pytest.skip("no C compiler")
    source = ROOT / "src/probatum/runtime/text/kernel"
    flags = ["-DDOUBT=0x1p90"]
    path = load_hook().compile_library(compiler, flags, source, tmp_path / "kernel-0.so")
    kernel = CompiledKernel(load_library(path))
    settled = set()

    def settle(run, found, number, step, settle=kernel._settle):
        settled.add((number, step))
        settle(run, found, number, step)

    kernel._settle = settle
    text = msgspec.structs.replace(TINY, qkv_bias=True)
    weights = open_weights(write_weights(tmp_path / "m", draw_weights(text)), text)
    readings = [(7, 1), (1, 1), (3, 0), (9, 4)]
    found = []
    for one in (PureKernel(), kernel):
        rng = np.random.default_rng(2)
        caches = [KeyValueCache(text, 20) for _ in readings]
        for _ in range(2):
            step = [
                Reading(cache=cache, tokens=tuple(rng.integers(0, 67, size)), wanted=wanted)
                for cache, (size, wanted) in zip(caches, readings, strict=True)
            ]
            found.append([logits.tobytes() for logits in Decoder(weights, one).read(step)])
    assert found[:2] == found[2:]
    everything = {(layer, step) for layer in range(text.layers) for step in range(8)}
    assert settled == everything | {(text.layers, 0), (text.layers, 1)}


def test_threads_share_out_every_item_once(compiled_kernels):
    """Many short calls: no item is lost between them, and none is worked on twice."""
    rng = np.random.default_rng(0)
    w = make_matrix(rng.standard_normal((96 * 5, 16)).astype(np.float32))
    for kernel in compiled_kernels:
        for _ in range(300):
            x = rng.standard_normal((1, 16)).astype(np.float32)
            near = (x.astype(float) @ w.rows.T.astype(float)).astype(np.float32)
            found = kernel.multiply(x, w, np.zeros(1, np.int32))
            assert np.abs(found - near).max() < 1e-6


def test_a_kernel_that_computes_otherwise_is_not_used(monkeypatch):
    class Wrong(PureKernel):
        def gate(self, both):
            out = super().gate(both)
            out.view(np.uint32)[0, 0] ^= 1
            return out

    assert find_difference(Wrong(), PureKernel()) == "gate of plain values"
    monkeypatch.setattr(kernels, "_find_fault", lambda: "gate of plain values")
    monkeypatch.setattr(kernels, "load_widest", lambda: (None, 3))
    assert kernels.make_kernel().name == "numpy"
    assert kernels.explain_kernel().fault == "gate of plain values"


def test_without_a_library_numpy_computes(monkeypatch, tmp_path):
    monkeypatch.setattr(kernels, "load_widest", lambda: None)
    assert kernels.make_kernel(2).name == "numpy"
    found = kernels.explain_kernel()
    assert not found.fault
    assert "numpy" in found.detail
    assert find_libraries(tmp_path) == ()
    (tmp_path / "kernel-0.so").write_bytes(b"no library")
    with pytest.raises(OSError, match="kernel-0"):
        load_library(tmp_path / "kernel-0.so")


def test_a_foreign_library_is_refused(monkeypatch):
    monkeypatch.setattr(ctypes, "CDLL", lambda _: object())
    with pytest.raises(OSError, match="has no probatum_level"):
        load_library(compiled.BUILT / "kernel-0.so")


def test_nothing_is_built_where_it_is_not_wanted_or_cannot_be(monkeypatch, tmp_path):
    hook = load_hook()
    source = ROOT / "src/probatum/runtime/text/kernel"
    monkeypatch.setenv("PROBATUM_NO_KERNEL", "1")
    assert hook.build(source, tmp_path / "a") == []
    monkeypatch.delenv("PROBATUM_NO_KERNEL")
    monkeypatch.setenv("CC", "false")
    assert hook.build(source, tmp_path / "b") == []
    monkeypatch.setenv("CC", "no-such-compiler")
    assert hook.build(source, tmp_path / "c") == []
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert hook.build(source, tmp_path / "d") == []


def test_the_kernel_that_was_installed_is_used_if_there_is_one(monkeypatch):
    kernel = kernels.make_kernel(2)
    assert (kernel.name == "numpy") == (not find_libraries())
    assert not kernels.explain_kernel().fault
    kernel.close()
