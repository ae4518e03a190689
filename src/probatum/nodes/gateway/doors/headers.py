"""What requests at a gateway's doors may say in headers, whatever their body's format.

``Probatum-Salt`` and ``Probatum-Nonce`` (hex), ``Probatum-Request`` (an id, to repeat a request
under the same salt), ``Probatum-Node`` (the one operator who may answer). Must not know bodies.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from starlette.types import Scope

from probatum.errors import Refusal
from probatum.protocol.hexes import bytes_from_hex
from probatum.protocol.primitives import (
    Address,
    Nonce,
    RequestId,
    Salt,
    address_from_hex,
    check_request_id,
    make_nonce,
    make_salt,
)

__all__ = ["HEAD_LENGTH", "RECEIPT", "Said", "read_said"]

RECEIPT: Final = b"probatum-receipt"
HEAD_LENGTH: Final = b"inference-header-content-length"
_H = TypeVar("_H")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What a request's headers say; `head_bytes` is the length of a body's JSON, if it has more."""

    salt: Salt | None
    nonce: Nonce | None
    request_id: RequestId | None
    node: Address | None
    head_bytes: int | None


def read_said(scope: Scope) -> Said:
    """Read a request's headers.

    Raises:
        Refusal: `door.bad-header`, `door.wrong-type`, `hex.malformed`, `primitive.*`.
    """
    found: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name in _HEADERS:
            if name in found:
                raise Refusal("door.bad-header", f"{name.decode()} is there twice")
            found[name] = value.decode("latin-1")
    if found.get(b"content-encoding", "identity").lower() != "identity":
        raise Refusal("door.wrong-type", "compressed bodies are not taken")
    length = found.get(HEAD_LENGTH)
    if length is not None and not (length.isascii() and length.isdigit() and len(length) <= 18):
        raise Refusal("door.bad-header", "Inference-Header-Content-Length is no number")
    return Said(
        salt=_read_bytes(found.get(b"probatum-salt"), make_salt),
        nonce=_read_bytes(found.get(b"probatum-nonce"), make_nonce),
        request_id=_read_request_id(found.get(b"probatum-request")),
        node=_read_address(found.get(b"probatum-node")),
        head_bytes=None if length is None else int(length),
    )


_HEADERS: Final = frozenset(
    {
        b"content-encoding",
        HEAD_LENGTH,
        b"probatum-node",
        b"probatum-nonce",
        b"probatum-request",
        b"probatum-salt",
    }
)


def _read_bytes(text: str | None, make: Callable[[bytes], _H]) -> _H | None:
    return None if text is None else make(bytes_from_hex(text))


def _read_address(text: str | None) -> Address | None:
    return None if text is None else address_from_hex(text)


def _read_request_id(text: str | None) -> RequestId | None:
    return None if text is None else check_request_id(text)
