"""Decoders of hostile models tell what the whole graph says, or nothing (`CANON-7`)."""

import warnings
from dataclasses import replace
from math import prod

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from probatum.canon.evaluate.evaluating import Evaluator
from probatum.canon.expand.language.blocks import (
    BLOCK_TERMS,
    WeightForm,
    decode_blocks,
    describe_weight,
    group_weights,
    is_form_taken,
)
from probatum.canon.expand.language.llama import build_llama_graph
from probatum.canon.expand.language.weights import list_llama_weights
from probatum.canon.trace.roots import compute_weight_root
from probatum.errors import Refusal
from probatum.hub.texts import compute_weight_roots
from probatum.runtime.text.compiled import CompiledKernel, find_libraries, load_library, load_widest
from probatum.runtime.text.decoder import Decoder
from probatum.runtime.text.pure import PureKernel
from probatum.runtime.text.requests import TextAnswer, TextLimits, TextRequest
from probatum.runtime.text.scheduler import Scheduler, Text
from probatum.runtime.text.trial import KINDS, draw_hostile
from probatum.runtime.text.weights import open_weights
from tests.unit.runtime.text.llamas import TINY, write_stored

TEMPERATURES = (0.0, -0.0, 1e-45, 0.8, 1.0, 1e5, 1e38, float(np.finfo(np.float32).max))


HALVES = ("plain", "least", "greatest", "any", "zeros", "cancelling", "equal")
"""Kinds of scales and offsets of blocks, all finite."""


