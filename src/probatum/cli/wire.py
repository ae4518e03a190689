"""One exchange with a party: a message out, a message back, and the command goes on.

A command asks little and waits for it, so this is the standard library's blocking client: no
event loop, no start-up to speak of. Parties and the SDK use `probatum.client.transport`. Must not
know what messages mean.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final
from urllib.parse import urlsplit

import msgspec

from probatum.errors import Fault, Refusal
from probatum.protocol import limits
from probatum.protocol.frames import FrameReader, encode_frame
from probatum.protocol.messages import Message, Refused

__all__ = ["exchange", "fetch", "fetch_pieces"]

_FRAMES: Final = "application/x-probatum-frames"
_PIECE_BYTES: Final = 256 * limits.KIB
_TIMEOUT_S: Final = 30.0


class _Problem(msgspec.Struct, frozen=True, kw_only=True):
    """What a door says no with (RFC 9457); members that are not named here are left."""

    code: str = "wire.unexplained"
    detail: str = ""
    title: str = ""
    hint: str = ""


def exchange(endpoint: str, message: Message, *, timeout_s: float = _TIMEOUT_S) -> Message:
    """Send one message and return the first reply.

    Args:
        endpoint: ``http://host:port`` of a party.
        message: What to say.
        timeout_s: How long to wait for each part of the reply.

    Raises:
        Refusal: With the code of whoever refused; `wire.bad-address`, `wire.no-party`.
        Fault: `wire.unreachable`, `wire.timeout`, `wire.broken`; with the code of whoever refused
            for the moment.
    """
    headers = {"Content-Type": _FRAMES, "Accept": _FRAMES}
    with _open(endpoint, "POST", "/message", encode_frame(message), headers, timeout_s) as response:
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
    parts = urlsplit(url)
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
) -> Iterator[http.client.HTTPResponse]:
    """Send a request and give its response; every failure of the world becomes a Fault."""
    connection = _connect(endpoint, timeout_s)
    try:
        connection.request(method, path, body=body, headers=headers)
        yield connection.getresponse()
    except TimeoutError:
        raise Fault(
            "wire.timeout",
            f"{endpoint} did not answer within {timeout_s:g} s",
            hint="it may be busy: wait longer, or see its log",
        ) from None
    except (ConnectionResetError, http.client.HTTPException):
        raise Fault("wire.broken", f"{endpoint} broke off in the middle of its answer") from None
    except OSError as error:
        why = error.strerror or str(error)
        raise Fault(
            "wire.unreachable",
            f"nobody answers at {endpoint}: {why}",
            hint="is `probatum up` running, or the address another?",
        ) from None
    finally:
        connection.close()


def _connect(endpoint: str, timeout_s: float) -> http.client.HTTPConnection:
    parts = urlsplit(endpoint)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if host is None or parts.scheme not in {"http", "https"} or parts.path not in {"", "/"}:
        raise Refusal(
            "wire.bad-address",
            f"{endpoint[:200]!r} is no address of a party",
            hint="scheme, host and port: http://127.0.0.1:8080",
        )
    if parts.scheme == "https":
        context = ssl.create_default_context()
        return http.client.HTTPSConnection(host, port, timeout=timeout_s, context=context)
    return http.client.HTTPConnection(host, port, timeout=timeout_s)


def _explain(endpoint: str, response: http.client.HTTPResponse) -> Refusal | Fault:
    """Make an error of a response that is none of what was asked for."""
    try:
        problem = msgspec.json.decode(response.read(_PIECE_BYTES), type=_Problem)
    except (msgspec.MsgspecError, UnicodeDecodeError):
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
