"""A small package to build, break and move about; hub never looks inside the ONNX file."""

import pytest

from probatum.hub.build import PackageFacts, build_package
from probatum.protocol.manifests import TensorSpec

FACTS = PackageFacts(
    name="tiny",
    version="1.0",
    task="test",
    licence="Apache-2.0",
    description="Holds no model.",
    inputs=(TensorSpec(name="x", dtype="float32", shape=("n", 3)),),
    outputs=(TensorSpec(name="y", dtype="float32", shape=("n", 3)),),
    labels=("cat", "dog"),
    batch_dim="n",
)


@pytest.fixture
def facts():
    return FACTS


@pytest.fixture
def package(tmp_path):
    extra = {"docs/card.md": b"A card.", "LICENSE": b"free"}
    return build_package(FACTS, b"model bytes" * 1000, tmp_path / "tiny", extra)
