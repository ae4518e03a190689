"""An unmodified OpenAI client asks a running network for embeddings."""

import base64
import json
import math
import urllib.error
import urllib.request

import numpy as np
import pytest
from onnx import TensorProto, helper

import probatum
from probatum.errors import Refusal
from probatum.evidence.receipt import check_inputs, check_pending
from probatum.nodes.shell.api_keys import add_key, revoke_key
from probatum.nodes.shell.config import GatewayConfig, load_config, write_config
from probatum.ops.network import Network, NetworkPlan
from probatum.protocol.manifests import encode_manifest
from probatum.protocol.primitives import make_salt
from probatum.protocol.records import OFFER
from probatum.protocol.tensors import Tensor
from tests.e2e.processes import wait_for
from tests.unit.runtime.models import find_meaning, make_entries, make_manifest, make_model
from tests.unit.runtime.tokenizers import WORDS, make_tokenizer

openai = pytest.importorskip("openai")
pytestmark = pytest.mark.e2e
TABLE = np.random.default_rng(5).normal(size=(len(WORDS), 4)).astype(np.float32)
TEXTS = ["A man is eating food.", "food"]
TOKENS = [[1, 4, 5, 6, 7, 8, 9, 3, 2], [1, 9, 2]]


def make_embedder(folder):
    """A real, if small, embedding model: the sum of its tokens' rows."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["rows"]),
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        helper.make_node("Mul", ["rows", "wide"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "middle"], ["embedding"], keepdims=0),
    ]
    model = make_model(
        nodes,
        [(name, TensorProto.INT64, ["n", "s"]) for name in ("input_ids", "attention_mask")],
        [("embedding", TensorProto.FLOAT, ["n", 4])],
        [
            ("table", TABLE),
            ("last", np.array([-1], np.int64)),
            ("middle", np.array([1], np.int64)),
        ],
    ).SerializeToString()
    folder.mkdir()
    graph, canonical = find_meaning(model, {"n": (1, 4), "s": (1, 16)})
    files = {"canonical.bin": graph, "model.onnx": model, "tokenizer.json": make_tokenizer()}
    for name, data in files.items():
        (folder / name).write_bytes(data)
    manifest = make_manifest(
        model,
        name="embedder",
        version="1",
        files=make_entries(files),
        tokenizer="tokenizer.json",
        max_tokens=9,
        canonical=canonical,
    )
    (folder / "probatum.json").write_bytes(encode_manifest(manifest))
    return folder


def make_doubler(folder):
    model = make_model(
        [helper.make_node("Add", ["x", "x"], ["y"])],
        [("x", TensorProto.FLOAT, ["n"])],
        [("y", TensorProto.FLOAT, ["n"])],
    ).SerializeToString()
    folder.mkdir()
    (folder / "model.onnx").write_bytes(model)
    manifest = encode_manifest(make_manifest(model, name="doubler"))
    (folder / "probatum.json").write_bytes(manifest)
    return folder


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    folder = tmp_path_factory.mktemp("network")
    models = (make_embedder(folder / "embedder"), make_doubler(folder / "doubler"))
    with Network.open(folder / "network", NetworkPlan(nodes=1, models=models)) as network:
        network.start()
        yield network


@pytest.fixture
def client(network):
    with make_client(network) as client:
        yield client


def make_client(network, key="sk-whatever-others-call-a-key"):
    base = network.endpoints.gateway + "/v1"
    return openai.OpenAI(api_key=key, base_url=base, max_retries=0)


def embed(tokens):
    return TABLE[tokens].sum(axis=0)


def test_its_models_are_listed(client):
    listed = [model.id for model in client.models.list()]
    assert listed == ["doubler", "doubler@1", "embedder", "embedder@1"]
    for name in ("embedder", "embedder@1"):
        model = client.models.retrieve(name)
        assert (model.id, model.object) == (name, "model")
        assert model.owned_by.startswith("0x")
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


@pytest.mark.parametrize("more", [{}, {"encoding_format": "float"}], ids=["base64", "float"])
def test_texts_are_embedded(client, more):
    # By default the client asks for base64 and unpacks it itself.
    made = client.embeddings.create(model="embedder", input=TEXTS, **more)
    assert [one.index for one in made.data] == [0, 1]
    for one, tokens in zip(made.data, TOKENS, strict=True):
        np.testing.assert_allclose(one.embedding, embed(tokens), rtol=1e-5)
    assert (made.usage.prompt_tokens, made.usage.total_tokens) == (12, 12)
    assert made.model == "embedder"


def test_one_text_is_one_embedding(client):
    made = client.embeddings.create(model="embedder@1", input="food")
    np.testing.assert_allclose(made.data[0].embedding, embed(TOKENS[1]), rtol=1e-5)


def test_tokens_are_embedded_as_they_are(client):
    made = client.embeddings.create(model="embedder", input=[9, 10])
    np.testing.assert_allclose(made.data[0].embedding, embed([9, 10]), rtol=1e-5)
    made = client.embeddings.create(model="embedder", input=[[9], [4, 5, 6]], dimensions=4)
    np.testing.assert_allclose(made.data[1].embedding, embed([4, 5, 6]), rtol=1e-5)


def test_the_receipt_is_about_the_tokens_that_the_answer_names(network, client):
    salt = "5a" * 32
    raw = client.embeddings.with_raw_response.create(
        model="embedder",
        input=["food", "a man is eating food the stock market", "a man"],
        extra_headers={"Probatum-Salt": salt},
    )
    said = json.loads(raw.text)["probatum"]
    assert raw.headers["Probatum-Receipt"] == said["receipt"]
    assert (said["salt"], said["cut"]) == (salt, [1])
    width = max(len(row) for row in said["tokens"])
    rows = {"input_ids": [], "attention_mask": []}
    for row in said["tokens"]:
        rest = width - len(row)
        rows["input_ids"].append(row + [said["pad_token"]] * rest)
        rows["attention_mask"].append([1] * len(row) + [0] * rest)
    tensors = tuple(
        Tensor(name=name, dtype="int64", shape=(3, width), data=np.array(row, np.int64).tobytes())
        for name, row in rows.items()
    )
    address = f"{network.endpoints.gateway}/receipts/{said['receipt']}"
    with urllib.request.urlopen(address, timeout=5) as found:
        receipt = check_pending(found.read()).receipt
    check_inputs(receipt, make_salt(bytes.fromhex(salt)), tensors)
    assert receipt.request.model.package == said["package"]


def test_the_class_exact_is_asked_for_in_the_body(network, client):
    more = {"extra_body": {"probatum": {"arithmetic": "exact"}}}
    asked = {"model": "embedder", "input": TEXTS, "encoding_format": "float", **more}
    assert wait_for(lambda: is_offered(network, "exact"))
    raw = client.embeddings.with_raw_response.create(**asked)
    said = json.loads(raw.text)["probatum"]
    assert said["arithmetic"] == "exact"
    with urllib.request.urlopen(
        f"{network.endpoints.gateway}/receipts/{said['receipt']}", timeout=5
    ) as found:
        request = check_pending(found.read()).receipt.request
    assert (request.arithmetic, request.model.package) == ("exact", said["package"])
    assert request.model.canonical is not None
    # Sums of at most nine floats in float64, rounded once, are the exact sums rounded once.
    want = [TABLE[row].astype(np.float64).sum(axis=0).astype(np.float32) for row in TOKENS]
    have = [one.embedding for one in raw.parse().data]
    assert np.array(have, np.float32).tobytes() == np.array(want).tobytes()
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        client.embeddings.create(**(asked | {"input": ["food"] * 5}))
    assert caught.value.code == "schema.dim-out-of-range"
    with pytest.raises(openai.BadRequestError) as caught:
        client.embeddings.create(**(asked | {"extra_body": {"probatum": {"class": "exact"}}}))
    assert caught.value.code == "openai.malformed"


def is_offered(network, arithmetic):
    url = f"{network.endpoints.ledger}/state?prefix={OFFER.hex()}"
    with urllib.request.urlopen(url, timeout=5) as found:
        return arithmetic.encode().hex() in found.read().decode()


def test_one_node_is_asked_for_in_a_header(network, client):
    operator = network.get_operator("node-1")
    asked = {"model": "embedder", "input": "food"}
    made = client.embeddings.create(**asked, extra_headers={"Probatum-Node": operator})
    np.testing.assert_allclose(made.data[0].embedding, embed(TOKENS[1]), rtol=1e-5)
    nobody = {"Probatum-Node": "0x" + "00" * 20}
    with pytest.raises(openai.InternalServerError) as caught:
        client.embeddings.create(**asked, extra_headers=nobody)
    assert caught.value.code == "gateway.no-node"


@pytest.mark.parametrize(
    ("asked", "error", "code"),
    [
        ({"model": "nobody"}, "NotFoundError", "gateway.unknown-model"),
        ({"model": "Not A Name"}, "NotFoundError", "gateway.unknown-model"),
        ({"model": "doubler"}, "BadRequestError", "openai.no-embeddings"),
        ({"input": ""}, "BadRequestError", "openai.empty-input"),
        ({"input": [[]]}, "BadRequestError", "openai.empty-input"),
        ({"input": list(range(12))}, "BadRequestError", "openai.too-long"),
        ({"dimensions": 3}, "BadRequestError", "openai.other-dimensions"),
        ({"encoding_format": "hex"}, "BadRequestError", "openai.malformed"),
        ({"input": "a" * (5 << 20)}, "APIStatusError", "door.too-large"),
        ({"input": "a" * 200_000}, "APIStatusError", "tokens.too-large"),
    ],
)
def test_refusals_are_the_clients_own_exceptions(client, asked, error, code):
    with pytest.raises(getattr(openai, error)) as caught:
        client.embeddings.create(**({"model": "embedder", "input": "food"} | asked))
    assert caught.value.code == code
    assert caught.value.body["message"]
    assert caught.value.type == "invalid_request_error"


def test_other_paths_are_not_there(network):
    for path in ("images", "", "models/embedder/x"):
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{network.endpoints.gateway}/v1/{path}", b"{}", timeout=5)
        assert refused.value.code == 404
        assert json.loads(refused.value.read())["error"]["code"] == "door.no-such-path"


def test_keys_and_limits_are_the_clients_own_exceptions_too(network):
    home = network.path / "homes" / "gateway"
    few, _ = add_key(home, label="few", per_s=0.01)
    alice, _ = add_key(home, label="alice", at_once=1)
    gone, key = add_key(home, label="gone")
    revoke_key(home, key.id)
    config = load_config(home, GatewayConfig)
    closed = {"anonymous": False, "port": int(network.endpoints.gateway.rpartition(":")[2])}
    network.kill("gateway")
    write_config(home, GatewayConfig(**{**_fields(config), **closed}))
    network.restart("gateway")
    try:
        asked = {"model": "embedder", "input": "food"}
        with make_client(network) as client, pytest.raises(openai.AuthenticationError) as caught:
            client.embeddings.create(**asked)
        assert (caught.value.code, caught.value.type) == ("door.no-key", "authentication_error")
        with make_client(network, gone) as client, pytest.raises(openai.PermissionDeniedError):
            client.embeddings.create(**asked)
        with make_client(network, few) as client:
            made = client.embeddings.with_raw_response.create(**asked)
            with pytest.raises(openai.RateLimitError) as caught:
                client.embeddings.create(**asked)
        assert int(caught.value.response.headers["retry-after"]) > 90
        row = np.array([[9]], np.int64)
        inputs = {"input_ids": row, "attention_mask": np.ones_like(row)}
        folder = network.path / "receipts"
        gateway = network.endpoints.gateway
        with probatum.Client(gateway, receipts=folder, api_key=alice) as ours:
            embedding = ours.ask("embedder", inputs).outputs["embedding"]
        np.testing.assert_allclose(embedding, [TABLE[9]], rtol=1e-5)
        with probatum.Client(gateway, receipts=folder) as ours, pytest.raises(Refusal) as caught:
            ours.ask("embedder", inputs)
        assert caught.value.code == "door.no-key"
        receipt = made.headers["Probatum-Receipt"]
        address = f"{network.endpoints.gateway}/receipts/{receipt}"
        with urllib.request.urlopen(address, timeout=5) as found:
            verified = check_pending(found.read())
        assert verified.branches[0].record.accepted_from == f"key:{few.split('-')[1]}"
    finally:
        network.kill("gateway")
        write_config(home, config)
        network.restart("gateway")


def _fields(config):
    return {name: getattr(config, name) for name in config.__struct_fields__}


def test_numbers_survive_the_way(client):
    raw = client.embeddings.with_raw_response.create(
        model="embedder", input=["food"], encoding_format="base64"
    )
    row = np.frombuffer(base64.b64decode(json.loads(raw.text)["data"][0]["embedding"]), "<f4")
    made = client.embeddings.create(model="embedder", input="food", encoding_format="float")
    assert np.array(made.data[0].embedding, np.float32).tobytes() == row.tobytes()
    assert not any(math.isnan(number) for number in row)
