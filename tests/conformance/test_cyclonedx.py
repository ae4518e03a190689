"""`BOM-1` against CycloneDX's own schema, by CycloneDX's own library."""

import json

import msgspec
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from probatum.hub.bom import build_bom
from probatum.hub.lineage import Known
from probatum.protocol.hashing import sha256
from probatum.protocol.manifests import FileEntry, Manifest, Parent, TensorSpec
from probatum.protocol.primitives import make_address

FILE = FileEntry(path="model.onnx", size=5, sha256="ab" * 32)
PLAIN = Manifest(
    format="probatum-package/1",
    name="tiny",
    version="1.0",
    task="",
    licence="MIT",
    description="",
    model="model.onnx",
    files=(FILE,),
    inputs=(TensorSpec(name="x", dtype="float32", shape=("n", 2)),),
    outputs=(TensorSpec(name="y", dtype="int64", shape=()),),
    parents=(),
)
BASE = sha256(b"base")
FULL = msgspec.structs.replace(
    PLAIN,
    task="text-classification",
    licence="Apache-2.0 AND (MIT OR CC-BY-4.0)",
    description="Says what a text is about: “quotes”, \\ and ümlauts.",
    files=(FileEntry(path="docs/card.md", size=1, sha256="cd" * 32), FILE),
    parents=tuple(
        Parent(package=digest.hex(), relation=relation)
        for digest in (BASE, sha256(b"other"))
        for relation in ("converted", "fine-tuned", "quantised", "distilled", "merged")
    ),
)
KNOWN = {BASE: Known(name="base@2", publisher=make_address(b"a" * 20), manifest=PLAIN)}
PRINTED = {
    "serial_number": "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
    "timestamp": "2026-11-21T05:00:00Z",
}


@pytest.mark.parametrize("manifest", [PLAIN, FULL], ids=["plain", "full"])
@pytest.mark.parametrize("version", [SchemaVersion.V1_6, SchemaVersion.V1_7])
@pytest.mark.parametrize("more", [{}, {"known": KNOWN, **PRINTED}], ids=["alone", "named"])
def test_it_keeps_the_schema(manifest, version, more):
    text = build_bom(manifest, sha256(b"package"), **more).decode()
    text = text.replace('"specVersion": "1.6"', f'"specVersion": "{version.to_version()}"')
    text = text.replace("bom-1.6", f"bom-{version.to_version()}")
    assert JsonStrictValidator(version).validate_str(text) is None


@pytest.mark.parametrize(
    "bend",
    [
        lambda model: model.update(type="model"),
        lambda model: model["hashes"][0].update(content="xyz"),
        lambda model: model["modelCard"].update(unknown=1),
        lambda model: model["pedigree"]["ancestors"][0].pop("name"),
    ],
)
def test_the_oracle_would_say_so_if_it_did_not(bend):
    bom = json.loads(build_bom(FULL, sha256(b"package")))
    bend(bom["metadata"]["component"])
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(json.dumps(bom)) is not None
