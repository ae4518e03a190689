"""How binary values stand in JSON documents: lower-case hex of one fixed length.

The `Annotated` types make the strict decoder check the form; the functions convert. Must not
know any document.
"""

from __future__ import annotations

from typing import Annotated, TypeAlias

from msgspec import Meta

from probatum.errors import Refusal
from probatum.protocol.primitives import (
    Address,
    Digest,
    OperatingKey,
    Root,
    address_from_hex,
    make_digest,
    make_operating_key,
    make_root,
)

__all__ = [
    "HexAddress",
    "HexBytes",
    "HexDigest",
    "HexKey",
    "address_from_document",
    "bytes_from_hex",
    "digest_from_hex",
    "key_from_hex",
    "root_from_hex",
]

HexDigest: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
"""A SHA-256 digest or a tensor root, 64 lower-case hex digits."""
HexKey: TypeAlias = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
"""An Ed25519 public key, 64 lower-case hex digits."""
HexAddress: TypeAlias = Annotated[str, Meta(pattern=r"^0x[0-9a-f]{40}\Z")]
"""An account's address, ``0x`` and 40 lower-case hex digits."""
HexBytes: TypeAlias = Annotated[str, Meta(pattern=r"^(?:[0-9a-f]{2})*\Z")]
"""Bytes of any length; the field that uses it sets a `max_length` too."""


def bytes_from_hex(text: str) -> bytes:
    """Read lower-case hex without spaces.

    Raises:
        Refusal: `hex.malformed` if it is anything else.
    """
    try:
        data = bytes.fromhex(text)
    except ValueError:
        data = b""
    if data.hex() != text:
        raise Refusal("hex.malformed", f"not lower-case hex: {text[:70]!r}")
    return data


def digest_from_hex(text: str) -> Digest:
    """Read a digest. Raises Refusal `hex.malformed` or `primitive.bad-length`."""
    return make_digest(bytes_from_hex(text))


def root_from_hex(text: str) -> Root:
    """Read a tensor root. Raises Refusal `hex.malformed` or `primitive.bad-length`."""
    return make_root(bytes_from_hex(text))


def key_from_hex(text: str) -> OperatingKey:
    """Read an operating key. Raises Refusal `hex.malformed` or `primitive.bad-length`."""
    return make_operating_key(bytes_from_hex(text))


def address_from_document(text: str) -> Address:
    """Read an address in its one form for documents, lower case.

    Raises:
        Refusal: `primitive.bad-address` unless ``0x`` and 40 lower-case hex digits.
    """
    if text != text.lower():
        raise Refusal("primitive.bad-address", f"upper-case hex digits in {text[:60]!r}")
    return address_from_hex(text)
