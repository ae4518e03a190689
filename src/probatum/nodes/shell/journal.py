"""The journal: an append-only file of records, flushed in groups, torn tails cut off at opening.

The file starts with a line that names the format and 8 bytes of chance. A record is its length,
the number of the flush that it was written by, the CRC-32 of chance, length, flush and bytes (4
big-endian bytes each), and the bytes. What `append` returned from is on disk, in order; after a
crash a prefix of the rest may be there too (`LOG-1` and `CUSTODY-1` lean on it: flushed before it
is signed or answered). One process at a time holds the file. Must not know what a record means.
"""

from __future__ import annotations

import fcntl
import math
import os
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final, TypeAlias

from probatum.errors import Fault, Misuse
from probatum.nodes.shell.memory import give_memory_back
from probatum.protocol import limits

__all__ = [
    "COMPACT_FROM_BYTES",
    "RECORD_BYTES",
    "Compact",
    "Journal",
    "Recovered",
    "lock_home",
    "open_journal",
]

RECORD_BYTES: Final = limits.FRAME_BYTES
"""The longest record."""
COMPACT_FROM_BYTES: Final = 256 * limits.MIB
"""A journal below this need not be compacted; what is left of it is copied in about a second."""

_HEAD_BYTES: Final = 12
_HEADS_BYTES: Final = 64 * limits.KIB
"""More than the heads of one append take, where it is said to be brief."""
_MAGIC: Final = b"probatum-journal/1\n"
_START_BYTES: Final = len(_MAGIC) + 8
_FLUSHES: Final = 1 << 32
_COPIED_AT_ONCE: Final = 256

Compact: TypeAlias = Callable[[Callable[[], Iterator[bytes]]], Iterable[bytes]]
"""Takes what reads a journal's records, as often as it is called; gives those to keep instead."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recovered:
    """What an opened journal held.

    Attributes:
        records: Every whole record, in order; read again each time, for they may be a gigabyte.
        cut_bytes: How many bytes of a torn tail were cut off; 0 after a clean end.
    """

    records: Iterable[bytes]
    cut_bytes: int


class Journal:
    """An open journal; `open_journal` makes it. Not for use by two threads at one time."""

    def __init__(self, path: Path, descriptor: int, *, seed: int, flush: int) -> None:
        """Wrap an open, locked, positioned file; `seed` starts its sums, `flush` is the last."""
        self._compact: Compact = lambda read: read()
        self._from_bytes = 0
        self._compact_at: float = math.inf
        self._path = path
        self._descriptor = descriptor
        self._seed = seed
        self._flush = flush
        self._broken = False

    def append(self, records: Iterable[bytes]) -> None:
        """Write records and flush them to disk; on return they survive a crash.

        A failed flush leaves unknown what is on disk, so the journal takes nothing after it: the
        party must end and recover.

        Raises:
            Fault: `journal.write-failed`; not retryable.
            Misuse: `journal.record-too-large`, `journal.closed`.
        """
        if self._broken:
            raise Misuse("journal.closed", "an append after the journal was closed or had failed")
        flush = (self._flush + 1) % _FLUSHES
        data = b"".join(_frame(record, flush, self._seed) for record in records)
        try:
            view = memoryview(data)
            while view:
                view = view[os.write(self._descriptor, view) :]
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._broken = True
            raise _fail_to_write(self._path, error) from error
        self._flush = flush
        self._compact_if_due()

    def is_brief(self, size_bytes: int) -> bool:
        """Tell whether appending records of so many bytes leaves the file below its compaction."""
        if self._broken:
            return False
        size = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        return size + size_bytes + _HEADS_BYTES < self._compact_at

    def keep_compact(self, compact: Compact, *, from_bytes: int) -> None:
        """Compact the file now and whenever it has doubled.

        The records that are left are copied to a new file, which takes the old one's place at
        once: a crash leaves the one or the other. Appending waits for it.

        Args:
            compact: Which records to keep.
            from_bytes: A smaller file is left as it is.
        """
        self._compact = compact
        self._from_bytes = self._compact_at = from_bytes
        self._compact_if_due()

    def _compact_if_due(self) -> None:
        size = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        if size < self._compact_at:
            return
        fresh_path = self._path.with_name(f"{self._path.name}.new")
        try:
            fresh_path.unlink(missing_ok=True)
            fresh = self._copy_to(fresh_path)
        except (OSError, Fault):
            # A full disk, most likely; what is damaged is refused at the next start.
            self._compact_at = 2 * size
            return
        try:
            fresh_path.replace(self._path)
            _flush_folder(self._path.parent)
        except OSError as error:
            self._broken = True
            raise _fail_to_write(self._path, error) from error
        os.close(self._descriptor)
        self._descriptor, self._seed, self._flush = fresh.detach()
        left = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        self._compact_at = max(self._from_bytes, 2 * left)
        give_memory_back()

    def _copy_to(self, fresh_path: Path) -> Journal:
        fresh, _ = open_journal(fresh_path)
        size = os.lseek(self._descriptor, 0, os.SEEK_CUR)
        try:
            with self._path.open("rb") as file:

                def read() -> Iterator[bytes]:
                    return _read_whole(file, self._seed, size, self._path)

                kept = iter(self._compact(read))
                while group := tuple(islice(kept, _COPIED_AT_ONCE)):
                    fresh.append(group)
        except BaseException:
            fresh.close()
            raise
        return fresh

    def detach(self) -> tuple[int, int, int]:
        """Let go of the open, locked file: its descriptor, what starts its sums, its last flush."""
        self._broken = True
        return self._descriptor, self._seed, self._flush

    def close(self) -> None:
        """Close the file and let go of its lock."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1
        self._broken = True


