"""How messages are cut out of a stream."""

from __future__ import annotations

import pytest

from probatum.consensus.cometbft.frames import (
    MAX_FRAME_BYTES,
    Frames,
    append_response,
    decode_response,
    encode_request,
    encode_response,
)
from probatum.consensus.cometbft.messages import (
    RequestCheckTx,
    RequestEcho,
    RequestFinalizeBlock,
    RequestFlush,
    ResponseEcho,
    ResponseFlush,
)
from probatum.errors import Refusal


def test_many_requests_in_one_piece_and_one_in_many():
    requests = [RequestCheckTx(tx=b"a" * 300), RequestFlush(), RequestEcho(message="é")] * 85
    stream = b"".join(map(encode_request, requests))
    assert list(Frames().feed(stream)) == requests
    reader = Frames()
    assert [
        one for at in range(len(stream)) for one in reader.feed(stream[at : at + 1])
    ] == requests
    assert reader.held_bytes == 0


def test_a_large_block_is_taken_in_linear_time_and_room():
    """Pieces of a long message are not looked at again before it is whole."""
    block = RequestFinalizeBlock(txs=(b"x" * 1_000,) * 5_000)
    stream = encode_request(block) + encode_request(RequestFlush())
    reader, read = Frames(), []
    for at in range(0, len(stream), 4_096):
        read += reader.feed(stream[at : at + 4_096])
    assert read == [block, RequestFlush()]


def test_flush_is_what_the_engine_writes():
    assert encode_request(RequestFlush()) == b"\x02\x12\x00"
    assert list(Frames().feed(b"\x02\x12\x00\x03\x1a\x00")) == [RequestFlush()]
    out = bytearray()
    append_response(out, ResponseFlush())
    append_response(out, ResponseEcho(message="a"))
    assert out == b"\x02\x1a\x00" + encode_response(ResponseEcho(message="a"))
    assert decode_response(bytes(out[1:3])) == ResponseFlush()


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (b"\x81\x80\x80\x40", "abci.too-long"),
        (b"\xff\xff\xff\xff\xff\x01", "abci.too-long"),
        (b"\x80\x80\x80\x80\x80", "abci.too-long"),
        (b"\xff\xff\xff\xff\x7f", "abci.too-long"),
        (b"\x00", "abci.unknown-call"),
        (b"\x03\xaa\x01\x00", "abci.unknown-call"),
        (b"\x02\x12\x05", "abci.malformed"),
    ],
)
def test_what_cannot_be_read_is_refused_after_what_could(stream, code):
    reader = Frames(max_frame_bytes=1 << 27)
    assert MAX_FRAME_BYTES == 1 << 27
    requests = reader.feed(encode_request(RequestFlush()) + stream)
    assert next(requests) == RequestFlush()
    with pytest.raises(Refusal) as caught:
        next(requests)
    assert caught.value.code == code


def test_a_length_alone_reserves_nothing():
    reader = Frames()
    assert list(reader.feed(b"\x80\x80\x80\x40")) == []
    assert reader.held_bytes == 4


def test_the_longest_message_is_waited_for_and_one_byte_more_is_not():
    message = encode_request(RequestEcho(message="a" * 96))
    assert message[0] == 100
    assert list(Frames(max_frame_bytes=100).feed(message)) == [RequestEcho(message="a" * 96)]
    with pytest.raises(Refusal, match="at most 99"):
        list(Frames(max_frame_bytes=99).feed(message[:1]))
