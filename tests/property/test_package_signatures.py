"""`SIGN-1`: whatever stands in a `model.sig`, it is about the package and its key's, or refused."""

import base64
import json

from hypothesis import given
from hypothesis import strategies as st

from probatum.errors import Refusal
from probatum.hub.signing import open_signature, sign_package
from probatum.protocol.hashing import sha256
from probatum.protocol.manifests import FileEntry, Manifest, TensorSpec
from probatum.protocol.p256 import PublisherSigner

SIGNER = PublisherSigner(sha256(b"publisher"))
PACKAGE = sha256(b"package")
SPEC = TensorSpec(name="x", dtype="float32", shape=("n",))
MANIFEST = Manifest(
    format="probatum-package/1",
    name="tiny",
    version="1",
    task="",
    licence="MIT",
    description="",
    model="model.onnx",
    files=(FileEntry(path="model.onnx", size=1, sha256="ab" * 32),),
    inputs=(SPEC,),
    outputs=(SPEC,),
    parents=(),
)
GOOD = sign_package(MANIFEST, PACKAGE, SIGNER)
BUNDLE = json.loads(GOOD)
STATEMENT = json.loads(base64.b64decode(BUNDLE["dsseEnvelope"]["payload"]))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=6,
)


def list_places(value, path=()):
    """Every place in a document, from its root."""
    yield path
    if isinstance(value, dict | list):
        keys = value if isinstance(value, dict) else range(len(value))
        for key in keys:
            yield from list_places(value[key], (*path, key))


def replace(document, path, value):
    if not path:
        return value
    copy = document.copy()
    copy[path[0]] = replace(document[path[0]], path[1:], value)
    return copy


def is_taken(data):
    try:
        open_signature(data, MANIFEST, PACKAGE).check(SIGNER.key)
    except Refusal:
        return False
    return True


def get_signed(data):
    envelope = json.loads(data)["dsseEnvelope"]
    return base64.b64decode(envelope["payload"])


def test_the_good_one_is_taken():
    assert is_taken(GOOD)


@given(st.binary(max_size=300))
def test_loose_bytes(data):
    assert not is_taken(data)


@given(st.sampled_from(list(list_places(BUNDLE))), json_values)
def test_any_part_of_the_bundle_replaced(path, value):
    data = json.dumps(replace(BUNDLE, path, value)).encode()
    if is_taken(data):
        # Then the change was where nothing is claimed: what is signed is what was signed.
        assert get_signed(data) == get_signed(GOOD)


@given(st.sampled_from(list(list_places(STATEMENT))), json_values)
def test_any_part_of_the_statement_replaced(path, value):
    """Also where the signer itself signed it: the list must be this package's."""
    statement = replace(STATEMENT, path, value)
    payload = json.dumps(statement).encode()
    message = b"DSSEv1 28 application/vnd.in-toto+json %d %b" % (len(payload), payload)
    envelope = {
        "payload": base64.b64encode(payload).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"sig": base64.b64encode(SIGNER.sign_der(message)).decode()}],
    }
    if is_taken(json.dumps({**BUNDLE, "dsseEnvelope": envelope}).encode()):
        listed = {r["name"]: r["digest"] for r in statement["predicate"]["resources"]}
        assert listed == {"model.onnx": "ab" * 32, "probatum.json": PACKAGE.hex()}


@given(st.integers(0, len(GOOD) - 1), st.integers(0, 7))
def test_any_bit_flipped(place, bit):
    bent = bytearray(GOOD)
    bent[place] ^= 1 << bit
    if is_taken(bytes(bent)):
        assert get_signed(bytes(bent)) == get_signed(GOOD)
