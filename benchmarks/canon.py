"""What exactness costs: canonical evaluation against ONNX Runtime in the same run, one thread.

The transformers are of random weights in canonical primitives; the peer is the same network in
ONNX's own operators. An all-cancelling product is what an attacker would send. Each round times
both, one after the other, in CPU seconds, so that other load disturbs less; figures are medians of
the rounds' ratios.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from benchmarks.measuring import ROOT, SCRATCH, Row, make_row

GOALS = {
    "canon transformer d=768 T=64": ((4, 768, 12, 64, 1), 3.2),
    "canon transformer d=768 T=256": ((4, 768, 12, 256, 1), 3.2),
    "canon encoder d=384 B=8 T=64 (MiniLM's shape)": ((6, 384, 12, 64, 8), 3.8),
}
MODELS = {
    "magika": ({"unk__214": (1, 16)}, 3.6),
    "all-minilm-l6-v2": ({"n": (1, 16), "s": (1, 128)}, 3.8),
}
"""Dims that are admitted, and the goal; measured where `make models` has fetched them."""
FLOOD_GOAL = 40.0


def run(*, quick: bool = False) -> list[Row]:
    """Measure in a process of its own, whose BLAS has one thread from the start."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.canon", *(["--quick"] if quick else [])],
        cwd=ROOT,
        env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def measure(*, quick: bool) -> list[Row]:
    rounds = 3 if quick else 9
    rows = [measure_network(name, *told, rounds=rounds) for name, told in GOALS.items()]
    for name, told in MODELS.items():
        path = SCRATCH / "models" / name / "model.onnx"
        if path.exists():
            rows.append(measure_model(name, path.read_bytes(), *told, rounds=rounds))
    return [*rows, *(measure_flood(terms, rounds=rounds) for terms in (256, 3072))]


def time_both(
    ours: Callable[[], object], peer: Callable[[], object], rounds: int
) -> tuple[float, float, float]:
    """Time two in turn: medians in ms, and the median of the rounds' ratios."""
    ours(), peer()
    times = []
    for _ in range(rounds):
        begun = time.process_time()
        ours()
        between = time.process_time()
        peer()
        times.append((between - begun, time.process_time() - between))
    mine, theirs = (statistics.median(column) * 1e3 for column in zip(*times, strict=True))
    return mine, theirs, statistics.median(one / two for one, two in times)


def measure_network(name: str, shape: tuple[int, ...], goal: float, *, rounds: int) -> Row:
    from benchmarks.canon_networks import make_onnx_transformer, open_session  # noqa: PLC0415
    from probatum.canon.evaluate.evaluating import Evaluator  # noqa: PLC0415
    from tests.unit.canon.evaluate.networks import make_transformer  # noqa: PLC0415

    layers, width, heads, tokens, batch = shape
    graph, weights = make_transformer(layers, width, heads, tokens, batch=batch)
    session = open_session(make_onnx_transformer(layers, width, heads, tokens, batch=batch))
    evaluator = Evaluator(graph, weights)
    x = np.random.default_rng(1).standard_normal((batch, tokens, width)).astype(np.float32)
    exact, near = evaluator.evaluate([x])[0], session.run(None, {"x": x})[0]
    assert np.abs(exact - near).max() < 1e-4 * np.abs(exact).max(), "the two networks are one"
    mine, theirs, ratio = time_both(
        lambda: evaluator.evaluate([x]), lambda: session.run(None, {"x": x}), rounds
    )
    peer = f"ONNX Runtime {theirs:.1f} ms, this {mine:.1f} ms"
    return make_row(name, ratio, "x", peer=peer, goal=goal)


def make_feeds(name: str) -> dict[str, np.ndarray]:
    """Make eight files' bytes, or eight texts of 64 tokens."""
    rng = np.random.default_rng(3)
    if name == "magika":
        return {"bytes": rng.integers(0, 256, (8, 2048)).astype(np.int32)}
    ids = rng.integers(1000, 30000, (8, 64))
    return {"input_ids": ids, "attention_mask": np.ones_like(ids)}


def measure_model(
    name: str, model: bytes, ranges: dict[str, tuple[int, int]], goal: float, *, rounds: int
) -> Row:
    from benchmarks.canon_networks import open_session  # noqa: PLC0415
    from probatum.canon.evaluate.evaluating import Evaluator  # noqa: PLC0415
    from probatum.canon.expand.expansion import expand_model  # noqa: PLC0415

    expanded, session = expand_model(model, ranges=ranges), open_session(model)
    feeds = make_feeds(name)
    evaluator = Evaluator(expanded.graph, expanded.weights)
    inputs = [feeds[record.name] for record in expanded.graph.inputs]
    mine, theirs, ratio = time_both(
        lambda: evaluator.evaluate(inputs), lambda: session.run(None, feeds), rounds
    )
    peer = f"ONNX Runtime {theirs:.1f} ms, this {mine:.1f} ms"
    return make_row(f"canon {name}, batch 8", ratio, "x", peer=peer, goal=goal)


def measure_flood(terms: int, *, rounds: int) -> Row:
    """Every output is exactly zero: each element is undecided at first."""
    from probatum.canon.evaluate.evaluating import Evaluator  # noqa: PLC0415
    from tests.unit.canon.evaluate.networks import Network  # noqa: PLC0415

    rng = np.random.default_rng(2)
    half = rng.standard_normal((64, terms // 2)).astype(np.float32)
    other = rng.standard_normal((768, terms // 2)).astype(np.float32)
    left, right = np.concatenate((half, half), 1), np.concatenate((other, -other), 1)
    net = Network()
    x, weight = net.add_input(left.shape), net.add_weight(right)
    evaluator = Evaluator(net.finish(net.dot(x, weight)), net.arrays)
    assert not evaluator.evaluate([left])[0].any()
    flipped = np.ascontiguousarray(right.T)
    mine, theirs, ratio = time_both(
        lambda: evaluator.evaluate([left]), lambda: left @ flipped, rounds
    )
    peer = f"float32 product {theirs:.2f} ms, this {mine:.1f} ms"
    return make_row(
        f"canon all-cancelling product K={terms}", ratio, "x", peer=peer, goal=FLOOD_GOAL
    )


if __name__ == "__main__":
    print(json.dumps(measure(quick="--quick" in sys.argv)))
