"""The inference node's door: hand-overs, its log as C2SP tlog-tiles, the packages that it runs.

Thin. Whoever fetches a package holds its bytes to the digest, so they are not checked again here.
Read next: `machine`, `probatum.nodes.shell.front`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, Protocol

from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from probatum.errors import Misuse, Refusal
from probatum.hub.package import Package
from probatum.nodes.shell.drive import Driver
from probatum.nodes.shell.front import FrontDoor, MessageEndpoint, ask_party
from probatum.nodes.shell.intake import Intake
from probatum.nodes.shell.pages import BYTES_TYPE, Page, Shown, make_health, send_file
from probatum.protocol.eip712 import Domain
from probatum.protocol.hexes import digest_from_hex
from probatum.protocol.messages import (
    CancelWork,
    GetLogFile,
    GetManifest,
    GetTab,
    GotLogFile,
    HandOverLogprobs,
    HandOverWork,
)
from probatum.protocol.notes import key_text, log_origin
from probatum.protocol.primitives import Address, Digest, OperatingKey

__all__ = ["LogKeys", "make_app"]

_WORK: Final = (HandOverWork, HandOverLogprobs)
_KINDS: Final = (*_WORK, CancelWork, GetLogFile, GetManifest, GetTab)
_TEXT: Final = b"text/plain; charset=utf-8"
_SESSION_DIGITS: Final = 18
_PATH_CHARS: Final = 200
_SENT_AT_ONCE: Final = 8
"""Files of packages on their way at one time."""


class LogKeys(Protocol):
    """What the door reads of the node's machine."""

    @property
    def is_ready(self) -> bool:
        """Whether it takes work."""
        ...

    @property
    def session_keys(self) -> tuple[tuple[int, OperatingKey], ...]:
        """Its log sessions with the keys that speak for them, oldest first."""
        ...


def make_app(
    driver: Driver,
    *,
    machine: LogKeys,
    packages: Mapping[Digest, Package],
    domain: Domain,
    operator: Address,
) -> ASGIApp:
    """Make the door of an inference node."""
    intake = Intake()
    log = _LogPages(driver, machine, partial(log_origin, domain, operator))
    shelf = _PackagePages(packages)
    return FrontDoor(
        exact={
            "/message": MessageEndpoint(driver, intake, _KINDS),
            "/handover": MessageEndpoint(driver, intake, _WORK),
            "/healthz": make_health(lambda: machine.is_ready),
            "/log/key": Page(log.show_keys),
        },
        routes=(
            Route("/log/{session}/{path:path}", Page(log.show_file)),
            Route("/packages/{digest}/manifest", Page(shelf.show_manifest)),
            Route("/packages/{digest}/signature", Page(shelf.show_signature)),
            Route("/packages/{digest}/files/{path:path}", shelf),
        ),
    )


class _LogPages:
    def __init__(self, driver: Driver, machine: LogKeys, get_origin: Callable[[int], str]) -> None:
        self._driver = driver
        self._machine = machine
        self._get_origin = get_origin

    async def show_file(self, scope: Scope) -> Shown:
        session, path = scope["path_params"]["session"], scope["path_params"]["path"]
        if not (session.isascii() and session.isdigit()) or len(session) > _SESSION_DIGITS:
            raise Refusal("log.unknown-session", "a session is a decimal number")
        if len(path) > _PATH_CHARS:
            raise Refusal("tile.not-there", "no file of a log has so long a path")
        got = await ask_party(self._driver, scope, GetLogFile(session=int(session), path=path))
        if not isinstance(got, GotLogFile):
            raise Misuse("inference.not-a-file", "GetLogFile was answered by something else")
        return Shown(body=got.data, content_type=_TEXT if path == "checkpoint" else BYTES_TYPE)

    async def show_keys(self, _: Scope) -> Shown:
        """One verifier key a line, as Go's note package reads it; oldest session first."""
        lines = [
            key_text(self._get_origin(session), key) + "\n"
            for session, key in self._machine.session_keys
        ]
        return Shown(body="".join(lines).encode(), content_type=_TEXT)


class _PackagePages:
    def __init__(self, packages: Mapping[Digest, Package]) -> None:
        self._packages = packages
        self._sending = 0

    async def show_manifest(self, scope: Scope) -> Shown:
        return Shown(body=self._find(scope).manifest_bytes)

    async def show_signature(self, scope: Scope) -> Shown:
        signature = self._find(scope).signature
        if signature is None:
            raise Refusal("package.not-signed", "this node's copy of the package has no signature")
        return Shown(body=signature)

    async def __call__(self, scope: Scope, _: Receive, send: Send) -> None:
        if scope["method"] not in {"GET", "HEAD"}:
            raise Refusal("door.wrong-method", "this path is only for GET")
        package, path = self._find(scope), scope["path_params"]["path"]
        sizes = {entry.path: entry.size for entry in package.manifest.files}
        if path not in sizes:
            raise Refusal("package.not-here", "the package has no such file")
        if self._sending >= _SENT_AT_ONCE:
            raise Refusal("door.busy", "enough files are on their way", hint="try again later")
        self._sending += 1
        try:
            await send_file(package.folder / path, sizes[path], scope, send)
        finally:
            self._sending -= 1

    def _find(self, scope: Scope) -> Package:
        try:
            package = self._packages.get(digest_from_hex(scope["path_params"]["digest"]))
        except Refusal:
            package = None
        if package is None:
            raise Refusal("package.not-here", "this node does not have the package")
        return package
