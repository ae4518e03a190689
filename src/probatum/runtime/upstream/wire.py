"""HTTP to an engine: bounded bytes, bounded time, no redirects, nothing kept open.

Whatever an engine says is a stranger's: length, pace and form are bounded before anything is
parsed. Must not know what is asked.
"""

from __future__ import annotations

import http.client
import ssl
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, TypeVar

import msgspec

from probatum.errors import Fault, Refusal
from probatum.protocol import limits
from probatum.runtime.upstream.call import Call
from probatum.runtime.upstream.contract import refuse_reply

__all__ = ["REPLY_BYTES", "Wire", "decode_reply"]

REPLY_BYTES: Final = 16 * limits.MIB
_EVENT_BYTES: Final = limits.MIB
_PIECE_BYTES: Final = 64 * limits.KIB
_WORDS_BYTES: Final = 2 * limits.KIB
"""Of what is said with an error, to be shown."""

V = TypeVar("V")


class Wire:
    """The way to one engine."""

    def __init__(self, url: str, secret: str | None = None) -> None:
        """Take the engine's place.

        Args:
            url: ``http://`` or ``https://``, host, perhaps port and path; what follows the path is
                each adapter's.
            secret: A key that the engine asks for, sent as a bearer token.

        Raises:
            Refusal: `upstream.bad-url`, `upstream.bad-key`.
        """
        try:
            parts = urllib.parse.urlsplit(url)
            port = parts.port
        except ValueError:
            raise _refuse_url(url) from None
        odd = parts.username or parts.password or parts.query or parts.fragment
        if parts.scheme not in ("http", "https") or not parts.hostname or odd or not url.isascii():
            raise _refuse_url(url)
        if secret is not None and (not secret.isascii() or not secret.isprintable()):
            raise Refusal(
                "upstream.bad-key",
                "a key for an upstream engine is one line of ASCII",
                hint="write the key alone into its file",
            )
        self._host, self._port, self._path = parts.hostname, port, parts.path.rstrip("/")
        self._tls = ssl.create_default_context() if parts.scheme == "https" else None
        self._headers = {"Content-Type": "application/json", "Connection": "close"}
        if secret is not None:
            self._headers["Authorization"] = f"Bearer {secret}"

    def get(self, path: str, call: Call, kind: type[V]) -> V:
        """Ask for a document. Raises Fault `upstream.*`."""
        with self._open("GET", path, b"", call) as response:
            return decode_reply(b"".join(self._read(response, call)), kind)

    def post(self, path: str, body: Mapping[str, object], call: Call, kind: type[V]) -> V:
        """Ask a question and read the whole reply. Raises Fault `upstream.*`."""
        with self._open("POST", path, msgspec.json.encode(body), call) as response:
            return decode_reply(b"".join(self._read(response, call)), kind)

    def stream(
        self, path: str, body: Mapping[str, object], call: Call, kind: type[V]
    ) -> Iterator[V]:
        """Ask a question and read server-sent events until ``[DONE]`` or the end.

        Raises:
            Fault: `upstream.*`.
        """
        with self._open("POST", path, msgspec.json.encode(body), call) as response:
            for data in _split_events(self._read(response, call)):
                if data == b"[DONE]":
                    return
                yield decode_reply(data, kind)

    @contextmanager
    def _open(
        self, method: str, path: str, body: bytes, call: Call
    ) -> Iterator[http.client.HTTPResponse]:
        wait = call.check()
        make: Any = http.client.HTTPConnection
        options: dict[str, Any] = {"timeout": wait}
        if self._tls is not None:
            make, options["context"] = http.client.HTTPSConnection, self._tls
        line: http.client.HTTPConnection = make(self._host, self._port, **options)
        try:
            line.connect()
            call.attach(line.sock)
            line.request(method, self._path + path, body=body, headers=self._headers)
            response = line.getresponse()
            if response.status != 200:
                raise _make_refused(response.status, response.read(_WORDS_BYTES))
            yield response
        except TimeoutError:
            call.check()
            raise _make_unreachable("it said nothing for too long") from None
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            # A line that was cut in the middle of a TLS record shows itself in all these ways.
            call.check()
            raise _make_unreachable(f"{type(error).__name__}: {error}"[:200]) from None
        finally:
            call.detach()
            line.close()

    def _read(self, response: http.client.HTTPResponse, call: Call) -> Iterator[bytes]:
        count = 0
        while True:
            call.check()
            piece = response.read1(_PIECE_BYTES)
            if not piece:
                break
            count += len(piece)
            if count > REPLY_BYTES:
                raise refuse_reply(f"it is longer than {REPLY_BYTES} bytes")
            yield piece
        call.check()
        if response.length:
            raise refuse_reply("it breaks off")


def _split_events(pieces: Iterator[bytes]) -> Iterator[bytes]:
    """Give the data of server-sent events, each of one line, as all these engines send them."""
    rest = bytearray()
    for piece in pieces:
        rest += piece
        *lines, last = bytes(rest).split(b"\n")
        rest = bytearray(last)
        if len(rest) > _EVENT_BYTES or any(len(line) > _EVENT_BYTES for line in lines):
            raise refuse_reply(f"an event is longer than {_EVENT_BYTES} bytes")
        for line in lines:
            if line.startswith(b"data:"):
                yield line[5:].strip()


def decode_reply(data: bytes, kind: type[V]) -> V:
    """Decode JSON of which only the named fields matter. Raises Fault `upstream.bad-reply`."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise refuse_reply(f"{error}"[:200]) from None


def _refuse_url(url: str) -> Refusal:
    return Refusal(
        "upstream.bad-url",
        f"{url[:100]!r} is no place of an engine",
        hint="write it like http://127.0.0.1:8080 or https://api.example.org/path",
    )


class _Error(msgspec.Struct):
    message: str = ""


class _ErrorReply(msgspec.Struct):
    error: _Error | str


def _make_refused(status: int, data: bytes) -> Fault:
    words = ""
    try:
        said = msgspec.json.decode(data, type=_ErrorReply).error
        words = said if isinstance(said, str) else said.message
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass  # what is no such document is not shown
    shown = "".join(char if char.isprintable() else " " for char in words[:200])
    return Fault(
        "upstream.refused",
        f"the upstream engine answered {status}{': ' if shown else ''}{shown}",
        hint="its own log says more",
        retryable=status >= 500 or status == 429,
    )


def _make_unreachable(why: str) -> Fault:
    return Fault(
        "upstream.unreachable",
        f"the upstream engine is not reached: {why}",
        hint="start it, or correct its place in node.toml",
    )
