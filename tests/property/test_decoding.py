"""Decoders of hostile models tell what the whole graph says, or nothing (`CANON-7`)."""

from dataclasses import replace

import msgspec
import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from probatum.canon.evaluate.evaluating import Evaluator
from probatum.canon.expand.language.llama import build_llama_graph
from probatum.canon.expand.language.weights import list_llama_weights
from probatum.canon.trace.roots import compute_weight_root
from probatum.runtime.text.compiled import CompiledKernel, find_libraries, load_library, load_widest
from probatum.runtime.text.decoder import Decoder
from probatum.runtime.text.pure import PureKernel
from probatum.runtime.text.requests import TextAnswer, TextLimits, TextRequest
from probatum.runtime.text.scheduler import Scheduler, Text
from probatum.runtime.text.trial import KINDS, draw_hostile
from probatum.runtime.text.weights import open_weights
from tests.unit.runtime.text.llamas import TINY, write_weights

TEMPERATURES = (0.0, -0.0, 1e-45, 0.8, 1.0, 1e5, 1e38, float(np.finfo(np.float32).max))


@st.composite
def draw_sizes(draw):
    kv, vocabulary = draw(st.integers(1, 3)), draw(st.integers(2, 40))
    stops = draw(st.sets(st.integers(0, vocabulary - 1), min_size=1, max_size=2))
    return msgspec.structs.replace(
        TINY,
        layers=draw(st.integers(1, 2)),
        width=draw(st.integers(1, 37)),
        heads=kv * draw(st.integers(1, 3)),
        kv_heads=kv,
        head_width=2 * draw(st.sampled_from((1, 3, 4, 9, 16, 33))),
        hidden=draw(st.integers(1, 37)),
        vocabulary=vocabulary,
        context=draw(st.integers(3, 24)),
        norm_epsilon_bits=draw(st.sampled_from((1, 0x3727C5AC, 0x3F800000, 0x7F7FFFFF))),
        is_tied=draw(st.booleans()),
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


@given(text=draw_sizes(), wild=st.sampled_from((0.0, 0.2, 0.5, 1.0)), seed=st.integers(0, 1 << 32))
@settings(max_examples=40, deadline=None)
def test_what_is_told_is_what_the_whole_graph_says(tmp_path_factory, text, wild, seed):
    rng = np.random.default_rng(seed)
    tensors = draw_weights(rng, text, wild)
    path = write_weights(tmp_path_factory.mktemp("m") / "model.safetensors", tensors)
    weights = open_weights(path, text, copied=True)
    roots = tuple(compute_weight_root("float32", one.shape, one.tobytes()) for _, one in tensors)
    span = (1, text.context - 1)
    llama = build_llama_graph(text, roots, prompts=span, answers=span)
    evaluator = Evaluator(llama.graph, [*(one for _, one in tensors), *llama.constants])
    requests = [draw_request(rng, text) for _ in range(3)]
    first = None
    for kernel in make_kernels():
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
            cut = int(rng.integers(0, len(ids) + 1))
            resumed = replace(request, prefix=ids[:cut])
            again, (other,) = decode(weights, PureKernel(), [resumed], rng)
            assert (again[0], other) == (ids[cut:], result)
