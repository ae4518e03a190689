"""The sandbox gives a verdict of every file, in bounded memory and time (PUB-1)."""

from __future__ import annotations

import hashlib
import os
import time
from pathlib import Path

import pytest

from probatum.errors import Fault, Refusal
from probatum.protocol.limits import MIB
from probatum.runtime.sandbox import cell, process
from probatum.runtime.sandbox.bounds import SandboxBounds
from probatum.runtime.sandbox.verdict import Verdict, decode_verdict, encode_verdict
from tests.corpus.hostile import HOSTILE

BOUNDS = SandboxBounds(run_seconds=2.0, load_seconds=60.0, cpu_seconds=60)
PEAK_BYTES = 700 * MIB


@pytest.fixture
def examine(tmp_path):
    def run(data, bounds=BOUNDS):
        path = tmp_path / "model.onnx"
        path.write_bytes(data)
        with path.open("rb") as file:
            return cell.examine_model(file.fileno(), bounds)

    return run


@pytest.mark.parametrize("name", sorted(HOSTILE))
def test_a_hostile_file_is_refused_within_bounds(name, examine):
    data = HOSTILE[name].make()
    started = time.monotonic()
    verdict = examine(data, SandboxBounds(memory_base_bytes=640 * MIB, run_seconds=2.0))
    assert [reason.code for reason in verdict.reasons][:1] == [HOSTILE[name].code]
    assert verdict.peak_bytes < PEAK_BYTES
    assert time.monotonic() - started < 60
    with pytest.raises(Refusal) as caught:
        verdict.check_admitted()
    assert caught.value.code == HOSTILE[name].code


def test_an_honest_file_is_admitted_and_described(examine, linear):
    verdict = examine(linear)
    assert verdict.is_admitted
    verdict.check_admitted()
    assert verdict.sha256 == hashlib.sha256(linear).hexdigest()
    assert verdict.size == len(linear)
    assert [(spec.name, spec.shape) for spec in verdict.inputs] == [("x", ("rows", 3))]
    assert [(spec.name, spec.shape) for spec in verdict.outputs] == [("y", ("rows", 2))]
    assert verdict.run_us is not None
    assert 10 * MIB < verdict.peak_bytes < PEAK_BYTES
    assert decode_verdict(encode_verdict(verdict)) == verdict


def test_a_model_that_refuses_zeros_is_admitted_with_a_note(examine, picker):
    import onnx

    made = onnx.load_from_string(picker)
    made.graph.initializer[0].dims[0] = 0
    made.graph.initializer[0].raw_data = b""
    verdict = examine(made.SerializeToString())
    assert verdict.is_admitted
    assert verdict.run_us is None
    assert verdict.run_note != ""


def test_an_examination_leaves_no_process_and_no_descriptor(examine, linear):
    before = {path.name for path in Path("/proc/self/fd").iterdir()}
    examine(linear)
    examine(b"noise")
    assert {path.name for path in Path("/proc/self/fd").iterdir()} == before
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def with_child(monkeypatch, code):
    """Let another program run in the cell: what a broken or captured one might do."""
    monkeypatch.setattr(cell, "_COMMAND", ("-I", "-c", code))


@pytest.mark.parametrize(
    ("code", "reason", "said"),
    [
        ("import time; time.sleep(60)", "admission.too-slow", "0.7 s"),
        ("print('form'); print('load', flush=True); import time; time.sleep(60)",
         "admission.too-slow", "loading it"),
        ("import os; os.abort()", "admission.crashed", "SIGABRT"),
        ("import os, signal; os.kill(0, signal.SIGKILL)", "admission.too-much-memory", "ended"),
        ("while True: print('x' * 1000)", "admission.crashed", "without end"),
        ("while True: print('form')", "admission.crashed", "reading it"),
        ("import os; os.close(1); import time; time.sleep(60)", "admission.too-slow", "starting"),
    ],
)  # fmt: skip
def test_a_process_that_misbehaves_is_ended_and_that_is_the_reason(
    examine, monkeypatch, code, reason, said
):
    with_child(monkeypatch, code)
    monkeypatch.setattr(process, "_LAST_WORDS_SECONDS", 0.3)
    started = time.monotonic()
    verdict = examine(b"", SandboxBounds(load_seconds=0.7))
    assert time.monotonic() - started < 10
    (found,) = verdict.reasons
    assert found.code == reason
    assert said in found.message


@pytest.mark.parametrize(
    "code", ["", "print('{}')", "raise SystemExit(3)", "print('{\"sha256\":1}')"]
)
def test_a_process_without_a_verdict_is_a_fault_of_this_machine(examine, monkeypatch, code):
    with_child(monkeypatch, code)
    with pytest.raises(Fault) as caught:
        examine(b"")
    assert caught.value.code == "sandbox.broken"


def test_processor_time_is_bounded_too(examine):
    spin = HOSTILE["loop-without-end"].make()
    verdict = examine(spin, SandboxBounds(cpu_seconds=1, run_seconds=60.0))
    assert [reason.code for reason in verdict.reasons] == ["admission.too-slow"]


def test_a_grown_verdict_is_refused():
    with pytest.raises(Refusal):
        decode_verdict(encode_verdict(Verdict(sha256="0" * 64, size=1)) + b" " * 65_536)
