"""Whose a package is: finds it, its signature and what the ledger says of both (`SIGN-2`).

A signature binds the manifest, and the manifest every file by digest; so for a published model
the manifest alone is fetched. Must not print.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from probatum.cli.fetching import fetch_manifest, find_sources
from probatum.cli.places import expand_home
from probatum.cli.reading import find_model, get_record, list_records
from probatum.cli.settings import Common
from probatum.cli.wire import fetch
from probatum.errors import Fault, Refusal
from probatum.hub.fetch import signature_url
from probatum.hub.package import MANIFEST_NAME, load_package
from probatum.hub.provenance import check_publisher
from probatum.hub.signing import PackageSignature, open_signature
from probatum.protocol import limits, records
from probatum.protocol.encoding import decode
from probatum.protocol.manifests import Manifest
from probatum.protocol.primitives import Digest
from probatum.protocol.records import ModelRecord, PackageNameRecord, PublisherKeyRecord

__all__ = ["Subject", "Vouched", "find_publications", "find_subject", "vouch"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A package that a command is about.

    Attributes:
        signatures: What is shown as its signature, by whom; none has been opened.
        model: The ledger's record, None if a folder is meant.
        is_whole: Whether every byte of its files was checked, not only the manifest.
    """

    manifest: Manifest
    package: Digest
    signatures: tuple[bytes, ...]
    model: ModelRecord | None
    is_whole: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Vouched:
    """A signature that holds, and what the ledger says of it.

    Attributes:
        key: Whose key it is.
        model: The publication that it vouches for, None if the package is not published.
        standing: How far the ledger's word can be believed.
    """

    key_id: Digest
    key: PublisherKeyRecord
    model: ModelRecord | None
    standing: str
    is_proven: bool


def find_subject(common: Common, what: str) -> Subject:
    """Find a package by its folder, or by its name in the ledger.

    Args:
        common: Where to ask.
        what: A package's folder, else ``name`` or ``name@version``.

    Raises:
        Refusal: `package.*`, `signing.*` of a folder; `model.unknown`, `model.not-offered`.
        Fault: `wire.*`, `model.unobtainable`.
    """
    folder = expand_home(Path(what))
    # A folder that only has a model's name is not meant: what is published under it is.
    if "/" in what or (folder / MANIFEST_NAME).is_file():
        package = load_package(folder)
        return Subject(
            manifest=package.manifest,
            package=package.digest,
            signatures=() if package.signature is None else (package.signature,),
            model=None,
            is_whole=True,
        )
    model, _ = find_model(common, what)
    sources = find_sources(common, model.package)
    return Subject(
        manifest=fetch_manifest(sources, model.package),
        package=model.package,
        signatures=tuple(dict.fromkeys(_fetch_signatures(sources, model.package))),
        model=model,
        is_whole=False,
    )


def find_publications(common: Common, package: Digest) -> tuple[ModelRecord, ...]:
    """Find under which names a package is published, the earliest first.

    That these are all is the full node's word; each is proven if a trust file was named.
    """
    found: list[ModelRecord] = []
    for item in list_records(common, records.PACKAGE + package):
        if item.value is None:
            continue
        name = decode(PackageNameRecord, item.value, limit_bytes=limits.STATE_VALUE_BYTES)
        key = records.get_model_key(name.name, name.version)
        model, _ = get_record(common, key, ModelRecord)
        if model is not None and model.package == package:
            found.append(model)
    return tuple(sorted(found, key=lambda model: (model.published_at, model.name, model.version)))


def vouch(common: Common, subject: Subject) -> Vouched:
    """Check that a package is signed by its publisher, as the ledger knows the two.

    Raises:
        Refusal: `provenance.unsigned`, and of the last signature that was tried: `signing.*`,
            `p256.*`, `provenance.*`.
        Fault: `wire.*`.
    """
    refused = Refusal(
        "provenance.unsigned",
        f"no signature of package {subject.package.hex()} is shown",
        hint="its publisher signs it with `probatum model sign`",
    )
    models = find_publications(common, subject.package) if subject.model is None else ()
    for data in subject.signatures:
        try:
            signature = open_signature(data, subject.manifest, subject.package)
            return _check(common, signature, subject.model, models)
        except Refusal as refusal:
            refused = refusal
    raise refused


def _check(
    common: Common,
    signature: PackageSignature,
    model: ModelRecord | None,
    models: tuple[ModelRecord, ...],
) -> Vouched:
    state_key = records.get_publisher_key_key(signature.key_id)
    key, proven = get_record(common, state_key, PublisherKeyRecord)
    if model is None and models:
        # Anybody can publish it again under another name: the signer's own publication counts.
        own = [each for each in models if key is not None and each.publisher == key.account]
        model = (own or list(models))[0]
    check_publisher(signature, key, model)
    assert key is not None, "an unknown key that passed"
    return Vouched(
        key_id=signature.key_id,
        key=key,
        model=model,
        standing=proven.describe_standing(),
        is_proven=proven.is_proven,
    )


def _fetch_signatures(sources: tuple[str, ...], package: Digest) -> Iterator[bytes]:
    """Ask everybody: one who has none, or another's, cannot hide what somebody else has."""
    for source in sources:
        try:
            yield fetch(signature_url(source, package), limits.SIGNATURE_BYTES)
        except (Refusal, Fault):
            continue