@st.composite
def draw_sizes(draw, *, is_blocky=False):
    kv, vocabulary = draw(st.integers(1, 3)), draw(st.integers(2, 40))
    widths = st.sampled_from((32, 64)) if is_blocky else st.integers(1, 37)
    stops = draw(st.sets(st.integers(0, vocabulary - 1), min_size=1, max_size=2))
    return msgspec.structs.replace(
        TINY,
        layers=draw(st.integers(1, 2)),
        width=draw(widths),
        heads=kv * draw(st.integers(1, 3)),
        kv_heads=kv,
        head_width=2 * draw(st.sampled_from((1, 3, 4, 9, 16, 33))),
        hidden=draw(widths),
        vocabulary=vocabulary,
        context=draw(st.integers(3, 24)),
        norm_epsilon_bits=draw(st.sampled_from((1, 0x3727C5AC, 0x3F800000, 0x7F7FFFFF))),
        is_tied=draw(st.booleans()),
        qkv_bias=draw(st.booleans()),
        stop_ids=tuple(sorted(stops)),
        top_k=draw(st.sampled_from((1, (vocabulary + 1) // 2, vocabulary))),
    )


def draw_weights(rng, text, wild):
    found = []
    for spec in list_llama_weights(text):
        if rng.random() < wild:
            kind = rng.choice((*KINDS, "equal rows"))
            shape = spec.shape if spec.shape[-1] > 1 or kind != "cancelling" else (*spec.shape, 2)
            array = np.nan_to_num(draw_hostile(rng, shape, kind))[..., : spec.shape[-1]]
            array = array.reshape(-1)[: np.prod(spec.shape)].reshape(spec.shape)
            if kind == "equal rows":
                array[...] = array[:1]
        else:
            array = rng.standard_normal(spec.shape) * rng.choice((0.3, 1, 3))
        found.append((spec.name, array.astype(np.float32)))
    return found


def draw_blocks(rng, form, shape):
    """Draw a matrix's blocks: any codes, scales and offsets of one hostile kind."""
    blocks = rng.integers(0, 256, (shape[0], shape[1] // BLOCK_TERMS, form.block_bytes), np.uint8)
    halves = 2 if form is WeightForm.Q4_1 else 1
    kind, drawn = rng.choice(HALVES), (*blocks.shape[:2], halves)
    bits = rng.integers(0, 1 << 16, drawn, np.uint16)
    match kind:
        case "plain" | "cancelling":
            bits = (rng.standard_normal(drawn) * 0.1).astype("<f2").view(np.uint16)
        case "least":
            bits &= 0x8003  # subnormal
        case "greatest":
            bits = (bits & 0x8000) | 0x7BFF
        case "zeros":
            bits &= 0x8000
        case "equal":
            bits[...] = bits[:1, :1]
            blocks[...] = blocks[:1]
    bits[(bits & 0x7C00) == 0x7C00] &= 0x83FF  # subnormal in place of not finite
    if kind == "cancelling" and halves == 2:
        # The offset is what half of the codes make of the scale: sums near zero, or zero.
        scales = bits[..., 0].view(np.float16).astype(np.float32)
        bits[..., 1] = (scales * -8).astype("<f2").view(np.uint16)
    blocks[..., : 2 * halves] = bits.astype("<u2").view(np.uint8)
    return blocks.reshape(shape[0], -1)


def store(rng, text, weights, share):
    """Store some groups of matrices as blocks: a file's tensors, and the float32 that they mean."""
    forms = {}
    for group in group_weights(text):
        form = WeightForm(int(rng.integers(1, 3))) if rng.random() < share else WeightForm.FLOAT32
        sizes = [prod(one.shape) // BLOCK_TERMS * form.block_bytes for one in group]
        if any(size % 4 for size in sizes) or not all(is_form_taken(form, x.shape) for x in group):
            form = WeightForm.FLOAT32
        forms |= dict.fromkeys((one.name for one in group), form)
    stored, decoded = [], []
    for spec, (name, array) in zip(list_llama_weights(text), weights, strict=True):
        form = forms[name]
        if form is WeightForm.FLOAT32:
            kept = meant = array
        else:
            kept = draw_blocks(rng, form, spec.shape)
            meant = decode_blocks(form, kept)
        stored.append((*describe_weight(spec, form), kept))
        decoded.append((name, meant))
    return stored, decoded


def draw_request(rng, text):
    prompt = int(rng.integers(1, text.context))
    return TextRequest(
        prompt=tuple(rng.integers(0, text.vocabulary, prompt).tolist()),
        limit=int(rng.integers(1, text.context - prompt + 1)),
        temperature=float(rng.choice(TEMPERATURES)),
        top_k=int(rng.integers(1, text.top_k + 1)),
        choice=int(rng.choice((0, 1, (1 << 63) - 1))),
        nonce=rng.bytes(32),
    )


def decode(weights, kernel, requests, rng):
    """Decode texts that join step by step, in chunks: what was told of each, and what came."""
    chunks = rng.choice((1, 2, 3, 128), 2).tolist()
    scheduler = Scheduler(
        Decoder(weights, kernel), TextLimits(chunk=chunks[0], chunk_beside=chunks[1])
    )
    told, results = [[] for _ in requests], [None] * len(requests)
    for place, request in enumerate(requests):
        scheduler.add(
            Text(
                weights.text,
                request,
                told[place].extend,
                lambda result, place=place: results.__setitem__(place, result),
            )
        )
        scheduler.step()
    while scheduler.texts:
        scheduler.step()
    return [tuple(ids) for ids in told], results


def make_kernels():
    loaded = load_widest()
    level = loaded[1] if loaded else -1
    libraries = [path for path in find_libraries() if int(path.stem.partition("-")[2]) <= level]
    made = [PureKernel(), PureKernel(3)]
    return made + [CompiledKernel(load_library(path), 2) for path in libraries]


SEEDS = st.integers(0, 1 << 32)


@given(text=draw_sizes(), wild=st.sampled_from((0.0, 0.2, 0.5, 1.0)), seed=SEEDS)
@settings(max_examples=40, deadline=None)
def test_what_is_told_is_what_the_whole_graph_says(tmp_path_factory, text, wild, seed):
    rng = np.random.default_rng(seed)
    check_texts(tmp_path_factory, rng, text, *store(rng, text, draw_weights(rng, text, wild), 0))


@given(
    text=draw_sizes(is_blocky=True),
    wild=st.sampled_from((0.0, 0.3)),
    share=st.sampled_from((0.3, 1.0)),
    seed=SEEDS,
)
@settings(max_examples=40, deadline=None)
def test_so_it_is_of_blocks_with_hostile_scales(tmp_path_factory, text, wild, share, seed):
    rng = np.random.default_rng(seed)
    stored, decoded = store(rng, text, draw_weights(rng, text, wild), share)
    check_texts(tmp_path_factory, rng, text, stored, decoded)


def check_texts(tmp_path_factory, rng, text, stored, tensors):
    """Every kernel tells the same of a model, and what the graph of its float32 weights says."""
    path = write_stored(tmp_path_factory.mktemp("m") / "model.safetensors", stored)
    weights = open_weights(path, text, copied=True)
    roots = tuple(compute_weight_root("float32", one.shape, one.tobytes()) for _, one in tensors)
    assert compute_weight_roots(text, path) == roots
    span = (1, text.context - 1)
    llama = build_llama_graph(text, roots, prompts=span, answers=span)
    evaluator = Evaluator(llama.graph, [*(one for _, one in tensors), *llama.constants])
    requests = [draw_request(rng, text) for _ in range(3)]
    first = None
    for kernel in make_kernels():
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # what overflows by design is no news to a reader
            told, results = decode(weights, kernel, requests, rng)
        # Only finite texts have an answer: faults are values without bits to compare.
        seen = [(ids, getattr(one, "ids", None)) for ids, one in zip(told, results, strict=True)]
        first = first or seen
        assert seen == first, kernel.name
        kernel.close()
    for (ids, _), result, request in zip(first, results, requests, strict=True):
        if not ids:
            assert result.code == "text.not-finite"
            continue
        check_text(evaluator, request, ids, result)
        if isinstance(result, TextAnswer):
            cut = int(rng.integers(0, len(ids) + 1))
            resumed = replace(request, prefix=ids[:cut])
            again, (other,) = decode(weights, PureKernel(), [resumed], rng)
            assert (again[0], other) == (ids[cut:], result)


def check_text(evaluator, request, ids, result):
    """The whole graph chooses what was told, and says whether it has ended."""
    with np.errstate(all="ignore"):
        chosen, ended = evaluator.evaluate(
            [
                np.array(request.prompt, np.int64),
                np.array(ids, np.int64),
                np.array([request.limit], np.int64),
                np.array([request.temperature], np.float32),
                np.array([request.top_k], np.int64),
                np.array([request.choice], np.int64),
                np.frombuffer(request.nonce, "<i8").copy(),
            ]
        )
    assert tuple(chosen.tolist()) == ids
    if isinstance(result, TextAnswer):
        assert result == TextAnswer(ids=ids, ended=True)
        assert ended[0]


@given(text=draw_sizes(is_blocky=True), seed=SEEDS, half=st.integers(0x7C00, 0x7FFF))
@settings(max_examples=25, deadline=None)
def test_no_scale_that_is_not_finite_is_taken(tmp_path_factory, text, seed, half):
    """Whatever its codes are: by who serves the weights, and by who checks a package."""
    rng = np.random.default_rng(seed)
    stored, _ = store(rng, text, draw_weights(rng, text, 0), 1.0)
    places = [at for at, (_, kind, _, _) in enumerate(stored) if kind == "U8"]
    name, _, _, blocks = stored[rng.choice(places)]
    size, halves = (20, 2) if name.endswith("Q4_1") else (34, 1)
    split = blocks.reshape(-1, size)
    at = 2 * int(rng.integers(0, halves))
    row = int(rng.integers(0, len(split)))
    split[row, 2 * halves :] *= rng.integers(0, 2, dtype=np.uint8)
    sign = int(rng.choice((0, 0x8000)))
    split[row, at : at + 2] = np.array([half | sign], "<u2").view(np.uint8)
    path = write_stored(tmp_path_factory.mktemp("m") / "model.safetensors", stored)
    with pytest.raises(Refusal) as found:
        open_weights(path, text)
    assert found.value.code == "text.wrong-weights"
    with pytest.raises(Refusal) as found:
        compute_weight_roots(text, path)
    assert found.value.code == "package.wrong-weights"
