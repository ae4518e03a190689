"""Tensors as bytes, and the one commitment to them: a salted root (`CANON-5`, `SALT-1`).

A tensor is its name, dtype, shape and row-major little-endian bytes. Its root is one keyed BLAKE3
over the bytes; the key binds salt, dtype, shape and name, so that equal bytes under another shape
or for another request have another root, and short prompts cannot be guessed from a root. Knows
bytes only: no array library, and nothing of what a tensor means.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from types import MappingProxyType
from typing import Annotated, Final, Literal, TypeAlias

from blake3 import blake3
from msgspec import Meta

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.encoding import Document, LedgerValue
from probatum.protocol.hashing import hash_tagged
from probatum.protocol.hexes import HexDigest
from probatum.protocol.primitives import Digest, Root, Salt, make_root

__all__ = [
    "DTYPES",
    "DtypeName",
    "DtypeTraits",
    "Shape",
    "Tensor",
    "TensorHead",
    "check_tensor",
    "compute_salt_commitment",
    "compute_tensor_root",
    "derive_tensor_key",
    "make_tensor_head",
]

DtypeName: TypeAlias = Literal[
    "bool",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "int8",
    "int16",
    "int32",
    "int64",
    "float16",
    "float32",
    "float64",
]
"""The element types that a tensor can have."""

Dim: TypeAlias = Annotated[int, Meta(ge=0, le=(1 << 63) - 1)]
Shape: TypeAlias = Annotated[tuple[Dim, ...], Meta(max_length=limits.TENSOR_RANK)]
"""Dimensions, outermost first; empty for a scalar."""
TensorName: TypeAlias = Annotated[str, Meta(min_length=1, max_length=limits.NAME_CHARS)]


@dataclass(frozen=True, slots=True, kw_only=True)
class DtypeTraits:
    """What there is to know of a dtype.

    Attributes:
        size_bytes: Bytes of one element.
        oip_name: Its name in the Open Inference Protocol.
    """

    size_bytes: int
    oip_name: str


DTYPES: Final[Mapping[str, DtypeTraits]] = MappingProxyType(
    {
        name: DtypeTraits(size_bytes=size, oip_name=oip_name)
        for name, size, oip_name in (
            ("bool", 1, "BOOL"),
            ("uint8", 1, "UINT8"),
            ("uint16", 2, "UINT16"),
            ("uint32", 4, "UINT32"),
            ("uint64", 8, "UINT64"),
            ("int8", 1, "INT8"),
            ("int16", 2, "INT16"),
            ("int32", 4, "INT32"),
            ("int64", 8, "INT64"),
            ("float16", 2, "FP16"),
            ("float32", 4, "FP32"),
            ("float64", 8, "FP64"),
        )
    }
)
"""Every dtype by its name."""


class Tensor(LedgerValue, frozen=True, kw_only=True):
    """One tensor of a request or an answer.

    Attributes:
        name: The graph's name for it.
        dtype: Its element type, a key of `DTYPES`.
        shape: Its dimensions, outermost first.
        data: Its elements, row-major and little-endian; a bool is one byte, 0 or 1.
    """

    name: TensorName
    dtype: DtypeName
    shape: Shape
    data: Annotated[bytes, Meta(max_length=limits.TENSOR_BYTES)]


class TensorHead(Document, frozen=True, kw_only=True):
    """A tensor as a receipt states it: everything but its bytes, and their root (`RECEIPT-1`).

    Attributes:
        name: The graph's name for it.
        dtype: Its element type.
        shape: Its dimensions.
        root: `compute_tensor_root`, in hex.
    """

    name: TensorName
    dtype: DtypeName
    shape: Shape
    root: HexDigest


def check_tensor(tensor: Tensor) -> None:
    """Check that a tensor's bytes are one encoding of a tensor of its dtype and shape.

    Raises:
        Refusal: `tensor.bad-name`, `tensor.bad-dtype`, `tensor.bad-shape`, `tensor.too-large`,
            `tensor.bad-length`, `tensor.bad-bool`.
    """
    if not 0 < len(tensor.name) <= limits.NAME_CHARS:
        raise Refusal("tensor.bad-name", f"a name has 1 to {limits.NAME_CHARS} characters")
    traits = DTYPES.get(tensor.dtype)
    if traits is None:
        raise Refusal("tensor.bad-dtype", f"{_call(tensor)} has the dtype {tensor.dtype[:40]!r}")
    shape = tensor.shape
    if shape and (len(shape) > limits.TENSOR_RANK or min(shape) < 0 or max(shape) >= 1 << 63):
        raise Refusal(
            "tensor.bad-shape", f"{_call(tensor)}: at most {limits.TENSOR_RANK} dims, none negative"
        )
    expected = prod(shape) * traits.size_bytes
    if max(expected, len(tensor.data)) > limits.TENSOR_BYTES:
        raise Refusal("tensor.too-large", f"{_call(tensor)} exceeds {limits.TENSOR_BYTES} bytes")
    if len(tensor.data) != expected:
        raise Refusal(
            "tensor.bad-length",
            f"{_call(tensor)} has {len(tensor.data)} bytes; its dtype and shape make {expected}",
        )
    if tensor.dtype == "bool" and tensor.data.translate(None, b"\x00\x01"):
        raise Refusal("tensor.bad-bool", f"{_call(tensor)} has a bool byte that is neither 0 nor 1")


def _call(tensor: Tensor) -> str:
    return f"tensor {tensor.name[:40]!r}"


def compute_salt_commitment(salt: Salt) -> Digest:
    """Compute what a receipt says of its salt before anybody learns the salt (`SALT-1`)."""
    return hash_tagged("probatum/salt-commitment/1", salt)


def derive_tensor_key(salt: Salt, dtype: str, shape: tuple[int, ...], name: str) -> bytes:
    """Derive the 32-byte BLAKE3 key of one tensor's root (`CANON-5`).

    Args:
        salt: The request's salt, or zeros for weights.
        dtype: A key of `DTYPES`.
        shape: Dimensions; hashed as one byte of rank and 64-bit little-endian dims.
        name: The name of the graph's input or output.
    """
    return hash_tagged("probatum/tensor-key/1", salt, *_spell(dtype, shape, name))


@lru_cache(maxsize=1_024)
def _spell(dtype: str, shape: tuple[int, ...], name: str) -> tuple[bytes, bytes, bytes]:
    """Write down what a key depends on besides the salt; a model's tensors are all alike."""
    dims = bytes((len(shape),)) + b"".join(dim.to_bytes(8, "little") for dim in shape)
    return dtype.encode("ascii"), dims, name.encode()


def compute_tensor_root(salt: Salt, tensor: Tensor) -> Root:
    """Compute a tensor's root: keyed BLAKE3 of its bytes.

    Args:
        salt: The request's salt.
        tensor: A tensor that `check_tensor` has passed.
    """
    key = derive_tensor_key(salt, tensor.dtype, tensor.shape, tensor.name)
    return make_root(blake3(tensor.data, key=key).digest())


def make_tensor_head(salt: Salt, tensor: Tensor) -> TensorHead:
    """Make what a receipt states of a tensor."""
    return TensorHead(
        name=tensor.name,
        dtype=tensor.dtype,
        shape=tensor.shape,
        root=compute_tensor_root(salt, tensor).hex(),
    )
