"""Exact decoding against ONNX Runtime's and llama.cpp's: SmolLM2-135M, caches of keys and values.

The peers compute the same weights in float32. Weights in blocks (Q4_1, Q8_0) are the same model
too, decoded as they are read. Read `text_rates` and `text_peer` next.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
from pathlib import Path

import msgspec

from benchmarks.measuring import ROOT, SCRATCH, Row, make_row
from probatum.hub.package import Package, load_package
from probatum.ops.demo import smollm2

RESIDENT_MB_GOAL = 250
GENERATED_RESIDENT = 64


def run(*, quick: bool = False) -> list[Row]:
    """Measure in a process of its own, whose BLAS has one thread from the start."""
    told = _run_alone("benchmarks.text", *(["--quick"] if quick else []))
    rows: list[Row] = json.loads(told)
    return rows


def _run_alone(*arguments: str) -> str:
    """Run a module as a process of its own: the last line that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        env=os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1]


def open_package() -> Package:
    """Open the model, imported once from what `models/fetch.py` fetched."""
    fetch = [sys.executable, str(ROOT / "models" / "fetch.py"), smollm2.RECIPE]
    subprocess.run(fetch, check=True, stdout=sys.stderr)
    imported = SCRATCH / "imported"
    return smollm2.open_smollm2(SCRATCH / "models", imported, lambda _done, _total: None)


def import_blocks(gguf: Path, folder: Path) -> Package:
    """Import the model again, its weights in the blocks that it was fetched in."""
    from probatum.hub.importing.gguf_file import read_gguf  # noqa: PLC0415 - not in the children
    from probatum.hub.importing.writing import (  # noqa: PLC0415
        ImportFacts,
        write_text_package,
    )

    facts = ImportFacts(
        name="smollm2", version="1", licence="Apache-2.0", description="Blocks.", context=2048
    )
    source = read_gguf(gguf, top_k=64)
    return write_text_package(source, facts, folder, lambda _done, _total: None, keeps_blocks=True)


def measure(*, quick: bool) -> list[Row]:
    """Measure all: numpy and the compiled kernel, batches of 1 and 8, one thread and two."""
    from benchmarks.text_rates import Bench  # noqa: PLC0415 - not in the children

    floats = open_package()
    gguf = SCRATCH / "models" / smollm2.RECIPE / "model.gguf"
    assert floats.manifest.text is not None
    # Nothing ends early.
    text = msgspec.structs.replace(
        floats.manifest.text, stop_ids=(floats.manifest.text.vocabulary - 1,)
    )
    with tempfile.TemporaryDirectory(dir=SCRATCH, prefix="bench-text-") as work:
        blocks = import_blocks(gguf, Path(work) / "blocks")
        rows = compare_resident(blocks.folder, floats.folder)
        files = [package.folder / package.manifest.model for package in (floats, blocks)]
        bench = Bench(files[0], files[1], gguf, text, Path(work))
        for threads, rounds in ((1, 2 if quick else 3), (2, 1 if quick else 3)):
            for batch in (1, 8):
                rows += bench.compare_generating(threads, batch, rounds)
        rows += bench.compare_audit(1 if quick else 2)
    return rows


def compare_resident(blocks: Path, floats: Path) -> list[Row]:
    """Compare what processes hold that open the model and write, by the kernel's books."""
    told = {
        folder: json.loads(_run_alone("benchmarks.text", "--resident", str(folder)))
        for folder in (blocks, floats)
    }
    most = {folder: found["VmHWM"] for folder, found in told.items()}
    peer = (
        f"{told[blocks]['RssAnon']:.0f} its own, {told[blocks]['RssFile']:.0f} mapped; weights as "
        f"float32 {most[floats]:.0f}, {told[floats]['RssAnon']:.0f} its own"
    )
    return [
        make_row(
            "text resident memory, weights in blocks",
            most[blocks],
            "MB",
            peer=peer,
            against=most[floats],
            goal=RESIDENT_MB_GOAL,
        )
    ]


def measure_resident(folder: Path) -> dict[str, float]:
    """Write 64 tokens to a prompt of 64 in this process: what it held, in MB.

    Returns:
        VmHWM, the most that was resident; at the end RssAnon, which is the process's own, and
        RssFile, which is mapped and shared by all that map it.
    """
    from probatum.runtime.text.engine import TextEngine  # noqa: PLC0415 - counted
    from probatum.runtime.text.requests import TextRequest  # noqa: PLC0415

    package = load_package(folder)
    engine = TextEngine(package.manifest, folder / package.manifest.model)
    request = TextRequest(
        prompt=tuple(range(100, 164)),
        limit=GENERATED_RESIDENT,
        temperature=0.8,
        top_k=64,
        choice=0,
        nonce=bytes(32),
    )
    told: queue.SimpleQueue = queue.SimpleQueue()
    engine.submit(request, lambda _: None, told.put)
    answer = told.get(timeout=300)
    lines = Path("/proc/self/status").read_text().splitlines()
    engine.close()
    if len(answer.ids) != GENERATED_RESIDENT:
        raise RuntimeError("the text ended early: the figure would be of another length")
    fields = dict(line.split(":") for line in lines)
    return {name: int(fields[name].split()[0]) / 1000 for name in ("VmHWM", "RssAnon", "RssFile")}


if __name__ == "__main__" and "--resident" in sys.argv:
    print(json.dumps(measure_resident(Path(sys.argv[-1]))))
elif __name__ == "__main__":
    print(json.dumps(measure(quick="--quick" in sys.argv)))
