"""An unmodified Open Inference Protocol client asks a running network, in JSON and in binary."""

import json
import time
import urllib.error
import urllib.request

import numpy as np
import pytest
from onnx import TensorProto, helper

from probatum.evidence.receipt import check_pending
from probatum.ops.network import Network, NetworkPlan
from probatum.protocol.bundles import decode_bundle
from probatum.protocol.manifests import encode_manifest
from tests.unit.runtime.models import find_meaning, make_entries, make_manifest, make_model

http = pytest.importorskip("tritonclient.http")
pytestmark = pytest.mark.e2e


def make_pair(folder):
    """A model with two inputs."""
    model = make_model(
        [helper.make_node("Sub", ["left", "right"], ["difference"])],
        [("left", TensorProto.INT64, ["n"]), ("right", TensorProto.INT64, ["n"])],
        [("difference", TensorProto.INT64, ["n"])],
    ).SerializeToString()
    graph, canonical = find_meaning(model, {"n": (1, 4)})
    files = {"canonical.bin": graph, "model.onnx": model}
    manifest = make_manifest(
        model, name="pair", version="1", files=make_entries(files), canonical=canonical
    )
    folder.mkdir()
    for name, data in {**files, "probatum.json": encode_manifest(manifest)}.items():
        (folder / name).write_bytes(data)
    return folder


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
    models = (package, make_pair(folder / "pair"))
    with Network.open(folder / "network", NetworkPlan(nodes=1, models=models)) as network:
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
    server = client.get_server_metadata()
    assert server["name"] == "probatum"
    assert "binary_tensor_data" in server["extensions"]


def test_it_is_told_of_models(client):
    told = client.get_model_metadata("twice")
    assert told == client.get_model_metadata("twice", "2")
    assert (told["name"], told["versions"]) == ("twice", ["2"])
    assert told["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert [output["name"] for output in told["outputs"]] == ["y", "z"]
    with pytest.raises(Exception, match=r"gateway\.unknown-model"):
        client.get_model_metadata("twice", "3")
    listed = client.get_model_repository_index()
    assert [(one["name"], one["version"], one["state"]) for one in listed] == [
        ("pair", "1", "READY"),
        ("twice", "2", "READY"),
    ]


def test_inputs_come_in_any_order(client):
    inputs = []
    for name, value in (("right", 1), ("left", 10)):
        asked = http.InferInput(name, [1], "INT64")
        inputs.append(asked.set_data_from_numpy(np.array([value])))
    for order in (inputs, inputs[::-1]):
        assert client.infer("pair", order).as_numpy("difference").tolist() == [9]
    with pytest.raises(Exception, match=r"schema\.missing-tensor"):
        client.infer("pair", inputs[:1])
    with pytest.raises(Exception, match="schema"):
        client.infer("pair", [*inputs, inputs[0]])


def test_the_class_exact_is_a_parameter_and_one_node_a_header(network, client):
    inputs = [
        http.InferInput(name, [2], "INT64").set_data_from_numpy(np.array([value, 1 << 62]))
        for name, value in (("left", 10), ("right", 1))
    ]
    exact = {"probatum_arithmetic": "exact"}
    node = {"Probatum-Node": network.get_operator("node-1")}
    result = client.infer("pair", inputs, parameters=exact, headers=node)
    assert result.as_numpy("difference").tolist() == [9, 0]
    name = result.get_response()["parameters"]["probatum_receipt"]
    address = f"{network.endpoints.gateway}/receipts/{name}"
    with urllib.request.urlopen(address, timeout=5) as found:
        request = check_pending(found.read()).receipt.request
    assert request.arithmetic == "exact"
    assert request.model.canonical is not None
    many = http.InferInput("left", [5], "INT64").set_data_from_numpy(np.zeros(5, np.int64))
    more = http.InferInput("right", [5], "INT64").set_data_from_numpy(np.zeros(5, np.int64))
    with pytest.raises(Exception, match=r"schema\.dim-out-of-range"):
        client.infer("pair", [many, more], parameters=exact)
    assert client.infer("pair", [many, more]).as_numpy("difference").tolist() == [0] * 5
    with pytest.raises(Exception, match=r"schema\.not-exact"):
        client.infer("twice", [make_input([1, 2, 3, 4])], parameters=exact)
    with pytest.raises(Exception, match=r"oip\.unknown-class"):
        client.infer("pair", inputs, parameters={"probatum_arithmetic": "roughly"})
    with pytest.raises(Exception, match=r"gateway\.no-node"):
        client.infer("pair", inputs, headers={"Probatum-Node": "0x" + "00" * 20})


def test_defaults_are_binary_both_ways_and_nothing_is_lost(client):
    odd = np.array([[np.nan, np.inf, -np.inf, -0.0]], np.float32)
    asked = http.InferInput("x", [1, 4], "FP32")
    asked.set_data_from_numpy(odd)
    result = client.infer("twice", [asked])
    assert "data" not in result.get_response()["outputs"][0]
    assert result.as_numpy("z").tobytes() == (-odd).tobytes()
    plain = [http.InferRequestedOutput("y", binary_data=False)]
    with pytest.raises(Exception, match=r"oip\.not-finite") as refused:
        client.infer("twice", [asked], outputs=plain)
    assert refused.value.status() == "422"


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
    for binary in (False, True):
        wanted = [http.InferRequestedOutput("z", binary_data=binary)]
        result = client.infer("twice", [make_input([1, 0, 0, 0])], outputs=wanted)
        np.testing.assert_array_equal(result.as_numpy("z"), [[-1, 0, 0, 0]])
        assert result.as_numpy("y") is None


@pytest.mark.parametrize(
    ("model", "inputs", "outputs", "code", "status"),
    [
        ("thrice", [make_input([1, 2, 3, 4])], [], "gateway.unknown-model", "404"),
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
