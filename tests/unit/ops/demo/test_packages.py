"""Packages of real models, asked through the runtime that nodes use, on real inputs.

What is expected was computed with the models' own programs: silero-vad on its recording, RapidOCR
on the scanned page, sentence-transformers' published example.
"""

from __future__ import annotations

import gzip
import struct
import wave
import zlib
from functools import cache

import numpy as np
import pytest

from probatum.client.arrays import to_array, to_tensor
from probatum.errors import Refusal
from probatum.ops.demo.minilm import SentenceTokenizer
from probatum.ops.demo.packages import MODELS, build_real
from probatum.ops.demo.volatility import compute_volatility, make_window, read_days
from probatum.runtime.session import OnnxSession


@pytest.fixture(scope="module")
def load(find_model, tmp_path_factory):
    """Build a package, load it as a node would, and return it with a way to ask it."""

    @cache
    def load(name):
        folder = tmp_path_factory.mktemp("packages") / name
        package = build_real(name, find_model(MODELS[name].source), folder)
        session = OnnxSession(package.manifest, package.read_model())

        def ask(**inputs):
            order = [spec.name for spec in package.manifest.inputs]
            outputs = session.run(tuple(to_tensor(each, inputs[each]) for each in order))
            return [to_array(output) for output in outputs]

        return package, ask

    return load


def test_every_manifest_says_what_its_model_is(load):
    facts = {}
    for name in sorted(MODELS):
        manifest = load(name)[0].manifest
        assert (manifest.name, manifest.task) == (name, MODELS[name].task)
        facts[name] = (manifest.licence, manifest.batch_dim, [f.path for f in manifest.files])
    assert facts == {
        "all-minilm-l6-v2": ("Apache-2.0", "n", ["README.md", "model.onnx", "tokenizer.json"]),
        "pp-ocrv4-detector": ("Apache-2.0", "n", ["model.onnx"]),
        "pp-ocrv4-reader": ("Apache-2.0", "n", ["labels.txt", "model.onnx"]),
        "silero-vad": ("MIT", None, ["LICENSE", "model.onnx"]),
        "sp500-volatility": (
            "NCSA",
            "n",
            ["README.md", "canonical.bin", "facts.json", "model.onnx"],
        ),
    }


def test_a_name_without_a_recipe_and_files_that_are_not_there(tmp_path):
    for name, code in (("gpt", "demo.unknown-model"), ("silero-vad", "demo.no-model")):
        with pytest.raises(Refusal) as caught:
            build_real(name, tmp_path, tmp_path / "package")
        assert caught.value.code == code
    assert "fetch.py silero-vad" in caught.value.hint


# ------------------------------------------------------------------------------------- sentences


def test_sentences_are_as_alike_as_published(load):
    package, ask = load("all-minilm-l6-v2")
    tokenizer = SentenceTokenizer(package)
    eats, bread, market = ask(
        **tokenizer.encode(
            (
                "A man is eating food.",
                "A man is eating a piece of bread.",
                "The stock market fell today.",
            )
        )
    )[0]
    assert eats @ bread == pytest.approx(0.7553, abs=1e-4)
    assert abs(eats @ market) < 0.05
    ids = tokenizer.encode(("word " * 1000,))["input_ids"]
    assert ids.shape == (1, 256), "longer sentences are cut"
    manifest = package.manifest
    assert [spec.shape for spec in manifest.inputs] == [("n", "s")] * 2
    assert (manifest.tokenizer, manifest.max_tokens) == ("tokenizer.json", 256)


# -------------------------------------------------------------------------------------- forecast


def test_the_forecast_of_a_storm_and_of_a_calm(load, find_model):
    _, ask = load("sp500-volatility")
    days = read_days(find_model("sp500-volatility"))
    at = {day.date: number for number, day in enumerate(days)}
    rise = {}
    for date in ("12/24/2018", "10/5/2017"):
        window = make_window(days, at[date])
        assert window.shape == (1, 22, 4)
        assert window[0, -1] == pytest.approx(days[at[date]].prices, rel=1e-6)
        (_, percent) = ask(prices=window)
        rise[date] = float(percent[0, 0])
    assert rise["12/24/2018"] > 20 > rise["10/5/2017"]
    assert compute_volatility(days[at["12/24/2018"] + 1]) > 20


def test_a_table_that_is_none_is_refused(tmp_path):
    tables = (
        b"no gzip",
        gzip.compress(b"Date,Open\n1/4/1999,1.0\n"),
        gzip.compress(b"x" * 99)[:-9],
    )
    for data in tables:
        (tmp_path / "sp500.csv.gz").write_bytes(data)
        with pytest.raises(Refusal) as caught:
            read_days(tmp_path)
        assert caught.value.code == "demo.other-prices"


# ---------------------------------------------------------------------------------------- speech

WINDOWS = 1875
RATE, STEP, BEFORE = 16_000, 512, 64


