"""What a stranger's door does to a command that asks there ends in errors of ours, and in time."""

import contextlib
import socket
import threading
import time

import pytest

from probatum.cli.wire import exchange, fetch
from probatum.errors import Fault, Refusal
from probatum.protocol.messages import GetStatus

OK = b"HTTP/1.1 200 OK\r\n"
FRAMES = OK + b"Content-Type: application/x-probatum-frames\r\n"
CHUNKED = FRAMES + b"Transfer-Encoding: chunked\r\n\r\n"


@contextlib.contextmanager
def serve(*pieces, again=b"", pause_s=0.02):
    """Answer one request by these bytes, then by some again and again, until it hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(10)

    def answer():
        with contextlib.suppress(OSError):
            line, _ = listener.accept()
            with line:
                line.recv(65_536)
                for piece in pieces:
                    line.sendall(piece)
                while again:
                    line.sendall(again)
                    time.sleep(pause_s)
                # Whoever closes before it has read all takes back what it said.
                line.shutdown(socket.SHUT_WR)
                while line.recv(65_536):
                    pass

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    listener.close()
    thread.join(10)
    assert not thread.is_alive()


@pytest.mark.parametrize(
    ("pieces", "again"),
    [
        ((OK,), b"X-A: b\r\n"),
        ((OK, b"X-A: "), b"b"),
        ((), b"HTTP/1.1 100 Continue\r\n\r\n"),
        ((FRAMES, b"\r\n", b"\x00\x0f\xff\xff"), b"\x00"),
        ((CHUNKED, b"4\r\n\x00\x0f\xff\xff\r\n"), b"1\r\n\x00\r\n"),
        ((CHUNKED, b"1;"), b"x"),
    ],
    ids=["head", "line", "continue", "frame", "chunks", "chunk head"],
)
def test_who_trickles_holds_nobody(pieces, again):
    with serve(*pieces, again=again) as endpoint:
        began = time.monotonic()
        with pytest.raises(Fault) as caught:
            exchange(endpoint, GetStatus(), timeout_s=0.2)
        assert caught.value.code == "wire.timeout"
        assert time.monotonic() - began < 5


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\x00" * 100,
        b"HTTP/1.1 abc\r\n\r\n",
        FRAMES + b"Content-Length: -1\r\n\r\n",
        FRAMES + b"Content-Length: 99999999999999999999999\r\n\r\nx",
        CHUNKED + b"-5\r\nxxxxx\r\n",
        CHUNKED + b"zz\r\n",
        CHUNKED + b"FFFFFFFFFFFFFFFFFFFFFFFFFF\r\nxx",
        CHUNKED + b"4\r\n\xff\xff\xff\xff\r\n",
        OK + b"Content-Type: ;;=\xff\r\n\r\n",
        b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/message\r\n\r\n",
        b'HTTP/1.1 400 No\r\n\r\n{"x":' + b"[" * 200_000,
        b"HTTP/1.1 500 No\r\n\r\n\xff",
        b'HTTP/1.1 400 No\r\n\r\n{"code":"\\u001b[2J","detail":"d"}',
    ],
)
def test_odd_answers_end_in_errors_of_ours(answer):
    with serve(answer) as endpoint, pytest.raises((Fault, Refusal)) as caught:
        exchange(endpoint, GetStatus(), timeout_s=2)
    assert caught.value.code.startswith(("wire.", "frame.", "encoding."))


@pytest.mark.parametrize(
    "endpoint",
    ["http://[::1", "http://a..b:1", "http://" + "a" * 64, "http://\x00:1", "http://:1", "x"],
)
def test_an_odd_address_is_an_error_of_ours(endpoint):
    for call in (lambda: exchange(endpoint, GetStatus()), lambda: fetch(endpoint + "/x", 10)):
        with pytest.raises(Refusal) as caught:
            call()
        assert caught.value.code == "wire.bad-address"
