"""`BOM-1`: a bill of materials says what the manifest says, and the same bytes each time."""

import json

import msgspec
import pytest

from probatum.hub.bom import build_bom
from probatum.hub.lineage import Known
from probatum.protocol.hashing import sha256
from probatum.protocol.manifests import Parent
from probatum.protocol.primitives import make_address

BASE, TEACHER = sha256(b"base"), sha256(b"teacher")


@pytest.fixture
def manifest(package):
    parents = (
        Parent(package=BASE.hex(), relation="quantised"),
        Parent(package=TEACHER.hex(), relation="distilled"),
    )
    return msgspec.structs.replace(package.manifest, parents=parents)


def test_it_says_what_the_manifest_says(package, manifest):
    bom = json.loads(build_bom(manifest, package.digest))
    model = bom["metadata"]["component"]
    assert (bom["bomFormat"], bom["specVersion"]) == ("CycloneDX", "1.6")
    assert (model["type"], model["name"], model["version"]) == (
        "machine-learning-model",
        "tiny",
        "1.0",
    )
    assert model["hashes"] == [{"alg": "SHA-256", "content": package.digest.hex()}]
    assert model["licenses"] == [{"expression": "Apache-2.0", "acknowledgement": "declared"}]
    assert model["modelCard"]["modelParameters"] == {
        "task": "test",
        "inputs": [{"format": "x: float32[n, 3]"}],
        "outputs": [{"format": "y: float32[n, 3]"}],
    }
    files = {file["name"]: file["hashes"][0]["content"] for file in model["components"]}
    assert files == {entry.path: entry.sha256 for entry in manifest.files}
    ancestors = model["pedigree"]["ancestors"]
    assert [(a["name"], a["properties"][0]["value"]) for a in ancestors] == [
        (BASE.hex(), "quantised"),
        (TEACHER.hex(), "distilled"),
    ]
    references = [entry["ref"] for entry in bom["dependencies"]]
    assert len(references) == len(set(references)) == 1 + len(files)


def test_the_same_package_makes_the_same_bytes(package, manifest):
    assert build_bom(manifest, package.digest) == build_bom(manifest, package.digest)
    text = build_bom(manifest, package.digest).decode()
    assert "timestamp" not in text
    assert "serialNumber" not in text
    assert text.endswith("}\n")


def test_what_is_known_of_ancestors_is_added(package, manifest):
    who = make_address(b"a" * 20)
    known = {BASE: Known(name="base@2", publisher=who, manifest=package.manifest)}
    bom = json.loads(build_bom(manifest, package.digest, known=known))
    base, teacher = bom["metadata"]["component"]["pedigree"]["ancestors"]
    assert (base["name"], base["version"]) == ("base", "2")
    assert base["licenses"][0]["expression"] == "Apache-2.0"
    assert {"name": "probatum:publisher", "value": "0x" + who.hex()} in base["properties"]
    assert (teacher["name"], "version" in teacher) == (TEACHER.hex(), False)


def test_time_and_serial_number_are_there_if_given(package):
    serial = "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79"
    time = "2026-11-21T05:00:00Z"
    bom = json.loads(
        build_bom(package.manifest, package.digest, serial_number=serial, timestamp=time)
    )
    assert bom["serialNumber"] == serial
    assert bom["metadata"]["timestamp"] == time
    assert "pedigree" not in bom["metadata"]["component"]
