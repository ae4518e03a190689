"""Walks through the head of a GGUF file before its library reads it: counts, strings, arrays.

The library believes the file: an array of 2^60 numbers behind whose end nothing lies is read for
ever, and every element costs an object. So all counts are bounded here, and nothing of the head
lies behind the file's end. Must not know what the keys mean. Source: the format's description
(ggml, `docs/gguf.md`).
"""

from __future__ import annotations

import struct
from typing import BinaryIO, Final

from probatum.hub.importing.sources import refuse_source

__all__ = ["check_head"]

_MAGIC: Final = b"GGUF"
_VERSIONS: Final = frozenset({2, 3})
_PAIRS: Final = 4_096
_TENSORS: Final = 65_536
_ELEMENTS: Final = 1 << 21
"""Of all arrays: a vocabulary of 256,000 tokens has 1.3 million, its merges among them."""
_STRING_BYTES: Final = 1 << 20
_DIMS: Final = 4
_SCALAR_BYTES: Final = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_STRING: Final = 8
_ARRAY: Final = 9


def check_head(file: BinaryIO, file_bytes: int) -> None:
    """Check the head of a file that stands at its beginning.

    Args:
        file: Read, and sought in.
        file_bytes: Of the whole file.

    Raises:
        Refusal: `import.unsupported-model`.
    """
    head = _Head(file, file_bytes)
    if head.take(4) != _MAGIC or head.read_number("I") not in _VERSIONS:
        raise refuse_source("it is no GGUF file of version 2 or 3, little-endian")
    tensors = head.read_count(_TENSORS)
    for _ in range(head.read_count(_PAIRS)):
        head.skip_string()
        head.skip_value()
    for _ in range(tensors):
        head.skip_string()
        dims = head.read_number("I")
        if dims > _DIMS:
            raise refuse_source(f"a tensor has {dims} axes")
        head.take(8 * dims + 4 + 8)  # sizes, type, place


class _Head:
    def __init__(self, file: BinaryIO, file_bytes: int) -> None:
        self._file = file
        self._left = file_bytes
        self._elements = 0

    def take(self, count: int) -> bytes:
        self._left -= count
        data = self._file.read(count) if self._left >= 0 else b""
        if len(data) != count:
            raise refuse_source("its head ends behind the file")
        return data

    def read_number(self, kind: str) -> int:
        number: int = struct.unpack(f"<{kind}", self.take(struct.calcsize(kind)))[0]
        return number

    def read_count(self, most: int) -> int:
        count = self.read_number("Q")
        if count > most:
            raise refuse_source(f"its head counts {count}, more than {most}")
        return count

    def skip_string(self) -> None:
        self.take(self.read_count(_STRING_BYTES))

    def skip_value(self) -> None:
        kind = self.read_number("I")
        if kind != _ARRAY:
            self._skip_one(kind)
            return
        kind = self.read_number("I")
        count = self.read_count(_ELEMENTS - self._elements)
        self._elements += count
        if kind == _STRING:
            for _ in range(count):
                self.skip_string()
        else:  # arrays of arrays are nobody's
            self.take(count * self._get_bytes(kind))

    def _skip_one(self, kind: int) -> None:
        if kind == _STRING:
            self.skip_string()
        else:
            self.take(self._get_bytes(kind))

    @staticmethod
    def _get_bytes(kind: int) -> int:
        if kind not in _SCALAR_BYTES:
            raise refuse_source(f"its head holds a value of kind {kind}")
        return _SCALAR_BYTES[kind]
