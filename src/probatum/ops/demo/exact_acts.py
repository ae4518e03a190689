"""The act that shows equal bits: one contract, decided alike by everybody who evaluates exactly.

Three processes stand for three machines: other threads, other batches, another kernel of the BLAS.
Then each node of the network is asked, by name, in both classes. Must not know terminals. Read
next: `exact_process`, `docs/explanation/canonical.md`.
"""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
import numpy as np

from probatum.errors import Fault
from probatum.ops.demo import volatility
from probatum.ops.demo.exact_nodes import BATCH, ask_each_node
from probatum.ops.demo.exact_process import How
from probatum.ops.demo.stage import Stage
from probatum.runtime.engine import Engine, EngineOptions, Stop

__all__ = ["MACHINES", "decide_exactly"]

EVENINGS: Final = 1024
_TIMEOUT_S: Final = 60.0

Forecasts: TypeAlias = np.ndarray[tuple[int], np.dtype[np.float32]]
Windows: TypeAlias = np.ndarray[tuple[int, ...], np.dtype[np.float32]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """What is particular about one machine."""

    said: str
    batch: int
    threads: int
    k_chunk: int
    environment: tuple[tuple[str, str], ...] = ()


MACHINES: Final = (
    Machine(said="1 thread, one by one", batch=1, threads=1, k_chunk=256),
    Machine(said="2 threads, 8 at once", batch=8, threads=2, k_chunk=64),
    Machine(
        said="all at once, the BLAS of an older processor",
        batch=EVENINGS,
        threads=1,
        k_chunk=256,
        environment=(("OPENBLAS_CORETYPE", "Nehalem"),),
    ),
)


def decide_exactly(stage: Stage) -> None:
    """Show who decides alike about a threshold that lies between two floats."""
    teller = stage.teller
    days = volatility.read_days(stage.fetched / volatility.NAME)
    last = range(len(days) - EVENINGS, len(days))
    windows = np.concatenate([volatility.make_window(days, number) for number in last])
    package = stage.get_package(volatility.NAME)
    model = package.folder / package.manifest.model
    alone, together = (_ask_engine(model.read_bytes(), windows, batch) for batch in (1, BATCH))
    with ThreadPoolExecutor(max_workers=len(MACHINES)) as pool:
        exact = list(pool.map(lambda each: _evaluate(model, windows, each), MACHINES))
    teller.line(f"{EVENINGS:,} forecasts, by three machines that evaluate exactly:")
    digests = [hashlib.sha256(each.tobytes()).hexdigest()[:16] for each in exact]
    rows = [(each.said, digest) for each, digest in zip(MACHINES, digests, strict=True)]
    teller.table(("machine", "SHA-256 of all forecasts"), rows)
    teller.promise(len(set(digests)) == 1, "exact evaluation gives the same bits on each machine")
    apart = int((alone != together).sum())
    teller.line(f"ONNX Runtime, asked one by one and 8 at once: {apart:,} of them differ.")
    place = int(np.abs(alone - together).argmax())
    if not apart:
        # Its kernels depend on the processor; the bits that it promises are none.
        teller.line("On this processor these two agree with each other; on another they may not.")
        together = exact[0]
        place = int(np.abs(alone - together).argmax())
    threshold = (float(alone[place]) + float(together[place])) / 2
    teller.line(f"A contract pays if the forecast for {days[last[place]].date} is above")
    teller.line(f"{threshold:.7f} % a year. Does it pay? Each node is asked, by name:")
    served = ask_each_node(stage, windows, place, threshold)
    bits = {found[place].tobytes() for found in exact}
    teller.promise(bits == {served.tobytes()}, "nodes give the bits that the machines give")
    teller.line("The three machines above gave these bits, too.")
    teller.line("Exact is not nearer to the truth about markets; it is the same for everybody, and")
    teller.line("any one number of it can be judged in milliseconds.")
    teller.figure("exact evaluation", f"{EVENINGS:,} of {EVENINGS:,} forecasts equal, bit for bit")


def _ask_engine(model: bytes, windows: Windows, batch: int) -> Forecasts:
    """Forecast with ONNX Runtime, so many at a time."""
    engine = Engine(model, EngineOptions())
    place = [spec.name for spec in engine.outputs].index("volatility")
    parts = [
        engine.run({"prices": windows[start : start + batch]}, Stop())[place]
        for start in range(0, len(windows), batch)
    ]
    return np.concatenate(parts).reshape(-1)


def _evaluate(model: Path, windows: Windows, machine: Machine) -> Forecasts:
    """Forecast exactly in a process of its own."""
    how = How(
        dim="n",
        output="volatility",
        batch=machine.batch,
        threads=machine.threads,
        k_chunk=machine.k_chunk,
    )
    given = io.BytesIO()
    np.save(given, windows)
    command = [sys.executable, "-P", "-m", "probatum.ops.demo.exact_process"]
    done = subprocess.run(  # noqa: S603 - our own program, a file of ours
        [*command, str(model), msgspec.json.encode(how).decode()],
        input=given.getvalue(),
        env={**os.environ, **dict(machine.environment)},
        capture_output=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
    if done.returncode != 0 or len(done.stdout) != 4 * len(windows):
        last = done.stderr.decode("utf-8", "replace").strip().splitlines()[-1:]
        raise Fault("demo.no-evaluation", f"a machine gave no forecasts: {''.join(last)[:300]}")
    return np.frombuffer(done.stdout, "<f4").astype(np.float32)
