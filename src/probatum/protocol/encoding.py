"""The two encodings, both strict and canonical (`PROTO-1`).

Ledger values are MessagePack arrays in field order. Documents for strangers (receipts, custody
records, bundles, trust files) are JSON objects in field order without white space. For both,
``encode(decode(b)) == b`` or the bytes are refused, so a value has one encoding only. Must not
know any document. Read next: any page that defines a value.
"""

from __future__ import annotations

from collections.abc import Hashable
from functools import cache
from threading import Lock
from typing import Any, Final, TypeVar

import msgspec

from probatum.errors import Refusal

__all__ = ["Document", "LedgerValue", "decode", "decode_document", "encode", "encode_document"]

T = TypeVar("T")


class LedgerValue(
    msgspec.Struct, frozen=True, kw_only=True, array_like=True, forbid_unknown_fields=True
):
    """Base of all values that the ledger or a frame carries: MessagePack, fixed field order."""


class Document(
    msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True
):
    """Base of all values that strangers read: JSON objects, fixed field order.

    A field with a default is absent where it has that default: that is how the optional fields
    of `RECEIPT-1` stay out of receipts until a later version of the network fills them.
    """


_msgpack_encoder = msgspec.msgpack.Encoder()
_json_encoder = msgspec.json.Encoder()


_building: Final = Lock()
"""Held while a decoder is made. What msgspec learns of a struct then, it keeps on that struct, and
half of it is seen by whoever makes another decoder meanwhile: two threads that decode for the
first time would end the process (a segmentation fault). The one lock of the quiet rooms: it guards
a cache, and changes no outcome."""


@cache
def _msgpack_decoder(kind: Hashable) -> msgspec.msgpack.Decoder[Any]:
    with _building:
        return msgspec.msgpack.Decoder(kind, strict=True)


@cache
def _json_decoder(kind: Hashable) -> msgspec.json.Decoder[Any]:
    with _building:
        return msgspec.json.Decoder(kind, strict=True)


def encode(value: LedgerValue) -> bytes:
    """Encode a ledger value as canonical MessagePack (`PROTO-1`)."""
    return _msgpack_encoder.encode(value)


def decode(kind: type[T], data: bytes, *, limit_bytes: int) -> T:
    """Decode canonical MessagePack, strictly.

    Args:
        kind: The struct (or tagged union) to decode to.
        data: Bytes from outside.
        limit_bytes: More than this is refused before anything is parsed.

    Raises:
        Refusal: `encoding.too-large`, `encoding.malformed`, `encoding.not-canonical`.
    """
    if len(data) > limit_bytes:
        raise Refusal(
            "encoding.too-large", f"{len(data)} bytes where at most {limit_bytes} are taken"
        )
    try:
        value: T = _msgpack_decoder(kind).decode(data)  # type: ignore[arg-type]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal("encoding.malformed", f"not a valid value: {error}") from None
    if _msgpack_encoder.encode(value) != data:
        raise Refusal(
            "encoding.not-canonical", "the bytes are not the canonical encoding of the value"
        )
    return value


def encode_document(value: Document) -> bytes:
    """Encode a document as canonical JSON: UTF-8, field order, no white space."""
    return _json_encoder.encode(value)


def decode_document(kind: type[T], data: bytes, *, limit_bytes: int) -> T:
    """Decode canonical JSON, strictly; see `decode` for arguments and errors."""
    if len(data) > limit_bytes:
        raise Refusal(
            "encoding.too-large", f"{len(data)} bytes where at most {limit_bytes} are taken"
        )
    try:
        value: T = _json_decoder(kind).decode(data)  # type: ignore[arg-type]
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal("encoding.malformed", f"not a valid document: {error}") from None
    if _json_encoder.encode(value) != data:
        raise Refusal(
            "encoding.not-canonical", "the bytes are not the canonical encoding of the document"
        )
    return value
