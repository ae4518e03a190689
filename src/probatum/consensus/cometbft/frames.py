"""How ABCI travels: each message behind its length, in its envelope (`ABCI-4`).

`Frames` cuts a stream into requests; the rest makes and reads single frames. Pure: bytes in,
values out, one `Frames` for each connection. Read `wire` for what is inside a frame.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, TypeVar

from probatum.consensus.cometbft.messages import Request, RequestFlush, Response
from probatum.consensus.cometbft.schema import (
    REQUEST_ENVELOPE,
    REQUESTS,
    RESPONSE_ENVELOPE,
    RESPONSES,
)
from probatum.consensus.cometbft.table import Schema
from probatum.consensus.cometbft.varints import append_varint
from probatum.consensus.cometbft.wire import build, decode, encode, fill
from probatum.errors import Refusal

__all__ = [
    "MAX_FRAME_BYTES",
    "Frames",
    "append_response",
    "decode_response",
    "encode_request",
    "encode_response",
]

T = TypeVar("T")
MAX_FRAME_BYTES: Final = 128 << 20
"""The longest message: CometBFT's largest block is 100 MiB, its votes come on top."""
_MAX_LENGTH_BYTES: Final = 5
_FLUSH: Final = b"\x12\x00"
_Table = dict[type, tuple[bytes, Schema[Any]]]


def _make_table(rows: tuple[tuple[int, str, Schema[Any]], ...]) -> _Table:
    table: _Table = {}
    for number, _, schema in rows:
        tag = bytearray()
        append_varint(tag, number << 3 | 2)
        table[schema.make] = bytes(tag), schema  # type: ignore[index]
    return table


_REQUESTS: Final = _make_table(REQUESTS)
_RESPONSES: Final = _make_table(RESPONSES)


class Frames:
    """The stream of one connection, as it comes in pieces."""

    def __init__(self, max_frame_bytes: int = MAX_FRAME_BYTES) -> None:
        """Begin a stream.

        Args:
            max_frame_bytes: The longest message that is waited for.
        """
        self._max_frame_bytes = max_frame_bytes
        self._held = bytearray()
        self._wanted = 0

    @property
    def held_bytes(self) -> int:
        """Bytes of a message that has not come whole."""
        return len(self._held)

    def feed(self, data: bytes) -> Iterator[Request]:
        """Take the next piece and give every request that is whole now, in order.

        The iterator must be read to its end before the next piece is given.

        Raises:
            Refusal: `abci.too-long`, `abci.malformed`, `abci.too-many`, `abci.unknown-call`. The
                stream cannot be read any further.
        """
        if self._held:
            self._held += data
            if len(self._held) < self._wanted:
                return
            data = bytes(self._held)
            self._held = bytearray()
        at = 0
        while at < len(data):
            begin, end = self._measure(data, at)
            if end > len(data):
                # No room is made for what was announced: it grows with what comes.
                self._held += memoryview(data)[at:]
                self._wanted = end - at
                return
            yield _open_request(data, begin, end)
            at = end

    def _measure(self, data: bytes, at: int) -> tuple[int, int]:
        """Find where the message at `at` begins and ends; what is not there yet ends late."""
        length = shift = 0
        for begin in range(at, min(at + _MAX_LENGTH_BYTES, len(data))):
            length |= (data[begin] & 127) << shift
            if data[begin] < 128:
                if length > self._max_frame_bytes:
                    raise Refusal(
                        "abci.too-long",
                        f"a message of {length} bytes; at most {self._max_frame_bytes} are taken",
                        hint="set the engine's block.max_bytes lower than that",
                    )
                return begin + 1, begin + 1 + length
            shift += 7
        if len(data) - at >= _MAX_LENGTH_BYTES:
            raise Refusal("abci.too-long", "a message whose length has more than 5 bytes")
        return at, len(data) + 1


def _open_request(data: bytes, begin: int, end: int) -> Request:
    if data[begin:end] == _FLUSH:
        return RequestFlush()  # every second message is one: the engine's timer spins
    found: dict[str, Any] = {}
    fill(REQUEST_ENVELOPE, data, begin, end, found)
    request = build(REQUEST_ENVELOPE, found)
    if request is None:
        raise Refusal(
            "abci.unknown-call",
            "a request that ABCI 2.0 does not have",
            hint="the engine must be CometBFT v0.38",
        )
    return request


def append_response(out: bytearray, response: Response) -> None:
    """Append a response, framed.

    Raises:
        Misuse: `abci.unencodable` for a value outside its field's range.
    """
    _append(out, _RESPONSES, response)


def encode_response(response: Response) -> bytes:
    """Encode a response, framed. Raises Misuse as `append_response`."""
    out = bytearray()
    _append(out, _RESPONSES, response)
    return bytes(out)


def encode_request(request: Request) -> bytes:
    """Encode a request, framed: what an engine sends. Raises Misuse as `append_response`."""
    out = bytearray()
    _append(out, _REQUESTS, request)
    return bytes(out)


def decode_response(data: bytes) -> Response:
    """Decode a response without its length.

    Raises:
        Refusal: `abci.malformed`, `abci.too-many`, `abci.unknown-call`.
    """
    response = decode(RESPONSE_ENVELOPE, data)
    if response is None:
        raise Refusal("abci.unknown-call", "a response that ABCI 2.0 does not have")
    return response


def _append(out: bytearray, table: _Table, message: Any) -> None:
    tag, schema = table[type(message)]
    inner = encode(schema, message)
    head = bytearray(tag)
    append_varint(head, len(inner))
    append_varint(out, len(head) + len(inner))
    out += head
    out += inner
