"""Exact decoding against ONNX Runtime's: SmolLM2-135M, float32, caches of keys and values.

Weights in blocks (Q4_1, Q8_0) are the same model, decoded as they are read; the peer's stay
float32.

Every round times both, one after the other, at the same lengths: with one thread in CPU seconds, so
that other load disturbs less, with two by the clock. Figures are medians of the rounds' ratios. The
engine chooses its tokens by the rule with noise; the peer takes the greatest logit.
"""

from __future__ import annotations

import json
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np

from benchmarks.measuring import ROOT, SCRATCH, Row, make_row
from probatum.hub.package import Package, load_package

RECIPE = "smollm2-135m-instruct"
CONTEXT = 66
"""Tokens that are read before the clock starts."""
GENERATED = 24
AUDITED = 256
COPIED = "compiled, weights copied"
BLOCKS = "compiled, weights in blocks"
NUMPY_BLOCKS = "numpy, weights in blocks"
GOALS = {
    ("numpy", 1): 30,
    ("numpy", 8): 25,
    ("compiled", 1): 75,
    ("compiled", 8): 55,
    (BLOCKS, 1): 100,
}
"""Percent of ONNX Runtime's tokens a second, by kernel and batch."""
AUDIT_GOAL = 0.35
RESIDENT_MB_GOAL = 250


def run(*, quick: bool = False) -> list[Row]:
    """Measure in a process of its own, whose BLAS has one thread from the start."""
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.text", *(["--quick"] if quick else [])],
        cwd=ROOT,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        check=True,
    )
    rows: list[Row] = json.loads(done.stdout.splitlines()[-1])
    return rows


def open_package() -> Package:
    """Open the model, imported once from what `models/fetch.py` fetched."""
    kept = sorted((ROOT / ".cache" / "imported").glob(f"{RECIPE}-*"))
    if kept:
        return load_package(kept[-1])
    folder = SCRATCH / "bench-smollm2"
    return load_package(folder) if folder.is_dir() else import_package(folder, keeps_blocks=False)


def import_package(folder: Path, *, keeps_blocks: bool) -> Package:
    """Import the model, its weights as float32 or in the blocks that it was fetched in."""
    fetch = [sys.executable, str(ROOT / "models" / "fetch.py"), RECIPE]
    subprocess.run(fetch, check=True, stdout=sys.stderr)
    from probatum.hub.importing.gguf_file import read_gguf  # noqa: PLC0415 - seldom
    from probatum.hub.importing.writing import (  # noqa: PLC0415 - seldom
        ImportFacts,
        write_text_package,
    )

    facts = ImportFacts(
        name="smollm2", version="1", licence="Apache-2.0", description=RECIPE, context=2048
    )
    source = read_gguf(ROOT / ".cache" / "models" / RECIPE / "model.gguf", top_k=64)
    return write_text_package(
        source, facts, folder, lambda _done, _total: None, keeps_blocks=keeps_blocks
    )


def measure(*, rounds: int) -> list[Row]:
    """Measure all: numpy and the compiled kernel, batches of 1 and 8, one thread and two."""
    package = open_package()
    manifest = package.manifest
    assert manifest.text is not None
    # Nothing ends early.
    text = msgspec.structs.replace(manifest.text, stop_ids=(manifest.text.vocabulary - 1,))
    weights = package.folder / manifest.model
    rows: list[Row] = []
    with tempfile.TemporaryDirectory(dir=weights.parent.parent) as folder:
        blocks = import_package(Path(folder) / "blocks", keeps_blocks=True)
        bench = _Bench(weights, blocks.folder / blocks.manifest.model, text, Path(folder), rounds)
        for threads in (1, 2):
            for batch in (1, 8):
                rows += bench.compare_generating(threads, batch)
        rows += bench.compare_audit()
        rows.append(compare_resident(blocks.folder, package.folder))
    return rows


def compare_resident(blocks: Path, floats: Path) -> Row:
    """Compare what processes hold at most that open the model and write, by the kernel's books."""
    most = []
    for folder in (blocks, floats):
        command = [sys.executable, "-m", "benchmarks.text", "--resident", str(folder)]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
        most.append(int(done.stdout) / 1000)
    return make_row(
        "text resident memory, weights in blocks",
        most[0],
        "MB",
        peer=f"weights as float32 {most[1]:.0f} MB",
        against=most[1],
        goal=RESIDENT_MB_GOAL,
    )


def measure_resident(folder: Path) -> int:
    """Write 64 tokens to a prompt of 64 in this process: the most that it held, in kB."""
    from probatum.runtime.text.engine import TextEngine  # noqa: PLC0415 - counted
    from probatum.runtime.text.requests import TextRequest  # noqa: PLC0415

    package = load_package(folder)
    engine = TextEngine(package.manifest, folder / package.manifest.model)
    request = TextRequest(
        prompt=tuple(range(100, 164)),
        limit=64,
        temperature=0.8,
        top_k=64,
        choice=0,
        nonce=bytes(32),
    )
    told: queue.SimpleQueue = queue.SimpleQueue()
    engine.submit(request, lambda _: None, told.put)
    told.get(timeout=300)
    engine.close()
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM"))