def read_windows(path):
    with wave.open(str(path)) as file:
        assert (file.getframerate(), file.getnchannels(), file.getsampwidth()) == (RATE, 1, 2)
        samples = np.frombuffer(file.readframes(WINDOWS * STEP), "<i2").astype(np.float32) / 32768
    samples = np.concatenate((np.zeros(BEFORE, np.float32), samples))
    return [samples[at : at + BEFORE + STEP] for at in range(0, WINDOWS * STEP, STEP)]


def test_speech_is_heard_where_somebody_speaks(load, find_model):
    _, ask = load("silero-vad")
    state = np.zeros((2, 1, 128), np.float32)
    rate = np.array(RATE, np.int64)
    heard = []
    for window in read_windows(find_model("silero-vad") / "speech.wav"):
        likely, state = ask(input=window[np.newaxis], state=state, sr=rate)
        heard.append(float(likely[0, 0]))
    assert heard[:3] == pytest.approx([0.208, 0.818, 0.891], abs=0.002)
    assert len(heard) == WINDOWS
    assert np.mean(np.array(heard) > 0.5) == pytest.approx(0.774, abs=0.002)
    state = np.zeros((2, 1, 128), np.float32)
    quiet, _ = ask(input=np.zeros((1, BEFORE + STEP), np.float32), state=state, sr=rate)
    assert quiet[0, 0] < 0.2


# ------------------------------------------------------------------------------------------ text


def read_png(path):
    """Decode a PNG of 8 bits of grey without interlacing: what the scanned page is."""
    data, at, packed = path.read_bytes(), 8, b""
    width = height = 0
    while at < len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            width, height, depth, colour, _, _, laced = struct.unpack(">IIBBBBB", body)
            assert (depth, colour, laced) == (8, 0, 0)
        packed += body if kind == b"IDAT" else b""
        at += 12 + size
    raw = np.frombuffer(zlib.decompress(packed), np.uint8).reshape(height, width + 1)
    rows = np.zeros((height + 1, width + 1), np.int32)
    for y in range(height):
        method, line = int(raw[y, 0]), raw[y, 1:]
        for x in range(width):
            left, up, corner = (int(v) for v in (rows[y + 1, x], rows[y, x + 1], rows[y, x]))
            near = left + up - corner
            paeth = min((left, up, corner), key=lambda v, near=near: abs(near - v))
            guess = (0, left, up, (left + up) // 2, paeth)[method]
            rows[y + 1, x + 1] = (int(line[x]) + guess) & 255
    return rows[1:, 1:].astype(np.float32)


def resize(grey, height, width):
    """Resize by linear interpolation, pixel centres kept."""
    for axis, size in ((0, height), (1, width)):
        old = grey.shape[axis]
        at = np.clip((np.arange(size) + 0.5) * old / size - 0.5, 0, old - 1)
        low = at.astype(int)
        high = np.minimum(low + 1, old - 1)
        share = (at - low).astype(np.float32)
        share = share[:, None] if axis == 0 else share
        grey = np.take(grey, low, axis) * (1 - share) + np.take(grey, high, axis) * share
    return grey


def to_input(grey):
    """Three equal channels from -1 to 1, a batch of one."""
    return np.repeat(((grey / 255 - 0.5) / 0.5)[np.newaxis, np.newaxis], 3, axis=1)


def find_lines(likely):
    """Rows of points that are text, as (first, last) of each block of at least five rows."""
    busy = (likely > 0.3).sum(axis=1) > 20
    edges = np.flatnonzero(np.diff(np.concatenate(([False], busy, [False])).astype(int)))
    return [(a, b) for a, b in edges.reshape(-1, 2).tolist() if b - a >= 5]


def read_line(scores, labels):
    """The likeliest label of each step; repeats and gaps fall away (CTC)."""
    best = scores.argmax(axis=1)
    kept = [b for i, b in enumerate(best) if b and (i == 0 or b != best[i - 1])]
    return "".join(labels[b] for b in kept)


def test_a_scanned_page_is_found_and_read(load, find_model):
    _, detect = load("pp-ocrv4-detector")
    package, recognise = load("pp-ocrv4-reader")
    labels = package.read_labels()
    assert (len(labels), labels[0], labels[-1]) == (6625, "<blank>", " ")
    page = read_png(find_model("page") / "page.png")
    assert page.shape == (191, 384)
    likely = detect(x=to_input(resize(page, 384, 768)))[0][0, 0]
    assert likely.shape == (384, 768)
    assert 0.05 < (likely > 0.3).mean() < 0.5
    text = []
    for first, last in find_lines(likely):
        # What is found is a core of the line: half its height more on each side is the line.
        margin = (last - first) // 2
        line = page[max(0, first - margin) // 2 : (last + margin) // 2 + 1]
        wide = round(line.shape[1] * 48 / line.shape[0])
        text.append(read_line(recognise(x=to_input(resize(line, 48, wide)))[0][0], labels))
    assert "Let us first determine markers of the coins and the" in " ".join(text)
