"""Streams are cut into messages, whatever the cuts of the transport."""

import pytest

from probatum.errors import Refusal
from probatum.protocol.frames import FrameReader, encode_frame
from probatum.protocol.messages import GetLogFile, GetStatus, Refused

MESSAGES = (
    GetStatus(),
    Refused(code="a.b", message="no", hint="", retryable=True),
    GetLogFile(session=3, path="checkpoint"),
)
STREAM = b"".join(map(encode_frame, MESSAGES))


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 1000])
def test_any_cut_gives_the_same_messages(cut):
    reader = FrameReader()
    got = [
        message
        for start in range(0, len(STREAM), cut)
        for message in reader.feed(STREAM[start : start + cut])
    ]
    reader.finish()
    assert tuple(got) == MESSAGES


def test_a_long_frame_is_refused_before_it_is_held():
    with pytest.raises(Refusal) as caught:
        FrameReader(limit_bytes=10).feed((11).to_bytes(4, "big"))
    assert caught.value.code == "frame.too-large"


def test_a_stream_that_ends_inside_a_frame_is_refused():
    reader = FrameReader()
    reader.feed(STREAM[:-1])
    with pytest.raises(Refusal) as caught:
        reader.finish()
    assert caught.value.code == "frame.cut-short"
