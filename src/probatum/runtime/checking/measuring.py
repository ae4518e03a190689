"""Measures a model here: canonical evaluation against the engine, and how far others lie from it.

Figures of speed are this machine's. Must not know processes. Read next: `samples`, `narrowing`.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from probatum.canon.evaluate.evaluating import Evaluator
from probatum.canon.evaluate.values import Array
from probatum.canon.expand.expansion import Expanded
from probatum.canon.graph.binding import bind_dims
from probatum.canon.graph.records import CanonicalGraph, DimRecord
from probatum.canon.primitives.admitting import admit_graph
from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.tensors import Tensor
from probatum.runtime.checking.narrowing import NARROWINGS, narrow_all
from probatum.runtime.checking.report import Distance, Measurement, Question, Speed
from probatum.runtime.checking.samples import choose_dims, draw_samples, order_inputs
from probatum.runtime.engine import Engine, EngineOptions, Stop

__all__ = ["compare", "measure_model"]

ENGINE: Final = "ONNX Runtime, float32 weights"
_OPERATIONS: Final = 1 << 38
_BYTES: Final = 4096 * limits.MIB
_ROUNDS: Final = 15
_SECONDS: Final = 3.0
_LEAST_ROUNDS: Final = 3


def measure_model(question: Question, expanded: Expanded) -> Measurement:
    """Measure speed and distances on the given request, or on drawn ones.

    Raises:
        Refusal: `canon.*` if the given request is none of this model.
        ProbatumError: The engine's.
    """
    graph = expanded.graph
    given = order_inputs(graph, {one.name: _read(one) for one in question.inputs})
    dims = bind_dims(graph, tuple(array.shape for array in given)) if given else choose_dims(graph)
    if not _is_small(graph, dims, expanded.weights):
        return Measurement(note="too large to be measured by this command")
    samples = (given,) if given else draw_samples(graph, question.seed)
    names = [record.name for record in graph.inputs]
    bound = {one.name: _read(one) for one in question.bind}
    engine = Engine(question.model, EngineOptions())
    feeds = [{**bound, **dict(zip(names, sample, strict=True))} for sample in samples]
    evaluator = Evaluator(graph, expanded.weights)
    truth = [evaluator.evaluate(sample) for sample in samples]
    others = {ENGINE: [_run(engine, graph, feed) for feed in feeds]}
    for name, narrow in NARROWINGS.items():
        weights = narrow_all(expanded.weights, narrow)
        if weights is not None:
            narrowed = Evaluator(graph, weights, kept_bytes=0)
            others[name] = [narrowed.evaluate(sample) for sample in samples]
    return Measurement(
        samples=len(samples),
        is_drawn=not question.inputs,
        seed=question.seed,
        shapes={name: one.shape for name, one in zip(names, samples[0], strict=True)},
        speed=_time(evaluator, engine, samples[0], feeds[0]),
        distances=tuple(
            compare(of, record.name, [one[at] for one in truth], [one[at] for one in found])
            for of, found in others.items()
            for at, record in enumerate(graph.outputs)
        ),
    )


def compare(of: str, output: str, truth: Sequence[Array], found: Sequence[Array]) -> Distance:
    """Compare an output with the canonical one, over all samples."""
    equal = sum(
        int((_bits(one) == _bits(two)).sum()) for one, two in zip(truth, found, strict=True)
    )
    share = equal / max(1, sum(one.size for one in truth))
    parts = [_measure(one, two) for one, two in zip(truth, found, strict=True)]
    known = [part for part in parts if part is not None]
    worst = max(known) if len(known) == len(parts) else None
    return Distance(of=of, output=output, distance=worst, equal=share)


def _measure(truth: Array, found: Array) -> float | None:
    if truth.dtype.kind != "f":
        return None
    finite = np.isfinite(truth)
    if not np.array_equal(finite, np.isfinite(found)):
        return None
    one, two = truth[finite].astype(np.float64), found[finite].astype(np.float64)
    apart = float(np.abs(one - two).max(initial=0))
    scale = float(np.abs(one).max(initial=0))
    if apart == 0:
        return 0.0
    return apart / scale if scale else None


def _bits(array: Array) -> Array:
    packed = np.asarray(array, order="C")
    return packed.view(f"u{packed.dtype.itemsize}") if packed.dtype.kind == "f" else packed


def _read(tensor: Tensor) -> Array:
    kind = np.dtype(tensor.dtype).newbyteorder("<")
    return np.frombuffer(tensor.data, kind).reshape(tensor.shape)


def _is_small(graph: CanonicalGraph, dims: Mapping[str, int], weights: Sequence[Array]) -> bool:
    """Tell whether a few evaluations for these dims are a matter of seconds."""
    fixed = msgspec.structs.replace(
        graph,
        dims=tuple(
            DimRecord(name=dim.name, least=dims[dim.name], greatest=dims[dim.name])
            for dim in graph.dims
        ),
    )
    bounds = admit_graph(fixed)
    held = bounds.peak_bytes + 5 * sum(array.nbytes for array in weights)
    return bounds.operations <= _OPERATIONS and held <= _BYTES


def _run(engine: Engine, graph: CanonicalGraph, feed: Mapping[str, Array]) -> tuple[Array, ...]:
    found = engine.run(dict(feed), Stop())
    named = {spec.name: value for spec, value in zip(engine.outputs, found, strict=True)}
    try:
        return tuple(np.asarray(named[record.name]) for record in graph.outputs)
    except KeyError as error:
        raise Refusal("canon.bad-output", f"the engine gives no {error}") from None


def _time(
    evaluator: Evaluator, engine: Engine, sample: Sequence[Array], feed: Mapping[str, Array]
) -> Speed:
    """Time both in turn; what both had to warm up for has happened."""
    rounds: list[tuple[float, float]] = []
    end = time.monotonic() + _SECONDS
    while len(rounds) < _LEAST_ROUNDS or (len(rounds) < _ROUNDS and time.monotonic() < end):
        begun = time.perf_counter()
        evaluator.evaluate(sample)
        between = time.perf_counter()
        engine.run(dict(feed), Stop())
        rounds.append((between - begun, time.perf_counter() - between))
    exact, theirs = (statistics.median(column) * 1e3 for column in zip(*rounds, strict=True))
    return Speed(
        exact_ms=exact,
        engine_ms=theirs,
        ratio=statistics.median(one / two for one, two in rounds),
        rounds=len(rounds),
    )
