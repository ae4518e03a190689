"""What every dialect's door does alike: let in, read, ask, show what came of it, or refuse.

A dialect says how a body becomes a question and an answer becomes a body; who may ask, how much is
held, and what a refusal carries besides its dialect's form is the same for all. Must not know any
dialect. Read next: `oip`, `openai`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from probatum.errors import Misuse, ProbatumError, Refusal
from probatum.nodes.gateway.doors.headers import RECEIPT, Said, read_said
from probatum.nodes.gateway.doors.models import Catalogue
from probatum.nodes.shell.drive import Driver
from probatum.nodes.shell.front import JSON_TYPE, ask_party, respond
from probatum.nodes.shell.gate import Gate
from probatum.nodes.shell.intake import Intake
from probatum.nodes.shell.problems import PartyRefusal, get_headers, get_status
from probatum.protocol.messages import Answer, Ask
from probatum.protocol.parties import ArithmeticClass
from probatum.protocol.tensors import Tensor

__all__ = ["AskEndpoint", "Dialect", "Door", "DoorParts", "Question", "Written"]

_TIMEOUT_MS: Final = 60_000
"""More patience than a gateway has; it bounds requests itself."""
_CLOSING: Final = frozenset({408, 413})
"""Statuses after which the rest of a body is not worth reading."""

Q = TypeVar("Q")

WriteRefusal: TypeAlias = Callable[[ProbatumError, int], bytes]
"""Writes a refusal as a dialect does: the error, its HTTP status, a JSON body."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DoorParts:
    """What doors are made of.

    Attributes:
        limit_bytes: Body of one request.
    """

    driver: Driver
    models: Catalogue
    intake: Intake
    gate: Gate
    limit_bytes: int


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, whatever the dialect."""

    model: str
    version: str | None
    inputs: tuple[Tensor, ...]
    arithmetic: ArithmeticClass = "float"


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """An answer's body as a dialect writes it; `headers` come besides the receipt's."""

    body: bytes
    content_type: bytes = JSON_TYPE
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Dialect(Protocol[Q]):
    """How a protocol of other people asks and is answered; `Q` is what it keeps of a request."""

    async def read(self, scope: Scope, body: bytes, said: Said) -> tuple[Question, Q]:
        """Read a request. Raises Refusal."""
        ...

    def write(self, question: Question, asked: Q, answer: Answer) -> Written:
        """Write the answer to it. Raises Refusal if it cannot be said so."""
        ...


class Door:
    """Gives an endpoint a dialect's form of refusal."""

    def __init__(self, endpoint: ASGIApp, write: WriteRefusal) -> None:
        """Stand before an endpoint."""
        self._endpoint = endpoint
        self._write = write

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one exchange."""
        try:
            await self._endpoint(scope, receive, send)
        except ProbatumError as error:
            status = get_status(error)
            head = get_headers(error, status)
            refused = error.refused if isinstance(error, PartyRefusal) else None
            if refused is not None and refused.request_id is not None:
                head = (*head, (RECEIPT, refused.request_id.encode()))
            body = self._write(error, status)
            closing = status in _CLOSING
            await respond(send, status, body, JSON_TYPE, headers=head, closing=closing)


class AskEndpoint(Generic[Q]):
    """``POST`` of a request in some dialect, answered in the same."""

    def __init__(self, parts: DoorParts, dialect: Dialect[Q], *, limit_bytes: int) -> None:
        """Make an endpoint that takes bodies of a bounded length."""
        self._parts = parts
        self._dialect = dialect
        self._limit_bytes = limit_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["method"] != "POST":
            raise Refusal("door.wrong-method", "requests are sent by POST")
        with self._parts.gate.enter(scope) as caller:
            question, asked, answer = await self._ask(scope, receive, caller)
            await self._respond(send, question, asked, answer)

    async def _respond(self, send: Send, question: Question, asked: Q, answer: Answer) -> None:
        try:
            written = self._dialect.write(question, asked, answer)
        except Refusal as refusal:
            # The answer exists and is paid for: its bundle can still be asked for.
            raise PartyRefusal.from_refusal(refusal, answer.request_id) from None
        head = ((RECEIPT, answer.request_id.encode()), *written.headers)
        await respond(send, HTTPStatus.OK, written.body, written.content_type, headers=head)

    async def _ask(self, scope: Scope, receive: Receive, caller: str) -> tuple[Question, Q, Answer]:
        said = read_said(scope)
        intake = self._parts.intake
        body = await intake.read(scope, receive, limit_bytes=self._limit_bytes)
        size = len(body)
        try:
            question, asked = await self._dialect.read(scope, body, said)
            del body  # the tensors are copies; what is held is still counted
            ask = Ask(
                model=question.model,
                version=question.version,
                inputs=question.inputs,
                assurance="signed",
                arithmetic=question.arithmetic,
                salt=said.salt,
                nonce=said.nonce,
                request_id=said.request_id,
                timeout_ms=_TIMEOUT_MS,
                node=said.node,
            )
            answer = await ask_party(self._parts.driver, scope, ask, caller)
        finally:
            intake.release(size)
        if not isinstance(answer, Answer):
            raise Misuse("door.not-an-answer", "the gateway answered an Ask by something else")
        return question, asked, answer
