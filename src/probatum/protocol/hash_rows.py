"""Rows of hashes that only grow: the newest in memory, full runs of the others on a shelf.

A log of a node that runs for months would fill the memory; what is old in it is read seldom. The
shelf is handed in (a scratch file, in a process), so this page stays pure. Must not know trees.
"""

from __future__ import annotations

from array import array
from typing import Final, Protocol

from probatum.errors import Misuse

__all__ = ["HASH_BYTES", "RUN_HASHES", "HashRow", "Shelf"]

HASH_BYTES: Final = 32
RUN_HASHES: Final = 256
_RUN_BYTES: Final = HASH_BYTES * RUN_HASHES


class Shelf(Protocol):
    """Where full runs go."""

    def put(self, run: bytes) -> int:
        """Put a run of 256 hashes and return its number."""
        ...

    def get(self, number: int) -> bytes:
        """Get the run of a number that `put` returned."""
        ...


class HashRow:
    """A row of 32-byte hashes.

    With a shelf it holds between one and two runs in memory, and 8 bytes for each run beyond.
    """

    __slots__ = ("_numbers", "_shelf", "_tail")

    def __init__(self, shelf: Shelf | None = None) -> None:
        """Make an empty row; without a shelf all of it stays in memory."""
        self._shelf = shelf
        self._numbers = array("Q")
        self._tail = bytearray()

    def __len__(self) -> int:
        """Count the hashes."""
        return RUN_HASHES * len(self._numbers) + len(self._tail) // HASH_BYTES

    def append(self, item: bytes) -> None:
        """Append a hash of 32 bytes."""
        self._tail += item
        if self._shelf is not None and len(self._tail) >= 2 * _RUN_BYTES:
            self._numbers.append(self._shelf.put(bytes(self._tail[:_RUN_BYTES])))
            # A new one: one that is cut in front keeps the room that it had.
            self._tail = self._tail[_RUN_BYTES:]

    def get(self, start: int, stop: int) -> bytes:
        """Get consecutive hashes, end to end.

        Raises:
            Misuse: `hashes.bad-range` if the row has not so many.
        """
        if not 0 <= start <= stop <= len(self):
            raise Misuse("hashes.bad-range", f"{start} to {stop} of {len(self)} hashes")
        found = bytearray()
        while start < stop and start // RUN_HASHES < len(self._numbers):
            run, first = divmod(start, RUN_HASHES)
            last = min(RUN_HASHES, first + stop - start)
            found += self._get_run(run)[HASH_BYTES * first : HASH_BYTES * last]
            start += last - first
        in_tail = start - RUN_HASHES * len(self._numbers)
        found += self._tail[HASH_BYTES * in_tail : HASH_BYTES * (in_tail + stop - start)]
        return bytes(found)

    def _get_run(self, run: int) -> bytes:
        assert self._shelf is not None, "runs are numbered by a shelf"
        return self._shelf.get(self._numbers[run])
