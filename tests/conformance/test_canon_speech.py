"""Silero's files on a recording, state handed on from window to window (`CANON-1`, `CANON-4`).

Nested `If`s decided by the rate, LSTMs, sequences: whatever a file is made of, it hears what ONNX
Runtime hears in it; and files of the same network have the same bits.
"""

from __future__ import annotations

import wave
from dataclasses import replace
from functools import cache

import numpy as np
import pytest

import probatum.runtime  # noqa: F401 - switches the engine's telemetry off before it is imported
from probatum.canon.evaluate.evaluating import Evaluator
from probatum.errors import Refusal
from tests.models import MODELS, ROOT, expand, read

ort = pytest.importorskip("onnxruntime")

SPEECH = {model.name: model for model in MODELS if model.recipe == "silero-vad"}
STEP, BEFORE = 512, 64
SOME, ALL = 200, 1_872
FAR = 4e-6
"""Of a probability, after as many windows as there are; measured: 1.3e-6."""


@cache
def read_windows():
    with wave.open(str(ROOT / ".cache" / "models" / "silero-vad" / "speech.wav")) as file:
        samples = np.frombuffer(file.readframes(ALL * STEP), "<i2").astype(np.float32) / 32768
    samples = np.concatenate((np.zeros(BEFORE, np.float32), samples))
    return np.stack([samples[at : at + BEFORE + STEP] for at in range(0, ALL * STEP, STEP)])


def listen(compute, name, windows):
    """Hear windows one by one, or four by four, with the state that came before."""
    if name == "silero-sequence":
        rows, state = 4, {"h": np.zeros((1, 1, 128), np.float32)}
        state["c"] = state["h"]
    else:
        rows, state = 1, {"state": np.zeros((2, 1, 128), np.float32)}
    heard = []
    for at in range(0, len(windows), rows):
        likely, *rest = compute({"input": windows[at : at + rows], **state})
        state = dict(zip(state, rest, strict=True))
        heard.append(np.asarray(likely).reshape(-1))
    return np.concatenate(heard)


@cache
def listen_exactly(name, count):
    expanded = expand(SPEECH[name])
    evaluator = Evaluator(expanded.graph, expanded.weights)
    order = [record.name for record in expanded.graph.inputs]
    heard = listen(
        lambda given: evaluator.evaluate([given[one] for one in order]),
        name,
        read_windows()[:count],
    )
    evaluator.close()
    return heard


def check(name, count):
    model = SPEECH[name]
    data = read(model)
    options = ort.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    bound = {one: np.array(value) for one, value in model.bind.items()}
    want = listen(lambda given: session.run(None, given | bound), name, read_windows()[:count])
    have = listen_exactly(name, count)
    assert len(have) == count
    assert have.dtype == np.float32
    assert float(np.abs(have - want).max()) <= FAR
    assert ((have > 0.5) == (want > 0.5)).all()
    assert 0.6 < (have > 0.5).mean() < 0.95, "somebody speaks, and not always"


@pytest.mark.parametrize("name", SPEECH)
def test_each_file_hears_what_the_engine_hears_in_it(name):
    check(name, SOME)


@pytest.mark.nightly
@pytest.mark.parametrize("name", SPEECH)
def test_each_file_hears_the_whole_recording(name):
    check(name, ALL)


def test_files_of_the_same_network_have_the_same_bits():
    names = ("silero-op16", "silero-16k-op15", "silero-openvino", "silero-sequence")
    read(SPEECH[names[0]])
    heard = {listen_exactly(name, SOME).tobytes() for name in names}
    assert len(heard) == 1


@pytest.mark.parametrize(
    ("name", "change", "code", "says"),
    [
        ("silero-op16", {"bind": {}}, "canon.not-static", "bind the input"),
        (
            "silero-op16",
            {"dims": {"input_0": (1, 8), "input_1": (576, 576), "state_1": (1, 8)}},
            "canon.wrong-operands",
            "[1, input_0, 128]",
        ),
        (
            "silero-sequence",
            {"dims": {"sequence_length": (1, 16)}},
            "canon.dim-must-be-fixed",
            "LSTM '/recurrent/LSTM' is sequence_length",
        ),
        ("silero-sequence", {"dims": {"sequence_length": (513, 513)}}, "canon.not-admitted", "513"),
    ],
)
def test_what_has_no_one_meaning_is_refused_with_the_reason(name, change, code, says):
    with pytest.raises(Refusal) as caught:
        expand(replace(SPEECH[name], **change))
    assert caught.value.code == code
    assert says in str(caught.value)
