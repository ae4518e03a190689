"""Writes a package's bill of materials: CycloneDX 1.6 for machine-learning models (`BOM-1`).

Everything in it comes from the manifest, so the same package makes the same bytes; what is known
of its ancestors beside their digests may be added. There is no time and no serial number unless
they are given: they say when a paper was printed, not what it is about. Must not know networks.
Source: the CycloneDX 1.6 JSON schema (ECMA-424).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec

from probatum.hub.lineage import Known
from probatum.protocol.hexes import digest_from_hex
from probatum.protocol.manifests import (
    MANIFEST_NAME,
    FileEntry,
    Manifest,
    Parent,
    TensorSpec,
)
from probatum.protocol.primitives import Digest, address_to_hex

__all__ = ["build_bom"]

_SCHEMA: Final = "http://cyclonedx.org/schema/bom-1.6.schema.json"


def build_bom(
    manifest: Manifest,
    package: Digest,
    *,
    known: Mapping[Digest, Known] | None = None,
    serial_number: str | None = None,
    timestamp: str | None = None,
) -> bytes:
    """Write the bill of materials of a package.

    Args:
        manifest: What the package holds.
        package: Its digest.
        known: What is known of its parents; they are named by their digests otherwise.
        serial_number: ``urn:uuid:…``, if this writing of it is to have a name of its own.
        timestamp: RFC 3339, if it is to say when it was written.

    Returns:
        JSON text, UTF-8, ending in a line feed.
    """
    named = dict(known or {})
    files = [_describe_file(package, entry) for entry in manifest.files]
    model: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": _get_ref(package),
        "name": manifest.name,
        "version": manifest.version,
        **_if_any("description", manifest.description),
        "hashes": _list_hashes(package.hex()),
        "licenses": _list_licences(manifest),
        **_if_any("pedigree", _describe_pedigree(manifest.parents, named)),
        "components": files,
        "modelCard": _describe_card(manifest),
        "properties": [
            {"name": "probatum:package", "value": package.hex()},
            {"name": "probatum:format", "value": manifest.format},
            {"name": "probatum:hashed-file", "value": MANIFEST_NAME},
        ],
    }
    contained = [entry["bom-ref"] for entry in files]
    document = {
        "$schema": _SCHEMA,
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        **_if_any("serialNumber", serial_number),
        "version": 1,
        "metadata": {**_if_any("timestamp", timestamp), "component": model},
        "dependencies": [
            {"ref": model["bom-ref"], "dependsOn": contained},
            *({"ref": ref} for ref in contained),
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=2) + b"\n"


def _get_ref(package: Digest) -> str:
    return f"probatum:{package.hex()}"


def _if_any(name: str, value: Any) -> dict[str, Any]:
    return {name: value} if value else {}


def _list_hashes(digest: str) -> list[dict[str, str]]:
    return [{"alg": "SHA-256", "content": digest}]


def _list_licences(manifest: Manifest) -> list[dict[str, str]]:
    # What the publisher states; nobody has looked whether it is so.
    return [{"expression": manifest.licence, "acknowledgement": "declared"}]


def _describe_file(package: Digest, entry: FileEntry) -> dict[str, Any]:
    return {
        "type": "file",
        "bom-ref": f"{_get_ref(package)}/{entry.path}",
        "name": entry.path,
        "hashes": _list_hashes(entry.sha256),
        "properties": [{"name": "probatum:size", "value": str(entry.size)}],
    }


def _describe_card(manifest: Manifest) -> dict[str, Any]:
    return {
        "modelParameters": {
            **_if_any("task", manifest.task),
            "inputs": [{"format": _describe_tensor(spec)} for spec in manifest.inputs],
            "outputs": [{"format": _describe_tensor(spec)} for spec in manifest.outputs],
        }
    }


def _describe_tensor(spec: TensorSpec) -> str:
    return f"{spec.name}: {spec.dtype}[{', '.join(map(str, spec.shape))}]"


def _describe_pedigree(
    parents: tuple[Parent, ...], known: Mapping[Digest, Known]
) -> dict[str, Any]:
    if not parents:
        return {}
    return {"ancestors": [_describe_ancestor(place, p, known) for place, p in enumerate(parents)]}


def _describe_ancestor(place: int, parent: Parent, known: Mapping[Digest, Known]) -> dict[str, Any]:
    package = digest_from_hex(parent.package)
    found = known.get(package, Known())
    name, _, version = (found.name or parent.package).partition("@")
    properties = [{"name": "probatum:relation", "value": parent.relation}]
    if found.publisher is not None:
        publisher = address_to_hex(found.publisher)
        properties.append({"name": "probatum:publisher", "value": publisher})
    return {
        "type": "machine-learning-model",
        # One model may be a parent twice, in two relations; references are unique.
        "bom-ref": f"ancestor-{place}:{_get_ref(package)}",
        "name": name,
        **_if_any("version", version),
        "hashes": _list_hashes(parent.package),
        **({"licenses": _list_licences(found.manifest)} if found.manifest else {}),
        "properties": properties,
    }
