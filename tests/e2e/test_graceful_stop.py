"""SIGTERM in the middle of a request: the gateway finishes it, then ends with 0."""

import json
import os
import re
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

    def count_open():
        with urllib.request.urlopen(f"{network.endpoints.gateway}/metrics", timeout=20) as reply:
            said = reply.read().decode()
        return int(
            float(re.search(r"^probatum_gateway_open_requests (\S+)", said, re.MULTILINE)[1])
        )

    def is_refused():
        try:
            urllib.request.urlopen(address, json.dumps(BODY).encode(), timeout=1)
        except urllib.error.HTTPError as refused:
            return refused.code == 503 and "[gateway.stopping]" in refused.read().decode()
        except TimeoutError:
            return False
        return False

    def ask():
        with urllib.request.urlopen(address, json.dumps(BODY).encode(), timeout=60) as response:
            answers.append(json.loads(response.read()))

    os.kill(node, signal.SIGSTOP)  # so that the request is open for as long as we like
    try:
        asking = threading.Thread(target=ask)
        asking.start()
        assert wait_for(count_open) == 1
        os.kill(gateway, signal.SIGTERM)
        # Nothing new is taken meanwhile, and what is open stays so.
        assert wait_for(is_refused)
        assert asking.is_alive()
    finally:
        os.kill(node, signal.SIGCONT)
    asking.join(60)
    assert answers[0]["outputs"][0]["data"] == [2, 4]
    (ended,) = wait_for(network.find_dead, 10)
    assert (ended.name, ended.exit_code) == ("gateway", 0)
