"""What an engine says is bounded in length, pace and form before anything is parsed."""

import contextlib
import itertools
import threading
import time

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from probatum.errors import Fault, Refusal
from probatum.runtime.upstream.call import Call
from probatum.runtime.upstream.wire import Wire, decode_reply
from tests.unit.runtime.upstream.servers import events, speak


class Reply(msgspec.Struct):
    number: int


def ask(url, call=None, secret=None):
    return Wire(url, secret).post("/x", {}, call or Call(total_s=5, quiet_s=1), Reply)


def refused(status, chunks, call=None):
    with speak(lambda *_: (status, chunks)) as (url, _), pytest.raises(Fault) as caught:
        ask(url, call)
    return caught.value


def test_a_reply_is_decoded_and_the_key_is_sent():
    with speak(lambda *_: (200, [b'{"number": 5, "more": [1]}'])) as (url, asked):
        assert ask(url + "/base/", secret="s3cret").number == 5
    path, _, headers = asked[0]
    assert path == "/base/x"
    assert headers["Authorization"] == "Bearer s3cret"


@pytest.mark.parametrize(
    ("status", "chunks", "code"),
    [
        (200, [b"nothing"], "upstream.bad-reply"),
        (200, [b"[" * 100_000], "upstream.bad-reply"),
        (200, [b'{"number": "\xff"}'], "upstream.bad-reply"),
        (302, [b""], "upstream.refused"),
        (500, [b"<html>"], "upstream.refused"),
        (503, [b'{"error": "\x07loading"}'], "upstream.refused"),
        (400, [b'{"error": {"message": "too long \\u001b[31m"}}'], "upstream.refused"),
    ],
)
def test_what_is_no_reply_is_a_fault(status, chunks, code):
    fault = refused(status, chunks)
    assert fault.code == code
    assert fault.message.isprintable()
    assert len(fault.message) < 400


def test_an_endless_reply_is_cut():
    fault = refused(200, itertools.repeat(b" " * (1 << 20), 40))
    assert fault.code == "upstream.bad-reply"
    assert "longer" in fault.message


def test_an_endless_event_is_cut():
    chunks = itertools.chain([b"data: "], itertools.repeat(b"x" * (1 << 18), 20))
    with speak(lambda *_: (200, chunks)) as (url, _), pytest.raises(Fault) as caught:
        list(Wire(url).stream("/x", {}, Call(total_s=5, quiet_s=2), Reply))
    assert "event" in caught.value.message


def test_events_end_with_done_or_with_the_line():
    for done in (True, False):
        said = events(b'{"number": 1}', b'{"number": 2}', done=done)
        with speak(lambda *_, said=said: (200, [b": hello\n", *said])) as (url, _):
            found = list(Wire(url).stream("/x", {}, Call(total_s=5, quiet_s=2), Reply))
        assert [one.number for one in found] == [1, 2]


def wait(_):
    time.sleep(2)
    return b""


def test_silence_is_a_fault():
    fault = refused(200, map(wait, [1]), Call(total_s=5, quiet_s=0.1))
    assert fault.code == "upstream.unreachable"
    fault = refused(200, map(wait, [1]), Call(total_s=0.1, quiet_s=5))
    assert fault.code == "upstream.timeout"


def test_a_slow_drip_ends_by_the_whole_time():
    def drip():
        for _ in range(100):
            time.sleep(0.05)
            yield b" "

    began = time.monotonic()
    assert refused(200, drip(), Call(total_s=0.5, quiet_s=5)).code == "upstream.timeout"
    assert time.monotonic() - began < 4


def test_another_thread_ends_it():
    call = Call(total_s=20, quiet_s=20)
    threading.Timer(0.1, call.cancel).start()
    began = time.monotonic()
    assert refused(200, map(wait, [1]), call).code == "upstream.cancelled"
    assert time.monotonic() - began < 10


def test_nobody_listens():
    with pytest.raises(Fault) as caught:
        ask("http://127.0.0.1:9")
    assert caught.value.code == "upstream.unreachable"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "127.0.0.1:80",
        "ftp://x",
        "http://",
        "http://a:b@host",
        "http://host?x",
        "http://host:99999",
        "http://h\u00f6st",
    ],
)
def test_what_is_no_place_is_refused(url):
    with pytest.raises(Refusal) as caught:
        Wire(url)
    assert caught.value.code == "upstream.bad-url"


def test_a_key_of_several_lines_is_refused():
    with pytest.raises(Refusal) as caught:
        Wire("http://host", "a\r\nX: y")
    assert caught.value.code == "upstream.bad-key"


@given(st.binary(max_size=200))
def test_a_decoder_returns_or_faults(data):
    with contextlib.suppress(Fault):
        assert isinstance(decode_reply(data, Reply), Reply)
