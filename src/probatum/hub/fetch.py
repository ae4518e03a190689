"""Fetches a package by its digest from whoever has it: bytes from strangers, held to the digest.

Sources are tried file by file in the order given, so one that lies or dies costs what it sent
and no more. What is asked for is fixed by the digest: the manifest must have it, every file must
be as the manifest says, and nothing beyond the promised size is taken. The transport is an
argument; it raises Fault for whatever goes wrong on its way. Files are written where they will
stay; writing and flushing block the caller. Must not know HTTP.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import AsyncGenerator, Iterator
from pathlib import Path
from typing import Protocol

from probatum.errors import Fault, Refusal
from probatum.hub.files import disk_faults, write_flushed
from probatum.hub.package import MANIFEST_NAME, Package
from probatum.hub.signing import open_signature
from probatum.hub.store import PackageStore
from probatum.protocol import limits
from probatum.protocol.manifests import (
    SIGNATURE_NAME,
    FileEntry,
    compute_package_digest,
    decode_manifest,
)
from probatum.protocol.primitives import Digest

__all__ = ["Get", "fetch_package", "file_url", "manifest_url", "signature_url"]


class Get(Protocol):
    """A way to fetch: the pieces of the body behind an address.

    It stops, or raises Fault, where a body has more bytes than the limit; what it lets through
    is counted again here. It never raises anything but Fault and Refusal.
    """

    def __call__(self, url: str, limit_bytes: int) -> AsyncGenerator[bytes, None]:
        """Begin to fetch an address."""
        ...


def manifest_url(source: str, digest: Digest) -> str:
    """Address of a package's `probatum.json` at a source (``http://host:port``)."""
    return f"{source}/packages/{digest.hex()}/manifest"


def file_url(source: str, digest: Digest, path: str) -> str:
    """Address of one listed file; a package's paths need no escaping."""
    return f"{source}/packages/{digest.hex()}/files/{path}"


def signature_url(source: str, digest: Digest) -> str:
    """Address of a package's `model.sig` at a source; not every package has one."""
    return f"{source}/packages/{digest.hex()}/signature"


async def fetch_package(
    digest: Digest, sources: tuple[str, ...], store: PackageStore, get: Get
) -> Package:
    """Fetch a package into a store unless it is there, and open it.

    A signature is taken from the first source that has one about this package. Whose it is must
    be checked like any other's; that no source has one does not show that there is none.

    Args:
        digest: The package that is wanted.
        sources: Addresses without path (``http://host:port``), best first.
        store: Where it will lie.
        get: The transport.

    Raises:
        Fault: `package.unobtainable` if no source had a part of it, with what each said;
            `hub.disk`.
    """
    refusals: list[str] = []
    if store.has(digest):
        try:
            return store.open(digest)
        except Refusal as refusal:
            refusals.append(f"the store: {refusal.message}")  # Damaged: fetch it anew.
    with store.incoming() as fresh:
        for source in sources:
            with _noting(source, refusals):
                data = await _fetch_manifest(source, digest, get)
                break
        else:
            raise _unobtainable("the manifest", digest, refusals)
        with disk_faults("cannot keep a fetched file"):
            write_flushed(fresh / MANIFEST_NAME, iter((data,)))
        manifest = decode_manifest(data)
        for entry in manifest.files:
            target = fresh / entry.path
            with disk_faults("cannot keep a fetched file"):
                target.parent.mkdir(parents=True, exist_ok=True)
            for source in sources:
                with _noting(source, refusals):
                    await _fetch_file(
                        get(file_url(source, digest, entry.path), entry.size), entry, target
                    )
                    break
            else:
                raise _unobtainable(entry.path, digest, refusals)
        for source in sources:
            with _noting(source, refusals):
                signature = await _fetch_bytes(
                    get(signature_url(source, digest), limits.SIGNATURE_BYTES),
                    limits.SIGNATURE_BYTES,
                )
                open_signature(signature, manifest, digest)
                with disk_faults("cannot keep a fetched file"):
                    write_flushed(fresh / SIGNATURE_NAME, iter((signature,)))
                break
        store.admit(fresh, digest)
    return store.open(digest)


async def _fetch_manifest(source: str, digest: Digest, get: Get) -> bytes:
    pieces = get(manifest_url(source, digest), limits.MANIFEST_BYTES)
    data = await _fetch_bytes(pieces, limits.MANIFEST_BYTES)
    if compute_package_digest(data) != digest:
        raise Refusal("package.other-digest", "it sent another manifest")
    return data


async def _fetch_bytes(pieces: AsyncGenerator[bytes, None], limit_bytes: int) -> bytes:
    data = bytearray()
    async with contextlib.aclosing(pieces):
        async for piece in pieces:
            data += piece
            if len(data) > limit_bytes:
                raise Refusal("package.too-large", "it sent a document beyond every limit")
    return bytes(data)


async def _fetch_file(pieces: AsyncGenerator[bytes, None], entry: FileEntry, target: Path) -> None:
    state = hashlib.sha256()
    size = 0
    with disk_faults(f"cannot keep {entry.path}"):
        file = target.open("wb")
    with file:
        async with contextlib.aclosing(pieces):
            async for piece in pieces:
                size += len(piece)
                if size > entry.size:
                    break
                state.update(piece)
                with disk_faults(f"cannot keep {entry.path}"):
                    file.write(piece)
        with disk_faults(f"cannot keep {entry.path}"):
            file.flush()
            os.fsync(file.fileno())
    if size != entry.size:
        raise Refusal("package.wrong-size", f"it sent {entry.path} in another size")
    if state.hexdigest() != entry.sha256:
        raise Refusal("package.wrong-digest", f"it sent another {entry.path}")


@contextlib.contextmanager
def _noting(source: str, said: list[str]) -> Iterator[None]:
    """Note what went wrong with one source, and let the next have its turn."""
    try:
        yield
    except Fault as fault:
        if fault.code == "hub.disk":
            raise
        said.append(f"{source}: {fault.message}")
    except Refusal as refusal:
        said.append(f"{source}: {refusal.message}")


def _unobtainable(what: str, digest: Digest, said: list[str]) -> Fault:
    reasons = "; ".join(said[-8:]) or "there is nobody to ask"
    return Fault(
        "package.unobtainable",
        f"{what} of package {digest.hex()} is to be had nowhere: {reasons}",
        hint="name a source that has it, or try again later",
    )
