"""A shelf of snapshots on disk, and how they come to lie there (`SNAP-1`).

    snapshots/<height>/head      encoded `SnapshotHead`: the engine's metadata
    snapshots/<height>/00000 …   the chunks

A snapshot is written beside the node's work, from what the store held at one moment, and appears
whole or not at all. What the disk spoils, whoever restores it notices. Must not know the engine.
"""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Protocol

from probatum.consensus import tables
from probatum.consensus.cometbft.cutting import cut_parts
from probatum.consensus.cometbft.snapshot_calls import Kept
from probatum.consensus.cometbft.snapshots import PARTS, SnapshotHead
from probatum.errors import Fault, Refusal
from probatum.protocol import limits
from probatum.protocol.encoding import decode, encode
from probatum.protocol.headers import Header

__all__ = ["KEPT", "Frozen", "SnapshotShelf"]

KEPT: Final = 2
"""A peer that has begun to fetch one still finds it when the next is there."""
_HEAD: Final = "head"
_NEW: Final = "new"
_PAGE: Final = 5_000


class Frozen(Protocol):
    """What a store held at one moment."""

    def scan(
        self, table: str, prefix: bytes, after: bytes, limit: int
    ) -> tuple[tuple[bytes, bytes], ...]:
        """List rows in key order."""

    def close(self) -> None:
        """Let go of that moment."""


class SnapshotShelf:
    """The snapshots in one folder; a `probatum.consensus.cometbft.snapshot_calls.Shelf`."""

    def __init__(self, folder: Path, *, kept: int = KEPT) -> None:
        """Keep at most `kept` snapshots in a folder, which is made when it is needed."""
        self._folder = folder
        self._kept = kept

    def _list_heights(self) -> list[int]:
        try:
            names = [entry.name for entry in self._folder.iterdir()]
        except OSError:
            return []
        return sorted((int(name) for name in names if name.isdecimal()), reverse=True)

    def list_kept(self) -> tuple[Kept, ...]:
        """List the snapshots that are whole, newest first."""
        found: list[Kept] = []
        for height in self._list_heights():
            with contextlib.suppress(OSError, Refusal):
                metadata = (self._folder / str(height) / _HEAD).read_bytes()
                head = decode(SnapshotHead, metadata, limit_bytes=limits.MIB)
                found.append(Kept(height=height, chunks=len(head.chunks), metadata=metadata))
        return tuple(found)

    def load(self, height: int, chunk: int) -> bytes | None:
        """Load a chunk, None if it is not there."""
        if not 0 <= chunk < PARTS:
            return None
        try:
            return self._name(self._folder / str(height), chunk).read_bytes()
        except OSError:
            return None

    def write(self, header: Header, frozen: Frozen) -> None:
        """Write the snapshot of a height, and drop old ones. For a thread of its own.

        Args:
            header: The header of that height.
            frozen: The store as it was when that block was committed; is closed in any case.

        Raises:
            Fault: `snapshot.unwritable`, `store.failed`.
        """
        fresh = self._folder / _NEW
        try:
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True)
            parts, number = [], 0
            for part, chunk in cut_parts(lambda: _iterate(frozen)):
                parts.append(part)
                if not part.is_empty:
                    self._name(fresh, number).write_bytes(chunk)
                    number += 1
            head = SnapshotHead(header=header, parts=tuple(parts))
            (fresh / _HEAD).write_bytes(encode(head))
            fresh.rename(self._folder / str(header.height))
        except OSError as error:
            raise Fault(
                "snapshot.unwritable",
                f"no snapshot of height {header.height}: {error.strerror}",
                hint="check the disk's room; the ledger itself is not touched",
            ) from None
        finally:
            frozen.close()
        whole = {kept.height for kept in self.list_kept()[: self._kept]}
        for height in self._list_heights():
            if height not in whole:
                shutil.rmtree(self._folder / str(height), ignore_errors=True)

    def _name(self, folder: Path, chunk: int) -> Path:
        return folder / f"{chunk:05}"


def _iterate(frozen: Frozen) -> Iterator[tuple[bytes, bytes]]:
    after = b""
    while page := frozen.scan(tables.RECORD, b"", after, _PAGE):
        yield from page
        after = page[-1][0]
