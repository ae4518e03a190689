"""Gets what nodes serve of a model: its manifest, its labels, the whole package.

Every byte is held to the digest that the ledger names, so it does not matter who sent it. Must
not print.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from probatum.cli.reading import get_record, list_records
from probatum.cli.settings import Common
from probatum.cli.wire import fetch, fetch_pieces
from probatum.errors import Fault, Refusal
from probatum.hub.fetch import fetch_package, file_url, manifest_url
from probatum.hub.package import Package
from probatum.hub.store import PackageStore
from probatum.protocol import limits, records
from probatum.protocol.encoding import decode
from probatum.protocol.hashing import sha256
from probatum.protocol.manifests import Manifest, decode_manifest
from probatum.protocol.primitives import Digest

__all__ = [
    "fetch_file",
    "fetch_into_store",
    "fetch_labels",
    "fetch_manifest",
    "find_sources",
    "open_store",
]

_LABELS_BYTES = 1 * limits.MIB


def open_store(common: Common) -> PackageStore:
    """Open this person's store of packages."""
    return PackageStore(common.folder / "packages")


def find_sources(common: Common, package: Digest) -> tuple[str, ...]:
    """Find who serves a package: the endpoints of all nodes that offer it.

    Raises:
        Refusal: `model.not-offered` if none does.
        Fault: `wire.*`.
    """
    sources: list[str] = []
    for item in list_records(common, records.OFFER + package):
        if item.value is None:
            continue
        offer = decode(records.OfferRecord, item.value, limit_bytes=limits.STATE_VALUE_BYTES)
        node, _ = get_record(common, records.get_node_key(offer.operator), records.NodeRecord)
        if node is not None:
            sources.append(node.endpoint)
    if not sources:
        raise Refusal(
            "model.not-offered",
            "no node offers to run this model",
            hint="give it to a node: `probatum node add-model`, or `probatum up --model`",
        )
    return tuple(sources)


def fetch_manifest(sources: tuple[str, ...], package: Digest) -> Manifest:
    """Fetch a package's manifest from the first source that has it.

    Raises:
        Fault: `model.unobtainable`.
    """
    data = _fetch_held(
        [manifest_url(source, package) for source in sources], limits.MANIFEST_BYTES, package
    )
    return decode_manifest(data)


def fetch_labels(sources: tuple[str, ...], package: Digest, manifest: Manifest) -> tuple[str, ...]:
    """Fetch the labels of a model that classifies, none if it has none; errors as above."""
    entry = next((file for file in manifest.files if file.path == manifest.labels), None)
    if entry is None or entry.size > _LABELS_BYTES:
        return ()
    urls = [file_url(source, package, entry.path) for source in sources]
    data = _fetch_held(urls, entry.size, bytes.fromhex(entry.sha256))
    return tuple(data.decode("utf-8", "replace").splitlines())


def fetch_file(
    sources: tuple[str, ...], package: Digest, manifest: Manifest, path: str, limit_bytes: int
) -> bytes:
    """Fetch one small file that a manifest lists.

    Raises:
        Refusal: `package.missing-file`, `package.too-large`.
        Fault: `model.unobtainable`.
    """
    entry = next((file for file in manifest.files if file.path == path), None)
    if entry is None:
        raise Refusal("package.missing-file", f"the manifest lists no {path}")
    if entry.size > limit_bytes:
        raise Refusal("package.too-large", f"{path} has more than {limit_bytes} bytes")
    urls = [file_url(source, package, path) for source in sources]
    return _fetch_held(urls, entry.size, bytes.fromhex(entry.sha256))


def fetch_into_store(common: Common, package: Digest) -> Package:
    """Fetch a whole package into this person's store, unless it is there.

    Raises:
        Refusal: `model.not-offered`.
        Fault: `package.unobtainable`, `hub.disk`, `wire.*`.
    """
    sources = find_sources(common, package)
    return asyncio.run(fetch_package(package, sources, open_store(common), _get))


async def _get(url: str, limit_bytes: int) -> AsyncGenerator[bytes, None]:
    """Be the transport of `fetch_package`; nothing else runs meanwhile, so it may block."""
    for piece in fetch_pieces(url, limit_bytes):
        yield piece


def _fetch_held(urls: list[str], limit_bytes: int, digest: bytes) -> bytes:
    """Fetch bytes from the first address that gives those with this SHA-256."""
    said: list[str] = []
    for url in urls:
        try:
            data = fetch(url, limit_bytes)
        except (Refusal, Fault) as error:
            said.append(error.message)
            continue
        if sha256(data) == digest:
            return data
        said.append(f"{url} gave something else")
    raise Fault("model.unobtainable", "no node gave what it offers: " + "; ".join(said)[:500])
