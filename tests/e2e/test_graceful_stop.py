"""SIGTERM in the middle of a request: the gateway finishes it, then ends with 0."""

import json
import os
import signal
import threading
import urllib.request

import pytest
from onnx import TensorProto, helper

from probatum.ops.network import Network, NetworkPlan
from probatum.protocol.manifests import encode_manifest
from tests.e2e.processes import find_processes, wait_for
from tests.unit.runtime.models import make_manifest, make_model

pytestmark = pytest.mark.e2e
BODY = {"inputs": [{"name": "x", "shape": [2], "datatype": "FP32", "data": [1, 2]}]}


@pytest.fixture
def network(tmp_path):
    model = make_model(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [("x", TensorProto.FLOAT, ["n"])],
        [("y", TensorProto.FLOAT, ["n"])],
    ).SerializeToString()
    package = tmp_path / "package"
    package.mkdir()
    (package / "model.onnx").write_bytes(model)
    (package / "probatum.json").write_bytes(encode_manifest(make_manifest(model, name="twice")))
    with Network.open(tmp_path / "network", NetworkPlan(nodes=1, models=(package,))) as network:
        network.start()
        yield network


def test_a_request_that_is_open_is_answered_before_the_gateway_ends(network):
    (node,) = find_processes(network.path / "homes" / "node-1")
    (gateway,) = find_processes(network.path / "homes" / "gateway")
    address = f"{network.endpoints.gateway}/v2/models/twice/infer"
    answers = []

    def ask():
        with urllib.request.urlopen(address, json.dumps(BODY).encode(), timeout=20) as response:
            answers.append(json.loads(response.read()))

    os.kill(node, signal.SIGSTOP)  # so that the request is open for as long as we like
    try:
        asking = threading.Thread(target=ask)
        asking.start()
        asking.join(0.5)
        assert asking.is_alive()
        os.kill(gateway, signal.SIGTERM)
        asking.join(0.5)
        assert asking.is_alive()
        # Nothing new is taken meanwhile.
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(address, json.dumps(BODY).encode(), timeout=5)
        assert refused.value.code == 503
        assert "[gateway.stopping]" in refused.value.read().decode()
    finally:
        os.kill(node, signal.SIGCONT)
    asking.join(10)
    assert answers[0]["outputs"][0]["data"] == [2, 4]
    (ended,) = wait_for(network.find_dead, 10)
    assert (ended.name, ended.exit_code) == ("gateway", 0)
