"""A package on disk, held to its manifest before anything of it is used.

The checks, in their order, from cheap to dear: the manifest's size, its digest (if one is
expected), its form; that the folder holds exactly the listed files, all regular; their sizes;
that a signature beside them is about this package; their SHA-256. Whoever reads a file later
reads it through `Package.read_file`, which checks the very bytes that it returns, so a file that
is changed after loading is refused too. Must not know engines or networks. Read next: `build`,
`store`, `signing`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from probatum.errors import Misuse, Refusal
from probatum.hub.files import disk_faults, hash_file, read_bounded
from probatum.hub.signing import open_signature
from probatum.protocol import limits
from probatum.protocol.hashing import sha256
from probatum.protocol.manifests import (
    MANIFEST_NAME,
    SIGNATURE_NAME,
    FileEntry,
    Manifest,
    compute_package_digest,
    decode_manifest,
)
from probatum.protocol.primitives import Digest

__all__ = ["MANIFEST_NAME", "Package", "load_package"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Package:
    """A package whose every byte was checked when it was loaded.

    Attributes:
        digest: SHA-256 of the manifest's bytes; names the package everywhere.
        manifest: What it is.
        manifest_bytes: The bytes of `probatum.json`.
        folder: Where it lies.
        signature: The bytes of `model.sig`, None if there is none; about this package, but whose
            it is has yet to be checked (`probatum.hub.signing`).
    """

    digest: Digest
    manifest: Manifest
    manifest_bytes: bytes
    folder: Path
    signature: bytes | None = None

    def read_file(self, path: str) -> bytes:
        """Read one listed file, checked again as it is read.

        Raises:
            Refusal: `package.too-large`, `package.wrong-size`, `package.wrong-digest`,
                `package.missing-file`, `package.symlink`, `package.odd-file`.
            Fault: `hub.disk`.
            Misuse: `package.not-listed`.
        """
        entry = self.get_entry(path)
        with disk_faults(f"cannot read {path}"):
            data = read_bounded(self.folder / path, entry.size)
        if len(data) != entry.size:
            raise _wrong_size(entry, len(data))
        if sha256(data).hex() != entry.sha256:
            raise _wrong_digest(entry)
        return data

    def get_entry(self, path: str) -> FileEntry:
        """Get what the manifest says of a file. Raises Misuse `package.not-listed`."""
        for entry in self.manifest.files:
            if entry.path == path:
                return entry
        raise Misuse("package.not-listed", f"{path!r} is not among the package's files")

    def read_model(self) -> bytes:
        """Read the ONNX file; see `read_file`."""
        return self.read_file(self.manifest.model)

    def read_labels(self) -> tuple[str, ...]:
        """Read the output labels, none if the package has none; see `read_file`.

        Raises:
            Refusal: `package.bad-labels` if they are no UTF-8 text, and those of `read_file`.
        """
        if self.manifest.labels is None:
            return ()
        try:
            return tuple(self.read_file(self.manifest.labels).decode("utf-8").splitlines())
        except UnicodeDecodeError:
            raise Refusal("package.bad-labels", "the labels are no UTF-8 text") from None


def load_package(
    folder: Path, expected_digest: Digest | None = None, *, with_signature: bool = True
) -> Package:
    """Load a package from a folder and check every byte of it.

    Args:
        folder: Holds `probatum.json` and the files that it lists, perhaps `model.sig`, and
            nothing else.
        expected_digest: The package that is wanted; None takes whatever is there.
        with_signature: Whether to read its signature; whoever signs anew need not.

    Raises:
        Refusal: `package.other-digest`, `package.extra-file`, `package.missing-file`,
            `package.symlink`, `package.odd-file`, `package.wrong-size`, `package.wrong-digest`,
            `package.too-large`, `encoding.*`, `manifest.bad-form`, `signing.*`.
        Fault: `hub.disk`.
    """
    with disk_faults(f"cannot read the package in {folder}"):
        if folder.is_symlink() or not folder.is_dir():
            raise Refusal("package.missing-file", f"{folder.name} is no folder")
        manifest_bytes = read_bounded(folder / MANIFEST_NAME, limits.MANIFEST_BYTES)
        digest = compute_package_digest(manifest_bytes)
        if expected_digest is not None and digest != expected_digest:
            raise Refusal(
                "package.other-digest",
                f"this is package {digest.hex()}, not {expected_digest.hex()}",
            )
        manifest = decode_manifest(manifest_bytes)
        signature = None
        if _check_listing(folder, manifest) and with_signature:
            signature = read_bounded(folder / SIGNATURE_NAME, limits.SIGNATURE_BYTES)
            open_signature(signature, manifest, digest)
        for entry in manifest.files:
            if hash_file(folder / entry.path, entry.size).hex() != entry.sha256:
                raise _wrong_digest(entry)
    return Package(
        digest=digest,
        manifest=manifest,
        manifest_bytes=manifest_bytes,
        folder=folder,
        signature=signature,
    )


def _check_listing(folder: Path, manifest: Manifest) -> bool:
    """Check that the folder holds the listed files in their sizes; tell if a signature too."""
    sizes = {entry.path: entry.size for entry in manifest.files}
    for name in (MANIFEST_NAME, SIGNATURE_NAME):
        if name in sizes:
            raise Refusal("package.extra-file", f"{MANIFEST_NAME} cannot list {name}")
    folders = {str(parent) for path in sizes for parent in Path(path).parents}
    seen: set[str] = set()
    is_signed = False
    for path, found in _walk(folder, "", folders):
        if path in {MANIFEST_NAME, SIGNATURE_NAME}:
            is_signed |= path == SIGNATURE_NAME
            continue
        if path not in sizes:
            raise Refusal(
                "package.extra-file",
                f"{path[:200]!r} is not in the manifest",
                hint="a package holds nothing but what its manifest lists",
            )
        if found.st_size != sizes[path]:
            raise Refusal(
                "package.wrong-size", f"{path} has {found.st_size} bytes, not {sizes[path]}"
            )
        seen.add(path)
    for path in sorted(sizes):
        if path not in seen:
            raise Refusal("package.missing-file", f"{path} is not there")
    return is_signed


def _walk(folder: Path, prefix: str, folders: set[str]) -> Iterator[tuple[str, os.stat_result]]:
    """List regular files; go into no folder that no listed file lies in."""
    with os.scandir(folder) as entries:
        for entry in entries:
            path = prefix + entry.name
            if entry.is_symlink():
                raise Refusal("package.symlink", f"{path[:200]!r} is a symbolic link")
            if entry.is_dir(follow_symlinks=False):
                if path not in folders:
                    raise Refusal("package.extra-file", f"no listed file lies in {path[:200]!r}")
                yield from _walk(folder / entry.name, path + "/", folders)
            elif entry.is_file(follow_symlinks=False):
                yield path, entry.stat(follow_symlinks=False)
            else:
                raise Refusal("package.odd-file", f"{path[:200]!r} is no regular file")


def _wrong_size(entry: FileEntry, size: int) -> Refusal:
    return Refusal("package.wrong-size", f"{entry.path} has {size} bytes, not {entry.size}")


def _wrong_digest(entry: FileEntry) -> Refusal:
    return Refusal(
        "package.wrong-digest",
        f"{entry.path} is not the file that the manifest names",
        hint="fetch the package again",
    )
