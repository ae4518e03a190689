"""A store of packages by their digest: plain folders, complete or absent.

``<root>/<digest>/`` holds one package. A package is made ready beside its place and renamed into
it when every byte is on the disk, so a process that dies at any moment leaves either the package
or a ``.incoming-`` folder, which the next store sweeps away. Several processes may share a root.
Must not know networks. Read next: `fetch`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from probatum.errors import Refusal
from probatum.hub.files import (
    disk_faults,
    flush_folder,
    open_regular,
    write_flushed,
)
from probatum.hub.package import MANIFEST_NAME, Package, load_package
from probatum.protocol.hexes import digest_from_hex
from probatum.protocol.manifests import SIGNATURE_NAME
from probatum.protocol.primitives import Digest

__all__ = ["PackageStore"]

_INCOMING: Final = ".incoming-"
_LOCK: Final = ".lock"
_DIGEST: Final = re.compile(r"[0-9a-f]{64}")
_CHUNK_BYTES: Final = 1 << 20


class PackageStore:
    """Packages in one folder of this machine."""

    def __init__(self, root: Path) -> None:
        """Open a store, making its folder if needed, and sweep what dead processes left.

        Raises:
            Fault: `hub.disk`.
        """
        self._root = root
        with disk_faults(f"cannot open the store {root}"):
            root.mkdir(parents=True, exist_ok=True)
            self._sweep()

    def has(self, digest: Digest) -> bool:
        """Whether the package is here; `open` says whether it is whole."""
        return (self._root / digest.hex()).is_dir()

    def list(self) -> tuple[Digest, ...]:
        """List the packages that are here, in order of their digests."""
        with disk_faults(f"cannot list the store {self._root}"):
            names = sorted(path.name for path in self._root.iterdir())
        return tuple(digest_from_hex(name) for name in names if _DIGEST.fullmatch(name))

    def open(self, digest: Digest) -> Package:
        """Open a package and check every byte of it.

        Raises:
            Refusal: `package.unknown` and those of `load_package`.
            Fault: `hub.disk`.
        """
        if not self.has(digest):
            raise Refusal("package.unknown", f"no package {digest.hex()} is kept here")
        return load_package(self._root / digest.hex(), digest)

    def add(self, folder: Path) -> Digest:
        """Copy a package into the store; it is on the disk when this returns.

        A package that is here already is checked, and replaced if it is damaged; a signature
        that comes with it takes the place of an older one.

        Raises:
            Refusal: Those of `load_package`.
            Fault: `hub.disk`.
        """
        source = load_package(folder)
        with self.incoming() as fresh, disk_faults("cannot add to the store"):
            write_flushed(fresh / MANIFEST_NAME, iter((source.manifest_bytes,)))
            if source.signature is not None:
                write_flushed(fresh / SIGNATURE_NAME, iter((source.signature,)))
            for entry in source.manifest.files:
                (fresh / entry.path).parent.mkdir(parents=True, exist_ok=True)
                write_flushed(fresh / entry.path, _read_pieces(folder / entry.path))
            return self.admit(fresh, source.digest)

    @contextlib.contextmanager
    def incoming(self) -> Iterator[Path]:
        """Give an empty folder in which a package can be made ready for `admit`.

        It is gone afterwards. While it exists, no other process sweeps it.
        """
        with disk_faults("cannot make a folder in the store"):
            lock = os.open(self._root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            try:
                fcntl.flock(lock, fcntl.LOCK_SH)
                work = Path(tempfile.mkdtemp(prefix=_INCOMING, dir=self._root))
            except BaseException:
                os.close(lock)
                raise
        try:
            fresh = work / "package"
            fresh.mkdir()
            yield fresh
        finally:
            shutil.rmtree(work, ignore_errors=True)
            os.close(lock)

    def admit(self, fresh: Path, digest: Digest) -> Digest:
        """Check a package made ready in an `incoming` folder and move it to its place.

        Raises:
            Refusal: Those of `load_package`.
            Fault: `hub.disk`.
        """
        load_package(fresh, digest)
        with disk_faults("cannot add to the store"):
            for folder, _, _ in os.walk(fresh):
                flush_folder(Path(folder))
            place = self._root / digest.hex()
            if not _rename_new(fresh, place):
                if not self._is_whole(digest):
                    # What lies there is damaged: it makes room, and the sweep takes it away.
                    place.rename(fresh.with_name("damaged"))
                    _rename_new(fresh, place)
                elif (fresh / SIGNATURE_NAME).exists():
                    (fresh / SIGNATURE_NAME).replace(place / SIGNATURE_NAME)
                    flush_folder(place)
            flush_folder(self._root)
        return digest

    def _is_whole(self, digest: Digest) -> bool:
        try:
            self.open(digest)
        except Refusal:
            return False
        return True

    def _sweep(self) -> None:
        lock = os.open(self._root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for path in sorted(self._root.glob(f"{_INCOMING}*")):
                shutil.rmtree(path, ignore_errors=True)
        except BlockingIOError:
            pass  # Somebody is adding a package right now; a later start sweeps.
        finally:
            os.close(lock)


def _rename_new(source: Path, target: Path) -> bool:
    """Rename a folder to where nothing lies; say whether nothing did."""
    try:
        source.rename(target)
    except OSError as error:
        if error.errno in {errno.ENOTEMPTY, errno.EEXIST}:
            return False
        raise
    return True


def _read_pieces(path: Path) -> Iterator[bytes]:
    with open_regular(path) as descriptor:
        while piece := os.read(descriptor, _CHUNK_BYTES):
            yield piece
