"""Variable-length integers of Protocol Buffers: seven bits a byte, lowest first."""

from __future__ import annotations

from probatum.errors import Refusal

__all__ = ["append_varint", "read_varint"]


def append_varint(out: bytearray, number: int) -> None:
    """Append an integer of 0 … 2⁶⁴ - 1, seven bits a byte, lowest first."""
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)


def read_varint(data: bytes, at: int) -> tuple[int, int]:
    """Read an integer of at most 64 bits and return it and where it ended.

    Raises:
        Refusal: `abci.malformed` for one of more than 64 bits.
        IndexError: If the data ends within it.
    """
    byte = data[at]
    at += 1
    number = byte & 127
    shift = 7
    while byte > 127:
        byte = data[at]
        at += 1
        if shift == 63 and byte > 1:
            raise Refusal("abci.malformed", "an integer of more than 64 bits")
        number |= (byte & 127) << shift
        shift += 7
    return number, at
