"""The full node's door: messages, and the ledger as JSON for people and their tools.

Thin: every path asks the machine by a message. Bytes are lower-case hex in JSON. Must not know
blocks. Read next: `machine`, `probatum.nodes.shell.front`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from starlette.datastructures import QueryParams
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from probatum.errors import Refusal
from probatum.nodes.shell.drive import Driver
from probatum.nodes.shell.front import JSON_TYPE, FrontDoor, MessageEndpoint, ask_party, respond
from probatum.nodes.shell.intake import Intake
from probatum.nodes.shell.pages import Page, Shown, make_health, show_json
from probatum.protocol import limits
from probatum.protocol.hexes import bytes_from_hex, digest_from_hex
from probatum.protocol.messages import (
    Follow,
    GetBlock,
    GetHeader,
    GetOutcome,
    GetState,
    GetStatus,
    ListState,
    Message,
    ReportAttack,
    Submit,
)

__all__ = ["make_app"]

_KINDS: Final = (
    Submit,
    GetOutcome,
    GetState,
    ListState,
    GetHeader,
    GetStatus,
    Follow,
    GetBlock,
    ReportAttack,
)
_FRAME_BYTES: Final = limits.TRANSACTION_BYTES + 64 * limits.KIB
"""The longest message that a full node takes: a transaction, or keys."""
_PAGE: Final = 100
_WAIT_MS: Final = 20_000
_QUERY_BYTES: Final = 4 * limits.KIB


def make_app(driver: Driver, begin: Callable[[Driver], None] = lambda _: None) -> ASGIApp:
    """Make the door of a full node.

    Args:
        driver: Drives its machine.
        begin: Is called first, on the event loop: joins an engine that runs outside.
    """
    begin(driver)
    intake = Intake()
    messages = MessageEndpoint(driver, intake, _KINDS, limit_bytes=_FRAME_BYTES)
    pages = _Pages(driver)
    return FrontDoor(
        exact={
            "/message": messages,
            "/ledger": messages,
            "/healthz": make_health(lambda: True),
            "/status": Page(pages.show_status),
            "/state": Page(pages.show_states),
            "/events": Page(pages.show_events),
            "/transactions": _Transactions(driver, intake),
        },
        routes=(
            Route("/headers/{height}", Page(pages.show_header)),
            Route("/state/{key}", Page(pages.show_state)),
            Route("/transactions/{hash}", Page(pages.show_outcome)),
        ),
    )


class _Transactions:
    """``POST /transactions``: the raw bytes of one; answers when it is in a block."""

    def __init__(self, driver: Driver, intake: Intake) -> None:
        self._driver = driver
        self._intake = intake

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            raise Refusal("door.wrong-method", "transactions are sent by POST")
        limit_bytes = limits.TRANSACTION_BYTES
        body = await self._intake.read(scope, receive, limit_bytes=limit_bytes)
        try:
            outcome = await ask_party(self._driver, scope, Submit(transaction=body))
        finally:
            self._intake.release(len(body))
        shown = show_json(outcome)
        await respond(send, shown.status, shown.body, JSON_TYPE)


class _Pages:
    def __init__(self, driver: Driver) -> None:
        self._driver = driver

    async def _ask(self, scope: Scope, message: Message) -> Shown:
        return show_json(await ask_party(self._driver, scope, message))

    async def show_status(self, scope: Scope) -> Shown:
        return await self._ask(scope, GetStatus())

    async def show_header(self, scope: Scope) -> Shown:
        text = scope["path_params"]["height"]
        return await self._ask(
            scope, GetHeader(height=0 if text == "last" else _read_number(text, "a height"))
        )

    async def show_state(self, scope: Scope) -> Shown:
        key = _read_key(scope["path_params"]["key"])
        prove = _read_query(scope).get("prove") in {"1", "true"}
        return await self._ask(scope, GetState(keys=(key,), prove=prove))

    async def show_states(self, scope: Scope) -> Shown:
        query = _read_query(scope)
        prefix = _read_key(query.get("prefix", ""))
        after = bytes_from_hex(query.get("after", "")[: 2 * limits.STATE_KEY_BYTES])
        limit = _read_number(query.get("limit", str(_PAGE)), "a limit")
        if not 1 <= limit <= _PAGE:
            raise Refusal("door.bad-query", f"limit is from 1 to {_PAGE}")
        return await self._ask(scope, ListState(prefix=prefix, after=after, limit=limit))

    async def show_events(self, scope: Scope) -> Shown:
        query = _read_query(scope)
        after = _read_number(query.get("after", "0"), "a height")
        prefix = query.get("prefix")
        prefixes = () if prefix is None else (_read_key(prefix),)
        return await self._ask(scope, Follow(after=after, prefixes=prefixes, wait_ms=_WAIT_MS))

    async def show_outcome(self, scope: Scope) -> Shown:
        found = digest_from_hex(scope["path_params"]["hash"])
        return await self._ask(scope, GetOutcome(transaction_hash=found))


def _read_query(scope: Scope) -> QueryParams:
    query: bytes = scope["query_string"]
    if len(query) > _QUERY_BYTES:
        raise Refusal("door.bad-query", f"a query has at most {_QUERY_BYTES} bytes")
    return QueryParams(query)


def _read_number(text: str, what: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise Refusal("door.bad-query", f"{what} is a decimal number")
    return int(text)


def _read_key(text: str) -> bytes:
    key = bytes_from_hex(text)
    if not 1 <= len(key) <= limits.STATE_KEY_BYTES:
        raise Refusal("door.bad-query", f"a key or prefix has 1 to {limits.STATE_KEY_BYTES} bytes")
    return key
