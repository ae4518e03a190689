"""Our codec of ABCI against Google's protobuf: the same values, the same bytes, the same no's
(`ABCI-4`)."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st

from probatum.consensus.cometbft import frames
from probatum.consensus.cometbft.schema import REQUEST_ENVELOPE, RESPONSE_ENVELOPE
from probatum.consensus.cometbft.varints import append_varint
from probatum.consensus.cometbft.wire import decode
from probatum.errors import Refusal
from tests import abci

CLASSES = abci.make_classes()
ENVELOPES = {"Request": REQUEST_ENVELOPE, "Response": RESPONSE_ENVELOPE}
EXAMPLES = settings(max_examples=200, deadline=None)
I64, I32 = (-(1 << 63), (1 << 63) - 1), (-(1 << 31), (1 << 31) - 1)
EDGES = st.sampled_from((-1, 0, 1, 127, 128, 255, 16_383, 16_384, -62_135_596_800))


def draw_number(low, high):
    return st.integers(low, high) | EDGES.filter(lambda n: low <= n <= high)


SCALARS = {
    "i64": draw_number(*I64),
    "u64": draw_number(0, (1 << 64) - 1),
    "i32": draw_number(*I32),
    "u32": draw_number(0, (1 << 32) - 1),
    "bool": st.booleans(),
    "str": st.text(max_size=6),
    "bytes": st.binary(max_size=8) | st.binary(min_size=120, max_size=140),
}


@st.composite
def draw_message(draw, name):
    """Draw a message as Go would write it: what is no pointer there is always set."""
    message = CLASSES[name]()
    rows = abci.read_table()[name]
    choices = [row for row in rows if row[2].endswith("?")]
    chosen = draw(st.sampled_from(choices)) if choices else None
    for row in rows:
        _, field, written = row
        kind = written.rstrip("!*?")
        if row in choices and row is not chosen:
            continue
        if written.endswith("*"):
            one = SCALARS[kind] if kind in SCALARS else draw_message(kind)
            getattr(message, field).extend(draw(st.lists(one, max_size=3)))
        elif kind in SCALARS:
            value = draw(SCALARS[kind])
            if name == "RequestQuery" and field == "path":
                value = draw(st.text(max_size=6)).encode()
            setattr(message, field, value)
        elif written != kind or draw(st.booleans()):
            getattr(message, field).CopyFrom(draw(draw_message(kind)))
            getattr(message, field).SetInParent()
    return message


def encode_length(length):
    written = bytearray()
    append_varint(written, length)
    return bytes(written)


def open_theirs(message):
    which = message.WhichOneof("choice")
    return None if which is None else abci.show_theirs(getattr(message, which))


@pytest.mark.parametrize("name", ["Request", "Response"])
@EXAMPLES
@given(data=st.data())
def test_both_write_the_same_bytes_and_read_the_same_values(name, data):
    theirs = data.draw(draw_message(name))
    written = theirs.SerializeToString()
    ours = decode(ENVELOPES[name], written)
    assert abci.show_ours(ours) == open_theirs(theirs)
    write = frames.encode_request if name == "Request" else frames.encode_response
    assert write(ours) == encode_length(len(written)) + written


def compare(name, written):
    """Ours takes what theirs takes, as the same value; ours is stricter in three things alone.

    Go too refuses a known field of another wire type, and the field number 0; a tenth byte of more
    than one bit is nothing that any encoder writes.
    """
    refused = None
    try:
        theirs = CLASSES[name].FromString(written)
    except DecodeError:
        theirs = None
    try:
        ours = decode(ENVELOPES[name], written)
    except Refusal as refusal:
        refused = refusal
    if refused is not None:
        assert refused.code == "abci.malformed"
        stricter = ("wire type", "of the number 0", "more than 64 bits")
        assert theirs is None or any(map(refused.message.__contains__, stricter)), written.hex()
        return "refused"
    assert theirs is not None, written.hex()
    if ours is None:
        assert theirs.WhichOneof("choice") is None
    else:
        assert abci.show_ours(ours) == open_theirs(theirs)
    return "taken"


@pytest.mark.parametrize("name", ["Request", "Response"])
@EXAMPLES
@given(data=st.data())
def test_a_message_in_two_pieces_is_merged_the_same_way(name, data):
    """The same member of the choice, twice: repeated fields join, single ones are said again."""
    first = data.draw(draw_message(name))
    member = first.WhichOneof("choice")
    kind = getattr(first, member).DESCRIPTOR.name
    second = CLASSES[name]()
    getattr(second, member).CopyFrom(data.draw(draw_message(kind)))
    other = data.draw(draw_message(name))
    for pieces in ((first, second), (other, first, second), (first, other)):
        assert compare(name, b"".join(one.SerializeToString() for one in pieces)) == "taken"


UNKNOWN = st.sampled_from(
    # A varint, eight bytes, a string, four bytes, in fields that ABCI never had.
    (b"\xf8\x07\x85\x01", b"\xf9\x07" + b"8" * 8, b"\xfa\x07\x03abc", b"\xfd\x074444")
)


@pytest.mark.parametrize("name", ["Request", "Response"])
@EXAMPLES
@given(data=st.data())
def test_fields_that_no_table_has_are_skipped(name, data):
    theirs = data.draw(draw_message(name))
    member = getattr(theirs, theirs.WhichOneof("choice"))
    before = decode(ENVELOPES[name], theirs.SerializeToString())
    member.MergeFromString(data.draw(UNKNOWN))
    written = data.draw(UNKNOWN) + theirs.SerializeToString()
    assert decode(ENVELOPES[name], written) == before
    assert compare(name, written) == "taken"


@st.composite
def draw_broken(draw, name):
    """Draw a message with some bytes changed, cut out, put in, or doubled."""
    broken = bytearray(draw(draw_message(name)).SerializeToString())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(broken)))
        match draw(st.integers(0, 4)):
            case 0:
                broken[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case 1:
                del broken[at : at + draw(st.integers(1, 4))]
            case 2:
                broken[at:at] = draw(st.binary(min_size=1, max_size=4))
            case 3:
                broken[at:at] = broken[at : at + draw(st.integers(1, 12))]
            case _:
                del broken[at:]
    return bytes(broken)


@pytest.mark.parametrize("name", ["Request", "Response"])
@settings(max_examples=600, deadline=None)
@given(data=st.data())
def test_both_say_no_to_the_same_damage(name, data):
    compare(name, data.draw(draw_broken(name)))


@pytest.mark.parametrize("name", ["Request", "Response"])
@settings(max_examples=600, deadline=None)
@given(written=st.binary(max_size=40))
def test_both_say_no_to_the_same_noise(name, written):
    compare(name, written)


@EXAMPLES
@given(data=st.data())
def test_a_stream_is_cut_into_the_same_requests_wherever_it_is_torn(data):
    count = data.draw(st.integers(1, 6))
    requests = [
        decode(REQUEST_ENVELOPE, data.draw(draw_message("Request")).SerializeToString())
        for _ in range(count)
    ]
    stream = b"".join(map(frames.encode_request, requests))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader = frames.Frames()
    read = []
    for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        read += reader.feed(stream[begin:end])
    assert read == requests
    assert reader.held_bytes == 0


@settings(max_examples=600, deadline=None)
@given(pieces=st.lists(st.binary(max_size=30), max_size=4))
def test_a_stream_of_noise_is_refused_or_waited_for(pieces):
    reader = frames.Frames(max_frame_bytes=1_000)
    try:
        for piece in pieces:
            for request in reader.feed(piece):
                (again,) = frames.Frames().feed(frames.encode_request(request))
                assert again == request
    except Refusal as refusal:
        assert refusal.code in {"abci.malformed", "abci.too-long", "abci.unknown-call"}  # noqa: PT017
