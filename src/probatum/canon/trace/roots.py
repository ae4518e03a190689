"""Roots of tensors and of a whole trace: each one keyed BLAKE3 (`CANON-5`, `SALT-1`).

A key binds what a tensor is: dtype, shape, and what it is called, so that its length never needs to
be said. Inputs and outputs of the graph are called by name (`probatum.protocol.tensors`), every
other entry by its number, weights by nothing: equal weights have equal roots in every package.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from blake3 import blake3

from probatum.protocol.hashing import hash_tagged
from probatum.protocol.primitives import Root, Salt, make_root, make_salt
from probatum.protocol.tensors import derive_tensor_key

__all__ = [
    "ZERO_SALT",
    "compute_keyed_root",
    "compute_trace_root",
    "compute_weight_root",
    "derive_entry_key",
    "derive_entry_keys",
    "derive_trace_key",
    "derive_weight_key",
]

ZERO_SALT: Final = make_salt(bytes(32))
"""What weights are keyed with, so that their roots can be kept (`SALT-1`)."""


def _encode_dims(shape: tuple[int, ...]) -> bytes:
    return bytes((len(shape),)) + b"".join(dim.to_bytes(8, "little") for dim in shape)


def derive_entry_key(salt: Salt, dtype: str, shape: tuple[int, ...], number: int) -> bytes:
    """Derive the 32-byte BLAKE3 key of an entry that is no output of the graph.

    Args:
        salt: The request's salt.
        dtype: Its element type.
        shape: Its dimensions; hashed as one byte of rank and 64-bit little-endian dims.
        number: Its place in the trace; hashed as 64 bits, little-endian.
    """
    return hash_tagged(
        "probatum/entry-key/1",
        salt,
        dtype.encode("ascii"),
        _encode_dims(shape),
        number.to_bytes(8, "little"),
    )


def derive_weight_key(dtype: str, shape: tuple[int, ...]) -> bytes:
    """Derive the 32-byte BLAKE3 key of a weight."""
    return hash_tagged(
        "probatum/weight-key/1", ZERO_SALT, dtype.encode("ascii"), _encode_dims(shape)
    )


def derive_trace_key(salt: Salt) -> bytes:
    """Derive the 32-byte BLAKE3 key of a list of roots."""
    return hash_tagged("probatum/trace-key/1", salt)


def derive_entry_keys(
    salt: Salt, types: Iterable[tuple[str, tuple[int, ...]]], names: Mapping[int, str]
) -> tuple[bytes, ...]:
    """Derive the keys of all entries of a trace, in order.

    Args:
        salt: The request's salt.
        types: Each entry's dtype and shape.
        names: Of the entries that are outputs: their root is the one that the receipt states.
    """
    return tuple(
        derive_tensor_key(salt, dtype, shape, names[number])
        if number in names
        else derive_entry_key(salt, dtype, shape, number)
        for number, (dtype, shape) in enumerate(types)
    )


def compute_keyed_root(key: bytes, data: bytes | memoryview) -> Root:
    """Compute the root of a tensor's bytes: row-major, little-endian."""
    return make_root(blake3(data, key=key).digest())


def compute_weight_root(dtype: str, shape: tuple[int, ...], data: bytes | memoryview) -> Root:
    """Compute a weight's root, as a package's canonical graph states it (`NODE-1`)."""
    return compute_keyed_root(derive_weight_key(dtype, shape), data)


def compute_trace_root(salt: Salt, roots: Iterable[bytes]) -> Root:
    """Compute the root of a trace: of the entries' roots in order, 32 bytes each."""
    return compute_keyed_root(derive_trace_key(salt), b"".join(roots))