class _Bench:
    """One model, both engines."""

    def __init__(
        self, weights: Path, blocks: Path, text: object, folder: Path, rounds: int
    ) -> None:
        from benchmarks.text_peer import make_session  # noqa: PLC0415 - after the BLAS is bound
        from probatum.runtime.text.weights import open_weights  # noqa: PLC0415

        self.text, self.rounds = text, rounds
        self.weights = open_weights(weights, text)
        self.others = {
            COPIED: open_weights(weights, text, copied=True),
            BLOCKS: open_weights(blocks, text),
        }
        self.others[NUMPY_BLOCKS] = self.others[BLOCKS]
        self.sessions = {
            threads: make_session(weights, text, folder, threads=threads, rows=1)
            for threads in (1, 2)
        }
        self.rng = np.random.default_rng(0)

    def compare_generating(self, threads: int, batch: int) -> list[Row]:
        clock = time.process_time if threads == 1 else time.perf_counter
        kernels = _make_kernels(threads)
        ratios = {name: [] for name in kernels}
        own = {name: [] for name in kernels}
        peers = []
        for _ in range(self.rounds):
            prompts = self.rng.integers(3, 40_000, (batch, CONTEXT))
            peers.append(batch * GENERATED / self._time_peer(threads, prompts, clock))
            for name, kernel in kernels.items():
                rate = batch * GENERATED / self._time_own(name, kernel, prompts, clock)
                own[name].append(rate)
                ratios[name].append(100 * rate / peers[-1])
        for kernel in kernels.values():
            kernel.close()
        return [
            make_row(
                f"text {name}, batch {batch}, {threads} thread{'s'[: threads - 1]}",
                statistics.median(ratios[name]),
                "% of peer",
                peer=f"ONNX Runtime {statistics.median(peers):.0f} tokens/s; exact "
                f"{statistics.median(own[name]):.0f}",
                goal=GOALS.get((name, batch)) if threads == 1 else None,
                more_is_better=True,
            )
            for name in kernels
        ]

    def _time_peer(self, threads: int, prompts: np.ndarray, clock: Callable[[], float]) -> float:
        from benchmarks.text_peer import Peer  # noqa: PLC0415

        peer = Peer(self.sessions[threads], self.text, len(prompts))
        tokens = peer.read(prompts)[:, -1].argmax(axis=-1)
        begun = clock()
        for _ in range(GENERATED):
            tokens = peer.read(tokens[:, None])[:, -1].argmax(axis=-1)
        return clock() - begun

    def _time_own(
        self, name: str, kernel: object, prompts: np.ndarray, clock: Callable[[], float]
    ) -> float:
        scheduler, texts = self._make_texts(name, kernel, prompts, GENERATED + 1)
        while any(text.waiting > 1 for text in texts):
            scheduler.step()
        begun = clock()
        while scheduler.step() == []:
            pass
        return clock() - begun

    def _make_texts(
        self, name: str, kernel: object, prompts: np.ndarray, limit: int, answer: list | tuple = ()
    ) -> tuple:
        from probatum.runtime.text.decoder import Decoder  # noqa: PLC0415
        from probatum.runtime.text.requests import TextLimits, TextRequest  # noqa: PLC0415
        from probatum.runtime.text.scheduler import Scheduler, Text  # noqa: PLC0415

        limits = TextLimits(chunk=128 * len(prompts), chunk_beside=128 * len(prompts))
        scheduler = Scheduler(Decoder(self.others.get(name, self.weights), kernel), limits)
        texts = []
        for number, prompt in enumerate(prompts):
            request = TextRequest(
                prompt=tuple(prompt.tolist()),
                limit=limit,
                temperature=0.8,
                top_k=64,
                choice=number,
                nonce=bytes(32),
                prefix=tuple(answer),
            )
            texts.append(
                Text(self.text, request, lambda _: None, lambda _: None, scores=bool(answer))
            )
            scheduler.add(texts[-1])
        return scheduler, texts

    def compare_audit(self) -> list[Row]:
        """Compare one exact prefill of an answer with the peer's time to generate as much."""
        kernels = _make_kernels(1)
        ratios = {name: [] for name in kernels}
        own = {name: [] for name in kernels}
        peers = []
        for _ in range(max(2, self.rounds // 3)):
            prompts = self.rng.integers(3, 40_000, (1, 16))
            answer = self.rng.integers(3, 40_000, AUDITED).tolist()
            from benchmarks.text_peer import Peer  # noqa: PLC0415

            peer = Peer(self.sessions[1], self.text, 1)
            begun = time.process_time()
            tokens = peer.read(prompts)
            for _ in range(AUDITED - 1):
                tokens = peer.read(tokens[:, -1].argmax(axis=-1)[:, None])
            peers.append(time.process_time() - begun)
            for name, kernel in kernels.items():
                scheduler, _ = self._make_texts(name, kernel, prompts, AUDITED, answer)
                begun = time.process_time()
                while scheduler.step() == []:
                    pass
                own[name].append(time.process_time() - begun)
                ratios[name].append(own[name][-1] / peers[-1])
        return [
            make_row(
                f"text audit of {AUDITED} tokens, {name}",
                statistics.median(ratios[name]),
                "of generating",
                peer=f"ONNX Runtime generates in {statistics.median(peers):.1f} s; exact prefill "
                f"{statistics.median(own[name]):.1f} s",
                goal=AUDIT_GOAL,
            )
            for name in kernels
        ]


def _make_kernels(threads: int) -> dict:
    from probatum.runtime.text.kernels import make_kernel  # noqa: PLC0415
    from probatum.runtime.text.pure import PureKernel  # noqa: PLC0415

    kernels = {"numpy": PureKernel(threads), NUMPY_BLOCKS: PureKernel(threads)}
    fastest = make_kernel(threads)
    if fastest.name != "numpy":
        kernels["compiled"] = fastest
        kernels[COPIED] = make_kernel(threads)
        kernels[BLOCKS] = make_kernel(threads)
    return kernels


if __name__ == "__main__" and "--resident" in sys.argv:
    print(measure_resident(Path(sys.argv[-1])))
elif __name__ == "__main__":
    print(json.dumps(measure(rounds=2 if "--quick" in sys.argv else 5)))
