"""A manifest agrees with itself, and tensors agree with it."""

import msgspec
import pytest

from probatum.errors import Refusal
from probatum.protocol.manifests import (
    FileEntry,
    Manifest,
    TensorSpec,
    check_tensors_match,
    decode_manifest,
    encode_manifest,
)
from probatum.protocol.tensors import Tensor

FILE = FileEntry(path="model.onnx", size=10, sha256="0" * 64)
SPECS = (
    TensorSpec(name="x", dtype="float32", shape=("n", 2)),
    TensorSpec(name="y", dtype="float32", shape=("n",)),
)
MANIFEST = Manifest(
    format="probatum-package/1",
    name="toy",
    version="1",
    task="test",
    licence="Apache-2.0",
    description="",
    model="model.onnx",
    files=(FILE,),
    inputs=SPECS,
    outputs=SPECS[:1],
    parents=(),
)


def tensor(name, *shape, dtype="float32"):
    return Tensor(name=name, dtype=dtype, shape=shape, data=b"")


def test_a_manifest_reads_back():
    assert decode_manifest(encode_manifest(MANIFEST)) == MANIFEST


@pytest.mark.parametrize(
    "change",
    [
        {"files": (FILE, FILE)},
        {"model": "other.onnx"},
        {"labels": "labels.txt"},
        {"tokenizer": "tokenizer.json"},
        {"inputs": SPECS[:1] * 2},
    ],
)
def test_contradictions_are_refused(change):
    with pytest.raises(Refusal) as caught:
        decode_manifest(encode_manifest(msgspec.structs.replace(MANIFEST, **change)))
    assert caught.value.code == "manifest.bad-form"


@pytest.mark.parametrize(
    "path", ["../x", "/x", "a/../b", "a//b", "a/", ".x", "x.", "a\\b", "a\nb", ""]
)
def test_paths_cannot_climb(path):
    data = encode_manifest(MANIFEST).replace(
        b'"path":"model.onnx"', b'"path":' + msgspec.json.encode(path)
    )
    with pytest.raises(Refusal) as caught:
        decode_manifest(data)
    assert caught.value.code == "encoding.malformed"


def test_named_dims_agree_over_tensors():
    assert check_tensors_match(SPECS, (tensor("x", 3, 2), tensor("y", 3))) == {"n": 3}


@pytest.mark.parametrize(
    ("tensors", "code"),
    [
        ((tensor("x", 3, 2),), "schema.missing-tensor"),
        ((tensor("x", 3, 2), tensor("y", 3), tensor("z", 3)), "schema.unknown-tensor"),
        ((tensor("y", 3), tensor("x", 3, 2)), "schema.wrong-order"),
        ((tensor("x", 3, 2, dtype="int32"), tensor("y", 3)), "schema.wrong-dtype"),
        ((tensor("x", 3, 3), tensor("y", 3)), "schema.wrong-shape"),
        ((tensor("x", 3, 2), tensor("y", 4)), "schema.wrong-shape"),
        ((tensor("x", 3), tensor("y", 3)), "schema.wrong-shape"),
    ],
)
def test_other_tensors_are_refused(tensors, code):
    with pytest.raises(Refusal) as caught:
        check_tensors_match(SPECS, tensors)
    assert caught.value.code == code
