"""One exchange with a party: a message out, a message back, and the command goes on.

A command asks little and waits for it, so this is the standard library's blocking client: no
event loop, no start-up to speak of. Parties and the SDK use `probatum.client.transport`. Must not
know what messages mean.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import msgspec

from probatum.errors import Fault, Refusal
from probatum.protocol import limits
from probatum.protocol.frames import FrameReader, encode_frame
from probatum.protocol.messages import Message, Refused
from probatum.protocol.primitives import Code

__all__ = ["exchange", "fetch", "fetch_pieces"]

_FRAMES: Final = "application/x-probatum-frames"
_PIECE_BYTES: Final = 256 * limits.KIB
_TIMEOUT_S: Final = 30.0
_WHOLE: Final = 4
"""A reply may take so many times as long as a part of it: who trickles would hold us for ever."""


class _Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What a door says no with (RFC 9457); members that are not named here are left."""

    code: Code = "wire.unexplained"
    detail: str = ""
    title: str = ""
    hint: str = ""


def exchange(endpoint: str, message: Message, *, timeout_s: float = _TIMEOUT_S) -> Message:
    """Send one message and return the first reply.

    Args:
        endpoint: ``http://host:port`` of a party.
        message: What to say.
        timeout_s: How long to wait for each part of the reply; for all of it, four times that.

    Raises:
        Refusal: With the code of whoever refused; `wire.bad-address`, `wire.no-party`.
        Fault: `wire.unreachable`, `wire.timeout`, `wire.broken`; with the code of whoever refused
            for the moment.
    """
    headers = {"Content-Type": _FRAMES, "Accept": _FRAMES}
    frame, whole_s = encode_frame(message), _WHOLE * timeout_s
    with _open(endpoint, "POST", "/message", frame, headers, timeout_s, whole_s) as response:
        if response.status != HTTPStatus.OK:
            raise _explain(endpoint, response)
        if response.headers.get_content_type() != _FRAMES:
            raise Refusal("wire.no-party", f"{endpoint} is no party of a Probatum network")
        reader = FrameReader()
        while data := response.read1(_PIECE_BYTES):
            for reply in reader.feed(data):
                return _take(reply)
        raise Fault("wire.broken", f"{endpoint} said nothing before it closed the connection")


def fetch(url: str, limit_bytes: int, *, timeout_s: float = _TIMEOUT_S) -> bytes:
    """Get the body behind an address; errors as `exchange`."""
    return b"".join(fetch_pieces(url, limit_bytes, timeout_s=timeout_s))


def fetch_pieces(url: str, limit_bytes: int, *, timeout_s: float = _TIMEOUT_S) -> Iterator[bytes]:
    """Get the body behind an address piece by piece; at most `limit_bytes` and one more piece.

    Raises:
        Refusal, Fault: as `exchange`; `wire.too-large`.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise _bad_address(url) from None
    endpoint = f"{parts.scheme}://{parts.netloc}"
    size = 0
    with _open(endpoint, "GET", parts.path, None, {}, timeout_s) as response:
        if response.status not in {HTTPStatus.OK, HTTPStatus.ACCEPTED}:
            raise _explain(endpoint, response)
        while data := response.read1(_PIECE_BYTES):
            size += len(data)
            if size > limit_bytes:
                raise Fault(
                    "wire.too-large", f"{url} gives more than {limit_bytes} bytes", retryable=False
                )
            yield data


@contextmanager
def _open(
    endpoint: str,
    method: str,
    path: str,
    body: bytes | None,
    headers: dict[str, str],
    timeout_s: float,
    whole_s: float | None = None,
) -> Iterator[http.client.HTTPResponse]:
    """Send a request and give its response; every failure of the world becomes a Fault."""
    connection = _connect(endpoint, timeout_s)
    is_late, end = threading.Event(), None
    try:
        connection.connect()
        if whole_s is not None:
            end = threading.Timer(whole_s, _hang_up, (connection.sock, is_late))
            end.daemon = True
            end.start()
        connection.request(method, path, body=body, headers=headers)
        with connection.getresponse() as response:  # it may hold the line alone
            yield response
    except TimeoutError:
        raise _late(endpoint, timeout_s) from None
    except (ConnectionResetError, http.client.HTTPException):
        if is_late.is_set():
            raise _late(endpoint, whole_s) from None
        raise Fault("wire.broken", f"{endpoint} broke off in the middle of its answer") from None
    except (Fault, Refusal):
        # What was cut off on this side may look like anything.
        if is_late.is_set():
            raise _late(endpoint, whole_s) from None
        raise
    except OSError as error:
        why = error.strerror or str(error)
        raise Fault(
            "wire.unreachable",
            f"nobody answers at {endpoint}: {why}",
            hint="is `probatum up` running, or the address another?",
        ) from None
    finally:
        if end is not None:
            end.cancel()
        connection.close()


def _hang_up(line: socket.socket, is_late: threading.Event) -> None:
    """End a connection under whoever reads from it; TLS needs no farewell then."""
    is_late.set()
    with suppress(OSError):
        socket.socket.shutdown(line, socket.SHUT_RDWR)


def _late(endpoint: str, seconds: float | None) -> Fault:
    return Fault(
        "wire.timeout",
        f"{endpoint} did not answer within {seconds:g} s",
        hint="it may be busy: wait longer, or see its log",
    )


def _connect(endpoint: str, timeout_s: float) -> http.client.HTTPConnection:
    try:
        parts = urlsplit(endpoint)
        host, port = parts.hostname or "", parts.port
        host.encode("idna")  # as resolving does
        if not host or parts.scheme not in {"http", "https"} or parts.path not in {"", "/"}:
            raise _bad_address(endpoint)
        if parts.scheme == "https":
            context = ssl.create_default_context()
            return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
        return http.client.HTTPConnection(host, port, timeout=timeout_s)
    except (ValueError, http.client.InvalidURL):
        raise _bad_address(endpoint) from None


def _bad_address(text: str) -> Refusal:
    return Refusal(
        "wire.bad-address",
        f"{text[:200]!r} is no address of a party",
        hint="scheme, host and port: http://127.0.0.1:8080",
    )


def _explain(endpoint: str, response: http.client.HTTPResponse) -> Refusal | Fault:
    """Make an error of a response that is none of what was asked for."""
    try:
        problem = msgspec.json.decode(response.read(_PIECE_BYTES), type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        problem = _Problem()
    what = problem.detail or problem.title or f"HTTP status {response.status}"
    if response.status >= HTTPStatus.INTERNAL_SERVER_ERROR or (
        response.status == HTTPStatus.TOO_MANY_REQUESTS
    ):
        return Fault(problem.code, f"{endpoint}: {what}", hint=problem.hint)
    return Refusal(problem.code, f"{endpoint}: {what}", hint=problem.hint)


def _take(reply: Message) -> Message:
    if not isinstance(reply, Refused):
        return reply
    hint = reply.hint
    if reply.request_id is not None:
        hint = f"{hint} The request has records: probatum blame {reply.request_id}".strip()
    if reply.retryable:
        raise Fault(reply.code, reply.message, hint=hint)
    raise Refusal(reply.code, reply.message, hint=hint)
