"""What joining gives: answers of class exact a second, sixteen clients at once, in one pool.

The peer is the same pool told to join nothing. The loads take turns, so that other load on the
machine meets both; figures are medians of the turns. One thread computes.
"""

from __future__ import annotations

import contextlib
import io
import statistics
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks.measuring import SCRATCH, Row, make_row
from benchmarks.small_model import make_onnx
from probatum.cli.app import run as run_command
from probatum.hub.package import Package, load_package
from probatum.protocol.tensors import Tensor
from probatum.runtime.limits import PoolLimits
from probatum.runtime.worker import ComputePool

CLIENTS = 16
QUESTIONS = 64
DIMS = {"n": "1..32", "s": "1..64"}
TOKENS = 24
KEPT_BYTES = 1 << 26


def run(*, quick: bool = False) -> list[Row]:
    """Measure a small perceptron, and MiniLM where `make models` has fetched it."""
    seconds, turns = (0.5, 3) if quick else (2.0, 5)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as work:
        small = Path(work) / "mlp.onnx"
        small.write_bytes(make_onnx())
        minilm = SCRATCH / "models" / "all-minilm-l6-v2" / "model.onnx"
        for name, path in (("perceptron", small), ("MiniLM, 24 tokens", minilm)):
            if path.is_file():
                package = pack(path, Path(work) / f"{path.parent.name}-package")
                rows += measure(name, package, seconds, turns)
    return rows


def pack(path: Path, folder: Path) -> Package:
    dims = [f"--dim={name}={value}" for name, value in DIMS.items()]
    facts = ["--name", "net", "--version", "1", "--task", "bench", "--licence", "MIT", "--exact"]
    data = path.read_bytes()
    dims = dims if b"attention_mask" in data else dims[:1]
    quiet = io.StringIO()
    with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
        status = run_command(["model", "pack", str(path), "-o", str(folder), *facts, *dims])
    if status:
        raise RuntimeError(f"{path} is not packed")
    return load_package(folder)


def draw(package: Package) -> list[tuple[Tensor, ...]]:
    """Draw questions of one row."""
    rng = np.random.default_rng(0)

    def make(name: str, dtype: str, shape: tuple[int, ...]) -> Tensor:
        array = np.ones(shape, dtype) if "mask" in name else rng.normal(0, 1, shape).astype(dtype)
        if name == "input_ids":
            array = rng.integers(0, 30_000, shape).astype(dtype)
        return Tensor(name=name, dtype=dtype, shape=shape, data=array.tobytes())

    return [
        tuple(
            make(
                spec.name,
                spec.dtype,
                tuple(one if isinstance(one, int) else {"n": 1}.get(one, TOKENS)
                      for one in spec.shape),
            )
            for spec in package.manifest.inputs
        )
        for _ in range(QUESTIONS)
    ]  # fmt: skip


def measure(name: str, package: Package, seconds: float, turns: int) -> list[Row]:
    """Measure one package by pools that join nothing, join, and keep answers."""
    questions = draw(package)

    def load(_: object) -> tuple[object, bytes]:
        return package.manifest, package.read_model()

    kinds = {
        "alone": PoolLimits(batch_rows=1),
        "joined": PoolLimits(),
        "kept": PoolLimits(kept_bytes=KEPT_BYTES),
    }
    pools = {kind: ComputePool(load, pool_limits=limits) for kind, limits in kinds.items()}
    found: dict[str, list[float]] = {kind: [] for kind in pools}
    try:
        for turn in range(turns + 1):
            for kind, pool in pools.items():
                rate = ask(pool, package, questions, seconds)
                if turn:  # the first is for warming and learning
                    found[kind].append(rate)
    finally:
        for pool in pools.values():
            pool.close()
    alone, joined, kept = (statistics.median(found[kind]) for kind in kinds)
    said = f"one by one {alone:,.0f}/s"
    return [
        make_row(f"exact {name}: {CLIENTS} clients, joined", joined, "/s", peer=said,
                 against=alone, more_is_better=True),
        make_row(f"exact {name}: {QUESTIONS} questions again and again, kept", kept, "/s",
                 peer=said, against=alone, more_is_better=True),
    ]  # fmt: skip


def ask(
    pool: ComputePool, package: Package, questions: list[tuple[Tensor, ...]], seconds: float
) -> float:
    """Ask by some clients, each again when it is answered; give answers a second."""
    begun, left, changed = time.perf_counter(), threading.Semaphore(0), threading.Lock()
    answered = 0

    def submit(client: int, turn: int) -> None:
        def done(outcome: object) -> None:
            nonlocal answered
            if not isinstance(outcome, tuple):
                raise TypeError(outcome)
            with changed:
                answered += 1
            if time.perf_counter() - begun < seconds:
                submit(client, turn + 1)
            else:
                left.release()

        pool.submit_exact(package.digest, questions[(client * 7 + turn) % QUESTIONS], done)

    for client in range(CLIENTS):
        submit(client, 0)
    for _ in range(CLIENTS):
        left.acquire()
    return answered / (time.perf_counter() - begun)
