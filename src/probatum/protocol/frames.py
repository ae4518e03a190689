"""Frames: how messages follow one another in a byte stream.

A frame is a 4-byte big-endian length and that many bytes of one encoded message. The reader
takes bytes as they come, in any cut, and never holds more than one frame and one cut. Must not
know sockets.
"""

from __future__ import annotations

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.encoding import encode
from probatum.protocol.messages import Message, decode_message

__all__ = ["FrameReader", "encode_frame"]

_HEAD_BYTES = 4


def encode_frame(message: Message) -> bytes:
    """Encode a message as one frame."""
    body = encode(message)
    return len(body).to_bytes(_HEAD_BYTES, "big") + body


class FrameReader:
    """Cuts a byte stream into messages; one reader a stream."""

    def __init__(self, *, limit_bytes: int = limits.FRAME_BYTES) -> None:
        """Make a reader that refuses frames longer than `limit_bytes`."""
        self._limit_bytes = limit_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> tuple[Message, ...]:
        """Take bytes, return the messages that they complete.

        Raises:
            Refusal: `frame.too-large`, `encoding.*`; the stream is of no more use then.
        """
        self._buffer += data
        messages: list[Message] = []
        while len(self._buffer) >= _HEAD_BYTES:
            length = int.from_bytes(self._buffer[:_HEAD_BYTES], "big")
            if length > self._limit_bytes:
                raise Refusal("frame.too-large", f"a frame of {length} bytes")
            end = _HEAD_BYTES + length
            if len(self._buffer) < end:
                break
            messages.append(decode_message(bytes(self._buffer[_HEAD_BYTES:end])))
            del self._buffer[:end]
        return tuple(messages)

    def finish(self) -> None:
        """Say that the stream has ended. Raises Refusal `frame.cut-short` in mid-frame."""
        if self._buffer:
            raise Refusal("frame.cut-short", "the stream ended inside a frame")
