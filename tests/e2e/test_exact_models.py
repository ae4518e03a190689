"""Real models in class exact, from the ONNX file to the recheck, by the command alone (`EXACT-1`).

Packed with their meaning, served by a node, fetched by a stranger, asked, and computed again.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import urllib.request

import numpy as np
import pytest

from probatum.ops.network import Network, NetworkPlan

pytestmark = pytest.mark.e2e

BOTH = {
    "magika": {
        "file": ("magika", "model.onnx"),
        "pack": ("--dim", "unk__214=1..16"),
        "inputs": lambda rng: {"bytes": rng.integers(0, 256, (2, 2048)).astype(np.int32)},
        "too_many": lambda: {"bytes": np.zeros((17, 2048), np.int32)},
    },
    "silero": {
        "file": ("silero-vad", "op16.onnx"),
        "pack": (
            *("--bind", "sr=16000", "--dim", "input_0=1", "--dim", "input_1=576"),
            *("--dim", "state_1=1"),
        ),
        "inputs": lambda rng: {
            "input": rng.normal(0, 0.1, (1, 576)).astype(np.float32),
            "state": np.zeros((2, 1, 128), np.float32),
        },
        "too_many": None,
    },
}
SENTENCES = {
    "minilm": {
        "file": ("all-minilm-l6-v2", "model.onnx"),
        "pack": ("--dim", "n=1..16", "--dim", "s=1..128", "--max-tokens", "128"),
        "enclose": "tokenizer.json",
        "inputs": lambda rng: {
            "input_ids": rng.integers(0, 30_000, (16, 128)),
            "attention_mask": np.ones((16, 128), np.int64),
        },
        "too_many": lambda: {
            "input_ids": np.ones((1, 129), np.int64),
            "attention_mask": np.ones((1, 129), np.int64),
        },
    }
}


def call(home, network, *words, status=0):
    """Run the command as somebody else on this machine."""
    place = {"PROBATUM_HOME": str(home)}
    if network is not None:
        place |= {
            "PROBATUM_GATEWAY": network.endpoints.gateway,
            "PROBATUM_LEDGER": network.endpoints.ledger,
            "PROBATUM_TRUST": str(network.trust_path),
        }
    done = subprocess.run(
        [sys.executable, "-P", "-m", "probatum.cli", *words, "--json"],
        env={**os.environ, **place},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == status, (words, done.stdout[-2000:], done.stderr[-2000:])
    return json.loads(done.stdout)


def save(folder, inputs):
    """Write inputs to files, and return the words that name them."""
    folder.mkdir(exist_ok=True)
    words = []
    for name, array in inputs.items():
        np.save(folder / f"{name}.npy", array)
        words.append(f"{name}=@{folder / name}.npy")
    return words


def play(models, find_model, tmp_path):
    home, packages = tmp_path / "home", []
    for name, model in models.items():
        recipe, file = model["file"]
        facts = ("--name", name, "--version", "1", "--task", "t", "--licence", "MIT")
        where = ("-o", str(tmp_path / name))
        source, more = find_model(recipe) / file, list(model["pack"])
        if "enclose" in model:
            more += ("--enclose", str(find_model(recipe) / model["enclose"]))
        call(home, None, "model", "pack", str(source), "--exact", *more, *facts, *where)
        packages.append(tmp_path / name)
    rng = np.random.default_rng(6)
    with Network.open(
        tmp_path / "network", NetworkPlan(nodes=1, models=tuple(packages))
    ) as network:
        network.start()
        operator = network.get_operator("node-1")
        asked = {}
        for name, model in models.items():
            words = save(tmp_path / f"{name}-inputs", model["inputs"](rng))
            first, again = (
                call(home, network, "ask", name, *words, "--exact", "--node", operator)
                for _ in range(2)
            )
            assert (first["class"], first["node"]) == ("exact", operator)
            assert first["outputs"] == again["outputs"]
            asked[name] = (first["request_id"], first["package"])
            if model["too_many"] is not None:
                many = save(tmp_path / f"{name}-many", model["too_many"]())
                said = call(home, network, "ask", name, *many, "--exact", status=1)
                assert said["error"]["code"] == "schema.dim-out-of-range"
            call(home, network, "model", "fetch", name)
        if "minilm" in models:
            check_sentences(network)
    # The network is gone: what was fetched and kept is enough.
    for name, (request_id, package) in asked.items():
        said = call(home, None, "receipt", "recheck", request_id)
        assert said["right"] is True
        assert said["package"] == package, name


def check_sentences(network):
    """The OpenAI API's door turns text into tokens, and asks for class exact."""
    asked = {
        "model": "minilm",
        "input": ["A man is eating food.", "A man is eating a piece of bread."],
        "probatum": {"arithmetic": "exact"},
    }
    url = f"{network.endpoints.gateway}/v1/embeddings"
    with urllib.request.urlopen(url, json.dumps(asked).encode(), timeout=60) as found:
        said = json.load(found)
    one, two = (np.array(each["embedding"]) for each in said["data"])
    assert one @ two == pytest.approx(0.7553, abs=1e-4), "as its card says"
    assert said["probatum"]["arithmetic"] == "exact"


def test_magika_and_silero_are_served_exactly_and_rechecked(find_model, tmp_path):
    play(BOTH, find_model, tmp_path)


@pytest.mark.nightly
def test_minilm_is_served_exactly_and_rechecked(find_model, tmp_path):
    play(SENTENCES, find_model, tmp_path)
