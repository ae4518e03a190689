"""The model that a storm's network hosts: small, deterministic, and its own engine.

One input and one output, ``uint8`` rows of a chosen length; the answer is the input with every
byte raised by one. Must not know who computes it.
"""

from __future__ import annotations

from typing import Final

from probatum.errors import Refusal
from probatum.protocol.hashing import sha256
from probatum.protocol.manifests import (
    MANIFEST_FORMAT,
    FileEntry,
    Manifest,
    TensorSpec,
    compute_package_digest,
    encode_manifest,
)
from probatum.protocol.primitives import Digest
from probatum.protocol.tensors import Tensor

__all__ = ["MANIFEST", "PACKAGE", "compute", "make_input"]

_MODEL: Final = b"storm: every byte plus one"

MANIFEST: Final = Manifest(
    format=MANIFEST_FORMAT,
    name="plus-one",
    version="1",
    task="arithmetic",
    licence="Apache-2.0",
    description="Adds one to every byte.",
    model="model.onnx",
    files=(FileEntry(path="model.onnx", size=len(_MODEL), sha256=sha256(_MODEL).hex()),),
    inputs=(TensorSpec(name="x", dtype="uint8", shape=("n",)),),
    outputs=(TensorSpec(name="y", dtype="uint8", shape=("n",)),),
    parents=(),
)
PACKAGE: Final = compute_package_digest(encode_manifest(MANIFEST))


def make_input(data: bytes) -> Tensor:
    """Make the model's input."""
    return Tensor(name="x", dtype="uint8", shape=(len(data),), data=data)


def compute(package: Digest, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | Refusal:
    """Run the model: what a storm's nodes have for a runtime."""
    if package != PACKAGE:
        return Refusal("storm.unknown-package", "no such package here")
    (x,) = inputs
    data = bytes((value + 1) % 256 for value in x.data)
    return (Tensor(name="y", dtype="uint8", shape=x.shape, data=data),)
