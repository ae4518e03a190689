"""What runs in the examining process: ``python -m probatum.runtime.sandbox.child BOUNDS``.

The file is standard input. On standard output go the names of stages as they begin, a line each,
and last the verdict. Bytes are judged before the engine is even imported; then the engine is
imported, doors are closed, and it may load and run the file. Read next: `confine`, `admission`.
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import time
from typing import TYPE_CHECKING, Final

import msgspec

from probatum.errors import ProbatumError, Refusal
from probatum.runtime.admission import bounds
from probatum.runtime.admission.judge import list_reasons
from probatum.runtime.sandbox.bounds import SandboxBounds
from probatum.runtime.sandbox.confine import close_doors, limit_resources
from probatum.runtime.sandbox.verdict import Verdict, encode_verdict, refuse

if TYPE_CHECKING:
    from probatum.protocol.manifests import TensorSpec
    from probatum.runtime.engine import Engine

__all__ = ["main"]

_SAMPLE_DIM: Final = 1
_NO_MEMORY: Final = (
    "bad_alloc",
    "bad allocation",
    "failed to allocate",
    "is smaller than requested bytes",
)
"""How the engine says that memory ran out."""
_STATUS: Final = "/proc/self/status"


def main(arguments: list[str]) -> int:
    """Examine standard input and say what was found."""
    limits = msgspec.json.decode(arguments[0], type=SandboxBounds)
    size = os.fstat(0).st_size if stat.S_ISREG(os.fstat(0).st_mode) else 0
    limit_resources(
        memory_bytes=limits.compute_memory(size),
        cpu_seconds=limits.cpu_seconds,
        parent=limits.parent,
    )
    status = os.open(_STATUS, os.O_RDONLY | os.O_CLOEXEC)
    try:
        verdict = _examine(size)
    except MemoryError:
        verdict = Verdict(sha256="0" * 64, size=size, reasons=refuse((_too_much_memory(),)))
    os.lseek(status, 0, os.SEEK_SET)
    verdict = msgspec.structs.replace(verdict, peak_bytes=_read_peak(os.read(status, 1 << 14)))
    _say(encode_verdict(verdict))
    return 0


def _examine(size: int) -> Verdict:
    _say(b"form")
    if size > bounds.MODEL_BYTES:
        too_large = Refusal(
            "admission.too-large", f"{size} bytes; {bounds.MODEL_BYTES} are admitted"
        )
        return Verdict(sha256="0" * 64, size=size, reasons=refuse((too_large,)))
    with os.fdopen(0, "rb") as file:
        model = file.read(size + 1)
    verdict = Verdict(sha256=hashlib.sha256(model).hexdigest(), size=len(model))
    if reasons := list_reasons(model):
        return msgspec.structs.replace(verdict, reasons=refuse(reasons))
    # Not before here: most of what is refused never meets the engine.
    import probatum.runtime.engine as engine_page  # noqa: PLC0415

    network = close_doors()
    _say(b"load")
    started = time.monotonic()
    try:
        engine = engine_page.Engine(model, engine_page.EngineOptions())
    except Refusal as refusal:
        reason = _too_much_memory() if _is_about_memory(refusal) else refusal
        return msgspec.structs.replace(verdict, reasons=refuse((reason,)))
    loaded = msgspec.structs.replace(
        verdict,
        inputs=engine.inputs,
        outputs=engine.outputs,
        load_ms=int((time.monotonic() - started) * 1000),
        network="empty" if network else "unopenable",
    )
    _say(b"run")
    return _run_sample(engine, loaded)


def _run_sample(engine: Engine, verdict: Verdict) -> Verdict:
    """Run the model twice on as little as it takes; the second run is the one that counts."""
    from probatum.runtime.engine import Stop  # noqa: PLC0415 - with the engine

    try:
        feeds = {spec.name: _make_sample(spec) for spec in engine.inputs}
        engine.run(feeds, Stop())
        started = time.monotonic()
        engine.run(feeds, Stop())
    except ProbatumError as error:
        if _is_about_memory(error):
            return msgspec.structs.replace(verdict, reasons=refuse((_too_much_memory(),)))
        # Ones for free dimensions are a guess, and a model may rightly refuse them.
        return msgspec.structs.replace(verdict, run_note=error.message[:1_000])
    return msgspec.structs.replace(verdict, run_us=int((time.monotonic() - started) * 1e6))


def _make_sample(spec: TensorSpec) -> object:
    import numpy as np  # noqa: PLC0415 - the engine brought it

    shape = tuple(dim if isinstance(dim, int) else _SAMPLE_DIM for dim in spec.shape)
    return np.zeros(shape, dtype=spec.dtype)


def _is_about_memory(error: ProbatumError) -> bool:
    said = error.message.lower()
    return any(mark in said for mark in _NO_MEMORY)


def _too_much_memory() -> Refusal:
    return Refusal(
        "admission.too-much-memory",
        "the model takes more memory than its size allows",
        hint="a model may take some times the bytes of its file",
    )


def _read_peak(status: bytes) -> int:
    for line in status.splitlines():
        if line.startswith(b"VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0


def _say(line: bytes) -> None:
    sys.stdout.buffer.write(line + b"\n")
    sys.stdout.buffer.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
