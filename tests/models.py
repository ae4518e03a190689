"""The real models that canonical evaluation is tried on, and how their inputs are drawn.

They come by `models/fetch.py`; a test of one that cannot be had is skipped by name.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pytest

from probatum.canon.expand.expansion import expand_model
from probatum.canon.expand.values import make_known
from tests.corpus.trained import train

ROOT = Path(__file__).resolve().parents[1]
FAR = 1.5e-6
RATE = {"sr": 16_000}


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model.

    Attributes:
        draw: Makes its inputs.
        dims: Least and greatest admitted value of each dim.
        bind: Inputs that are constants.
        far: How far ONNX Runtime may be off, as a share of the largest output.
        recipe: Where it comes from; empty for those of `corpus.trained`.
        file: Which of the recipe's files it is.
        rows: Whether the first dim of all inputs is the batch.
    """

    name: str
    draw: Callable[[np.random.Generator], dict[str, np.ndarray]]
    dims: dict[str, tuple[int, int]]
    bind: dict[str, int] = field(default_factory=dict)
    far: float = FAR
    recipe: str = ""
    file: str = "model.onnx"
    rows: bool = True


def ids(rng):
    tokens = rng.integers(0, 30_000, (3, 24))
    mask = np.ones_like(tokens)
    mask[1, 17:] = 0
    return {"input_ids": tokens, "attention_mask": mask}


def prices(rng):
    steps = np.cumsum(rng.normal(0, 0.01, (5, 22, 4)), axis=1)
    return {"prices": (100 * np.exp(steps)).astype(np.float32)}


def sound(rng):
    """A window of noise, with half a window of silence: its spectrum has exact zeros."""
    wave = rng.normal(0, 0.1, (1, 576)).astype(np.float32)
    wave[:, 200:] = 0
    state = rng.normal(0, 0.1, (2, 1, 128)).astype(np.float32)
    return {"input": wave, "state": state}


def sounds(rng):
    """Four windows in a row, for the file that takes a sequence of them."""
    wave = rng.normal(0, 0.1, (4, 576)).astype(np.float32)
    wave[2, 100:] = 0
    hidden, cell = (rng.normal(0, 0.1, (1, 1, 128)).astype(np.float32) for _ in range(2))
    return {"input": wave, "h": hidden, "c": cell}


def features(count, low, high):
    return lambda rng: {"X": rng.uniform(low, high, (64, count)).astype(np.float32)}


MODELS = [
    Model(name="logistic", draw=features(30, 0, 30), dims={"X_0": (1, 64)}),
    Model(name="mlp", draw=features(64, 0, 16), dims={"X_0": (1, 64)}),
    Model(name="forest", draw=features(30, 0, 30), dims={"X_0": (1, 64)}),
    Model(name="volatility", recipe="sp500-volatility", draw=prices, dims={"n": (1, 16)}),
    Model(
        name="silero",
        recipe="silero-vad",
        draw=sound,
        dims={"batch": (1, 1), "sequence": (576, 576)},
        bind=RATE,
        far=2e-5,
        rows=False,
    ),
    *(
        Model(
            name=f"silero-{name}",
            recipe="silero-vad",
            file=f"{name}.onnx",
            draw=sounds if name == "sequence" else sound,
            dims=dims,
            bind=bind,
            far=4e-5,
            rows=False,
        )
        for name, dims, bind in (
            # Nested `If`, decided by the rate; its dims have no names.
            ("op16", {"input_0": (1, 1), "input_1": (576, 576), "state_1": (1, 1)}, RATE),
            ("16k-op15", {"batch": (1, 8), "sequence": (576, 576)}, RATE),
            ("half", {"batch": (1, 8), "sequence": (576, 576)}, {}),
            ("openvino", {}, {}),
            ("sequence", {"sequence_length": (4, 4)}, {}),
        )
    ),
    Model(
        name="magika",
        recipe="magika",
        draw=lambda rng: {"bytes": rng.integers(0, 256, (3, 2048)).astype(np.int32)},
        dims={"unk__214": (1, 16)},
        # Its file takes a variance as the mean of squares less the square of the mean.
        far=1e-4,
    ),
    Model(name="minilm", recipe="all-minilm-l6-v2", draw=ids, dims={"n": (1, 64), "s": (1, 256)}),
    Model(
        name="residual",
        recipe="open-nsfw",
        draw=lambda rng: {"input_0": rng.uniform(0, 255, (1, 224, 224, 3)).astype(np.float32)},
        dims={"batch": (1, 8)},
        far=1e-5,
        rows=False,
    ),
]


def read(model):
    if not model.recipe:
        return train(model.name)
    path = ROOT / ".cache" / "models" / model.recipe / model.file
    if not path.is_file():
        command = [sys.executable, str(ROOT / "models" / "fetch.py"), model.recipe]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"{model.recipe} cannot be had: {done.stderr.strip()[-200:]}")
    return path.read_bytes()


def expand(model):
    """Expand a model as its row says."""
    bound = {name: make_known("int64", value) for name, value in model.bind.items()}
    return expand_model(read(model), ranges=model.dims, bind=bound)