def open_journal(path: Path) -> tuple[Journal, Recovered]:
    """Open a journal, or make it, and read what it holds.

    A tail that is no whole record with the right sum is cut off: it was never flushed, so nobody
    was told that it is durable. Damage *before* a later flush is no torn tail and is refused.

    Raises:
        Fault: `journal.locked` if another process has it, `journal.unreadable`,
            `journal.foreign` if the file is something else, `journal.corrupt`.
    """
    descriptor = -1
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        _lock(descriptor, path)
        return _recover(descriptor, path)
    except OSError as error:
        if descriptor >= 0:
            os.close(descriptor)
        raise _fail_to_read(path, error) from error
    except Fault:
        os.close(descriptor)
        raise


def lock_home(home: Path) -> int:
    """Take a node's home for this process; the lock ends with the process.

    Returns:
        The descriptor that holds the lock; keep it open.

    Raises:
        Fault: `home.locked` if another process runs on it, `home.unreadable`.
    """
    try:
        descriptor = os.open(home / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise Fault(
            "home.unreadable", f"{home}: {error.strerror}", hint="name a node's home folder"
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise Fault(
            "home.locked",
            f"another process runs the node of {home}",
            hint="stop it first, or give this node a home of its own",
        ) from error
    return descriptor


def _fail_to_read(path: Path, error: OSError) -> Fault:
    return Fault(
        "journal.unreadable",
        f"cannot read {path}: {error.strerror}",
        hint="repair the disk, or restore the file, then start the node again",
        retryable=False,
    )


def _fail_to_write(path: Path, error: OSError) -> Fault:
    return Fault(
        "journal.write-failed",
        f"cannot write {path}: {error.strerror}",
        hint="free disk space or repair the disk, then start the node again",
        retryable=False,
    )


def _tell_damage(path: Path) -> Fault:
    return Fault(
        "journal.corrupt",
        f"{path} is damaged before its end: records that were flushed are unreadable",
        hint="keep the file for study, repair the disk, and start with a new home",
        retryable=False,
    )


def _frame(record: bytes, flush: int, seed: int) -> bytes:
    if len(record) > RECORD_BYTES:
        raise Misuse("journal.record-too-large", f"a record of {len(record)} bytes")
    head = len(record).to_bytes(4, "big") + flush.to_bytes(4, "big")
    return head + zlib.crc32(record, zlib.crc32(head, seed)).to_bytes(4, "big") + record


def _lock(descriptor: int, path: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise Fault(
            "journal.locked",
            f"another process has {path}",
            hint="stop the other node first; two nodes must not share a home",
        ) from error


def _recover(descriptor: int, path: Path) -> tuple[Journal, Recovered]:
    size = os.fstat(descriptor).st_size
    with os.fdopen(os.dup(descriptor), "rb") as file:
        start = file.read(_START_BYTES)
        if not start.startswith(_MAGIC[: len(start)]):
            raise Fault(
                "journal.foreign",
                f"{path} is not a journal",
                hint="name the right home folder",
                retryable=False,
            )
        if len(start) < _START_BYTES:  # new, or torn while it was made
            start = _MAGIC + os.urandom(_START_BYTES - len(_MAGIC))
            _rewrite(descriptor, 0, start)
            _flush_folder(path.parent)
            size, cut = _START_BYTES, size
        else:
            cut = 0
        seed = zlib.crc32(start[len(_MAGIC) :])
        end, flush = _START_BYTES, 0
        if cut == 0:
            for _, end, flush in _read_records(file, seed):  # noqa: B007 - the last one's
                pass
        if end < size:
            file.seek(end)
            _check_torn(file.read(), flush, seed, path)
            _rewrite(descriptor, end, b"")
            cut = size - end
    os.lseek(descriptor, end, os.SEEK_SET)
    journal = Journal(path, descriptor, seed=seed, flush=flush)
    return journal, Recovered(records=_Records(path, seed, end), cut_bytes=cut)


def _read_records(file: BinaryIO, seed: int) -> Iterator[tuple[bytes, int, int]]:
    """Read whole records; yield each with where it ends and its flush."""
    file.seek(_START_BYTES)
    end = _START_BYTES
    while True:
        head = file.read(_HEAD_BYTES)
        length = int.from_bytes(head[:4], "big")
        if len(head) < _HEAD_BYTES or length > RECORD_BYTES:
            return
        record = file.read(length)
        sum_found = zlib.crc32(record, zlib.crc32(head[:8], seed))
        if len(record) < length or sum_found != int.from_bytes(head[8:], "big"):
            return
        end += _HEAD_BYTES + length
        yield record, end, int.from_bytes(head[4:8], "big")


class _Records:
    """A journal's records up to a place, read as they are asked for."""

    def __init__(self, path: Path, seed: int, end: int) -> None:
        self._path = path
        self._seed = seed
        self._end = end

    def __iter__(self) -> Iterator[bytes]:
        try:
            with self._path.open("rb") as file:
                for record, end, _ in _read_records(file, self._seed):
                    if end > self._end:
                        return
                    yield record
        except OSError as error:
            raise _fail_to_read(self._path, error) from error


def _read_whole(file: BinaryIO, seed: int, size: int, path: Path) -> Iterator[bytes]:
    """Read all records up to a size; to copy those before damage would forget those after it."""
    last = _START_BYTES
    for record, end, _ in _read_records(file, seed):
        last = end
        yield record
    if last != size:
        raise _tell_damage(path)


def _check_torn(tail: bytes, flush: int, seed: int, path: Path) -> None:
    """Check that a bad tail can be one unfinished flush.

    Flushes run one after the other, so the first bad record is of the last good one's flush or
    the next. A whole record of a flush after that shows that the bad one *was* on disk.
    """
    expected = ((flush + 2) % _FLUSHES).to_bytes(4, "big")
    at = tail.find(expected, 4)
    while at >= 0:
        head = tail[at - 4 : at + 8]
        record = tail[at + 8 : at + 8 + int.from_bytes(head[:4], "big")]
        if zlib.crc32(record, zlib.crc32(head[:8], seed)).to_bytes(4, "big") == head[8:]:
            raise _tell_damage(path)
        at = tail.find(expected, at + 1)


def _rewrite(descriptor: int, end: int, data: bytes) -> None:
    os.ftruncate(descriptor, end)
    os.lseek(descriptor, end, os.SEEK_SET)
    os.write(descriptor, data)
    os.fsync(descriptor)


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
