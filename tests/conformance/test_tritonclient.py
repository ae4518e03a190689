"""An unmodified Open Inference Protocol client asks a running network (JSON over REST)."""

import json
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from onnx import TensorProto, helper

from probatum.ops.network import Network, NetworkPlan
from probatum.protocol.bundles import decode_bundle
from probatum.protocol.manifests import encode_manifest
from tests.unit.runtime.models import make_manifest, make_model

http = pytest.importorskip("tritonclient.http")
pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    model = make_model(
        [helper.make_node("Add", ["x", "x"], ["y"]), helper.make_node("Neg", ["x"], ["z"])],
        [("x", TensorProto.FLOAT, ["n", 4])],
        [("y", TensorProto.FLOAT, ["n", 4]), ("z", TensorProto.FLOAT, ["n", 4])],
    ).SerializeToString()
    package = folder / "package"
    package.mkdir()
    (package / "model.onnx").write_bytes(model)
    manifest = encode_manifest(make_manifest(model, name="twice", version="2"))
    (package / "probatum.json").write_bytes(manifest)
    with Network.open(folder / "network", NetworkPlan(nodes=1, models=(package,))) as network:
        network.start()
        yield network


@pytest.fixture
def client(network):
    return http.InferenceServerClient(network.endpoints.gateway.removeprefix("http://"))


def make_input(values, *, binary=False):
    array = np.array([values], np.float32)
    asked = http.InferInput("x", list(array.shape), "FP32")
    asked.set_data_from_numpy(array, binary_data=binary)
    return asked


def test_the_server_is_live_and_ready(client):
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("twice")
    assert client.is_model_ready("twice", "2")
    assert not client.is_model_ready("thrice")
    assert client.get_server_metadata()["name"] == "probatum"


@pytest.mark.parametrize("version", ["", "2"])
def test_it_is_answered_with_a_receipt(network, client, version):
    result = client.infer("twice", [make_input([1, 2, 3, 4])], version, request_id="mine")
    np.testing.assert_array_equal(result.as_numpy("y"), [[2, 4, 6, 8]])
    np.testing.assert_array_equal(result.as_numpy("z"), [[-1, -2, -3, -4]])
    response = result.get_response()
    assert response["id"] == "mine"
    receipt = response["parameters"]["probatum_receipt"]
    assert len(bytes.fromhex(response["parameters"]["probatum_salt"])) == 32
    deadline = time.monotonic() + 20
    while True:
        address = f"{network.endpoints.gateway}/receipts/{receipt}"
        with urllib.request.urlopen(address, timeout=5) as found:
            status, data = found.status, found.read()
            assert found.headers["content-type"] == "application/json"
        bundle = decode_bundle(data)
        assert (bundle.settlement is not None) == (status == 200)
        if status == 200:
            break
        assert status == 202
        assert time.monotonic() < deadline, "the receipt was not settled"
        time.sleep(0.1)


def test_only_the_outputs_that_are_wanted_come(client):
    for binary in (False, True):  # a wish for binary data is one that a server may leave unmet
        wanted = [http.InferRequestedOutput("z", binary_data=binary)]
        result = client.infer("twice", [make_input([1, 0, 0, 0])], outputs=wanted)
        np.testing.assert_array_equal(result.as_numpy("z"), [[-1, 0, 0, 0]])
        assert result.as_numpy("y") is None


@pytest.mark.parametrize(
    ("model", "inputs", "outputs", "code", "status"),
    [
        ("thrice", [make_input([1, 2, 3, 4])], [], "gateway.unknown-model", "404"),
        ("twice", [make_input([1, 2, 3, 4], binary=True)], [], "oip.binary-data", "400"),
        ("twice", [make_input([1, 2, 3])], [], "schema.wrong-shape", "422"),
        ("twice", [make_input([1, 2, 3, 4])], ["w"], "oip.unknown-output", "400"),
    ],
)
def test_refusals_reach_the_client(client, model, inputs, outputs, code, status):
    wanted = [http.InferRequestedOutput(name, binary_data=False) for name in outputs]
    with pytest.raises(Exception, match=code) as refused:
        client.infer(model, inputs, outputs=wanted or None)
    assert refused.value.status() == status


def test_salt_nonce_and_id_are_the_clients_to_give(network):
    body = json.dumps(
        {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [1, 2, 3, 4]}]}
    ).encode()
    headers = {
        "Probatum-Salt": "ab" * 32,
        "Probatum-Nonce": "cd" * 32,
        "Probatum-Request": "0" * 25 + "7",
    }
    answers = []
    for _ in range(2):
        address = f"{network.endpoints.gateway}/v2/models/twice/infer"
        request = urllib.request.Request(address, body, headers)
        with urllib.request.urlopen(request, timeout=10) as response:
            assert response.headers["Probatum-Receipt"] == headers["Probatum-Request"]
            answers.append(response.read())
    assert answers[0] == answers[1]
    assert json.loads(answers[0])["parameters"]["probatum_salt"] == headers["Probatum-Salt"]
    request = urllib.request.Request(address, body, headers | {"Probatum-Salt": "00" * 32})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=10)
    assert refused.value.code == 409
    assert "gateway.other-request" in json.loads(refused.value.read())["error"]


def test_a_nodes_packages_can_be_fetched_from_it(network):
    """The door serves what `probatum.hub.fetch` asks for, byte for byte."""
    package = network.packages[0]
    source = f"{network.endpoints.nodes[0]}/packages/{package.digest.hex()}"
    with urllib.request.urlopen(f"{source}/manifest", timeout=5) as response:
        assert response.read() == package.manifest_bytes
    with urllib.request.urlopen(f"{source}/files/model.onnx", timeout=5) as response:
        assert response.read() == package.read_model()
    for path in ("nothing", "probatum.json", "..%2Fprobatum.json"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{source}/files/{path}", timeout=5)
        assert refused.value.code == 404
