"""Streams are cut into messages, whatever the cuts of the transport."""

import pytest

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.encoding import encode
from probatum.protocol.frames import FrameReader, encode_frame
from probatum.protocol.messages import (
    Answer,
    Answered,
    Ask,
    GetLogFile,
    GetStatus,
    HandOverWork,
    Refused,
    decode_message,
)
from probatum.protocol.primitives import make_nonce, make_request_id, make_salt
from probatum.protocol.tensors import Tensor

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


def test_many_small_records_are_refused_before_they_are_built():
    item = b"\x93\xc4\x01a\xc0\xc4\x00"
    listed = b"\x94\x2e\x01\xdd" + (1_001).to_bytes(4, "big") + 1_001 * item + b"\xc2"
    with pytest.raises(Refusal) as caught:
        decode_message(listed)
    assert caught.value.code == "encoding.malformed"
    with pytest.raises(Refusal) as caught:
        decode_message(b"\x93\x34" + bytes(limits.LEDGER_FRAME_BYTES))
    assert caught.value.code == "encoding.too-large"


def test_what_carries_tensors_may_be_as_long_as_they_are():
    data = bytes(limits.LEDGER_FRAME_BYTES)
    tensor = Tensor(name="x", dtype="uint8", shape=(len(data),), data=data)
    request = make_request_id(bytes(16))
    salt, nonce = make_salt(bytes(32)), make_nonce(bytes(32))
    for message in (
        Ask(
            model="m",
            version=None,
            inputs=(tensor,),
            assurance="signed",
            salt=None,
            nonce=nonce,
            request_id=None,
            timeout_ms=1,
        ),
        Answer(request_id=request, outputs=(tensor,), salt=salt, bundle=b""),
        HandOverWork(record=b"", facts=b"", salt=salt, inputs=(tensor,), time_left_ms=1),
        Answered(receipt=b"", outputs=(tensor,)),
    ):
        assert decode_message(encode(message)) == message


@pytest.mark.parametrize("code", ["", "no\x1b[2J", "no\n", "No", "-", "a" * 129])
def test_a_code_is_one_wherever_it_comes_from(code):
    # A gateway signs a node's code into its release, and people's terminals show it.
    with pytest.raises(Refusal) as caught:
        decode_message(encode(Refused(code=code, message="")))
    assert caught.value.code == "encoding.malformed"
