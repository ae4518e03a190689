"""How long each role takes to be ready, and what it holds when nobody asks for anything.

Each process of a network is started again alone, so that it does not share the machine with
others that start. The goal for a node: 130 MB and 1.3 times the float32 weights of its models.
The peer is a Python that has imported the same engine, and nothing else.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import small_model
from benchmarks.measuring import SCRATCH, Row, get_rss_mb, make_row
from probatum.ops.demo.packages import build_real
from probatum.ops.network import GATEWAY, LEDGER, Network, NetworkPlan

REAL = ("all-minilm-l6-v2", "magika")
NODE_MB = 130.0
WEIGHTS = 1.3
SETTLE_S = 3.0


def get_engine_mb() -> float:
    """Get the memory of a bare Python with NumPy and the engine."""
    code = "import numpy, onnxruntime; print('ok', flush=True); input()"
    command = [sys.executable, "-c", code]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdout is not None
        process.stdout.readline()
        found = get_rss_mb(process.pid)
        process.kill()
    return found


def run(*, quick: bool = False) -> list[Row]:
    """Measure; one row a figure."""
    rows: list[Row] = []
    engine = get_engine_mb()
    SCRATCH.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=SCRATCH) as folder:
        scratch = Path(folder)
        models = [small_model.make_package(scratch / "package")]
        sources = {name: SCRATCH / "models" / name for name in REAL}
        models += [
            build_real(name, source, scratch / name).folder
            for name, source in sources.items()
            if source.is_dir()
        ]
        weights = sum((model / "model.onnx").stat().st_size for model in models) / 1e6
        plan = NetworkPlan(nodes=1, models=tuple(models))
        with Network.open(scratch / "network", plan) as network:
            begun = time.perf_counter()
            network.start()
            rows.append(
                make_row("start a network to its first answer", time.perf_counter() - begun, "s")
            )
            (node,) = network.node_names
            for what, name in (("full node", LEDGER), ("gateway", GATEWAY), ("node", node)):
                network.kill(name)
                begun = time.perf_counter()
                network.restart(name)
                took = time.perf_counter() - begun
                time.sleep(1 if quick else SETTLE_S)
                goal = NODE_MB + WEIGHTS * weights if name == node else None
                rows += [
                    make_row(f"start {what} to serving", took, "s"),
                    make_row(
                        f"idle memory, {what}",
                        get_rss_mb(network.get_pid(name)),
                        "MB",
                        peer=f"Python with the engine {engine:.0f} MB",
                        against=engine,
                        goal=goal,
                    ),
                ]
    return rows
