"""Canonical answers from real processes; one that lies is found out by rechecking (EXACT-1)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from probatum.client.client import Client
from probatum.client.failures import RequestFailed, RequestRefused
from probatum.ops.network import Network, NetworkPlan
from tests.e2e.processes import wait_for
from tests.unit.cli.test_exacting import pack, save
from tests.unit.runtime.models import make_model

pytestmark = pytest.mark.e2e

NODE = "node-1"
ROOT = Path(__file__).resolve().parents[2]
X = np.linspace(-2, 3, 6, dtype=np.float32).reshape(2, 3)


class LyingNetwork(Network):
    """Its one inference node runs a liar's program once it is told to."""

    lies = False

    def _spawn(self, name):
        if name != NODE or not self.lies:
            super()._spawn(name)
            return
        arguments = ("--home", str(self.get_home(name)), "--host", "127.0.0.1", "--port", "0")
        self._children.spawn(name, "tests.e2e.liar", arguments)


@pytest.fixture
def package(tmp_path):
    weights = np.arange(6, dtype=np.float32).reshape(3, 2) / 7
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("Sigmoid", ["z"], ["y"]),
    ]
    inputs = [("x", TensorProto.FLOAT, ["rows", 3])]
    outputs = [("y", TensorProto.FLOAT, ["rows", 2])]
    model = make_model(nodes, inputs, outputs, weights=(("w", weights),))
    assert numpy_helper.to_array(model.graph.initializer[0]).shape == (3, 2)
    assert pack(save(tmp_path / "net.onnx", model), tmp_path / "p", "--exact", "--batch") == 0
    return tmp_path / "p"


@pytest.fixture
def network(package, tmp_path, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    plan = NetworkPlan(nodes=1, models=(package,), block_interval_ms=200)
    with LyingNetwork.open(tmp_path / "network", plan) as network:
        network.start()
        yield network


def ask(network, home):
    """Ask as soon as the exact offer is there; floats are offered first."""

    def attempt():
        with Client(
            network.endpoints.gateway,
            ledger=network.endpoints.ledger,
            trust=network.trust_path,
            receipts=home / "receipts",
        ) as client:
            try:
                return client.ask("net", {"x": X}, arithmetic="exact", timeout_s=20)
            except (RequestFailed, RequestRefused):
                return None

    return wait_for(attempt)


def recheck(home, package, what, *words, status):
    done = subprocess.run(
        [
            *(sys.executable, "-P", "-m", "probatum.cli", "receipt", "recheck"),
            *(what, "--package", str(package), *words),
        ],
        env={**os.environ, "PROBATUM_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == status, (done.stdout, done.stderr)
    return done.stdout


def test_a_lying_node_is_found_out_offline(network, package, tmp_path):
    home = tmp_path / "home"
    honest = ask(network, home)
    assert honest.receipt.request.arithmetic == "exact"
    assert honest.receipt.request.model.canonical is not None
    network.kill(NODE)
    network.lies = True
    network.restart(NODE)
    network.wait_serving((NODE,))
    wrong = ask(network, home)
    assert not np.array_equal(wrong.outputs["y"], honest.outputs["y"])
    for name in network.names:
        network.kill(name)
    assert "right" in recheck(home, package, honest.request_id, status=0)
    said = recheck(home, package, wrong.request_id, status=1)
    assert "wrong: y[0][1] is" in said
    assert network.get_operator(NODE) in said
    # A stranger has the bundle, and what was asked; the answer itself is not needed.
    bundle = tmp_path / "bundle.json"
    bundle.write_bytes(wrong.bundle)
    asked = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 3], "data": X.tolist()}]}
    (tmp_path / "asked.json").write_text(json.dumps(asked))
    words = ("--request", str(tmp_path / "asked.json"), "--salt", wrong.salt.hex())
    said = json.loads(recheck(home, package, str(bundle), *words, "--json", status=1))
    assert said["right"] is False
    assert said["difference"]["tensor"] == "y"
