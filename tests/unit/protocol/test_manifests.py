"""A manifest agrees with itself, and tensors agree with it."""

import msgspec
import pytest

from probatum.errors import Refusal
from probatum.protocol.manifests import (
    TEXT_INPUTS,
    TEXT_OUTPUTS,
    Canonical,
    DimRange,
    FileEntry,
    Manifest,
    TensorSpec,
    TextModel,
    UpstreamModel,
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


CANONICAL = Canonical(
    digest="1" * 64,
    graph="model.onnx",
    dims=(DimRange(name="a", least=1, greatest=8), DimRange(name="p", least=1, greatest=24)),
)
TEXT = TextModel(
    architecture="llama",
    layers=2,
    width=32,
    heads=4,
    kv_heads=2,
    head_width=8,
    hidden=48,
    vocabulary=64,
    context=32,
    norm_epsilon_bits=0x3727C5AC,
    is_tied=True,
    stop_ids=(2, 5),
    rule="GUMBEL-1",
    top_k=16,
)
TEXT_MANIFEST = msgspec.structs.replace(
    MANIFEST, inputs=TEXT_INPUTS, outputs=TEXT_OUTPUTS, canonical=CANONICAL, text=TEXT
)


def test_a_text_models_manifest_reads_back():
    assert decode_manifest(encode_manifest(TEXT_MANIFEST)) == TEXT_MANIFEST


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": TEXT_INPUTS[:-1]},
        {"outputs": TEXT_OUTPUTS[:1]},
        {"canonical": None},
        {"batch_dim": "p"},
        {"canonical": msgspec.structs.replace(CANONICAL, dims=CANONICAL.dims[1:])},
        {"text": msgspec.structs.replace(TEXT, context=24)},
        {"text": msgspec.structs.replace(TEXT, kv_heads=3)},
        {"text": msgspec.structs.replace(TEXT, head_width=7)},
        {"text": msgspec.structs.replace(TEXT, stop_ids=(5, 2))},
        {"text": msgspec.structs.replace(TEXT, stop_ids=(2, 64))},
        {"text": msgspec.structs.replace(TEXT, vocabulary=15)},
        {"text": msgspec.structs.replace(TEXT, template="chat.jinja")},
    ],
)
def test_a_text_models_contradictions_are_refused(change):
    with pytest.raises(Refusal) as caught:
        decode_manifest(encode_manifest(msgspec.structs.replace(TEXT_MANIFEST, **change)))
    assert caught.value.code == "manifest.bad-form"


UPSTREAM = UpstreamModel(
    engine="llama.cpp",
    served_as="org/model:Q4_K_M",
    numeric="Q",
    weights="ab" * 32,
    vocabulary=300,
    context=32,
    stop_ids=(2, 5),
    rule="engine",
    top_k=16,
)
RELAY = msgspec.structs.replace(
    UPSTREAM, engine="relay", numeric=None, weights=None, vocabulary=257, stop_ids=(256,)
)
UPSTREAM_MANIFEST = msgspec.structs.replace(
    MANIFEST, inputs=TEXT_INPUTS, outputs=TEXT_OUTPUTS, upstream=UPSTREAM
)


@pytest.mark.parametrize("model", [UPSTREAM, RELAY])
def test_an_upstream_models_manifest_reads_back(model):
    """TEXT-2."""
    manifest = msgspec.structs.replace(UPSTREAM_MANIFEST, upstream=model)
    assert decode_manifest(encode_manifest(manifest)) == manifest
    assert manifest.language == model


@pytest.mark.parametrize(
    "change",
    [
        {"inputs": SPECS},
        {"outputs": SPECS},
        {"batch_dim": "p"},
        {"canonical": CANONICAL},
        {"canonical": CANONICAL, "text": TEXT},
        {"upstream": msgspec.structs.replace(UPSTREAM, numeric=None)},
        {"upstream": msgspec.structs.replace(UPSTREAM, weights=None)},
        {"upstream": msgspec.structs.replace(UPSTREAM, stop_ids=(5, 2))},
        {"upstream": msgspec.structs.replace(UPSTREAM, vocabulary=4)},
        {"upstream": msgspec.structs.replace(UPSTREAM, template="chat.jinja")},
        {"upstream": msgspec.structs.replace(UPSTREAM, served_as="-x y")},
        {"upstream": msgspec.structs.replace(UPSTREAM, engine="other")},
        {"upstream": msgspec.structs.replace(RELAY, numeric="F")},
        {"upstream": msgspec.structs.replace(RELAY, weights="ab" * 32)},
        {"upstream": msgspec.structs.replace(RELAY, vocabulary=258)},
        {"upstream": msgspec.structs.replace(RELAY, stop_ids=(0,))},
    ],
)
def test_an_upstream_models_contradictions_are_refused(change):
    manifest = msgspec.structs.replace(UPSTREAM_MANIFEST, **change)
    with pytest.raises(Refusal):
        decode_manifest(encode_manifest(manifest))
