"""How a no looks in HTTP: one table from codes to statuses, one JSON form (RFC 9457).

The table is the only place where a status is chosen for a code; the longest prefix wins. Must not
know routes.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import msgspec

from probatum.errors import Fault, Misuse, ProbatumError, Refusal
from probatum.protocol.messages import Refused
from probatum.protocol.primitives import RequestId

__all__ = [
    "PROBLEM_TYPE",
    "STATUSES",
    "PartyRefusal",
    "TryLater",
    "encode_problem",
    "get_headers",
    "get_status",
]

PROBLEM_TYPE: Final = b"application/problem+json"

STATUSES: Final[tuple[tuple[str, int], ...]] = (
    # The door itself
    ("door.no-key", 401),
    ("door.unknown-key", 401),
    ("door.revoked-key", 403),
    ("door.no-such-path", 404),
    ("door.wrong-method", 405),
    ("door.too-slow", 408),
    ("door.too-large", 413),
    ("door.wrong-type", 415),
    ("door.too-many-at-once", 429),
    ("door.too-often", 429),
    ("door.long-head", 431),
    ("door.gone", 499),
    ("door.busy", 503),
    ("door.stopping", 503),
    ("door.out-of-time", 504),
    # Sizes
    ("encoding.too-large", 413),
    ("frame.too-large", 413),
    ("gateway.too-large", 413),
    ("node.answer-too-large", 413),
    ("oip.too-large", 413),
    ("openai.too-large", 413),
    ("tokens.too-large", 413),
    ("runtime.too-large", 413),
    ("tensor.too-large", 413),
    # What is not there
    ("full.no-such-height", 404),
    ("full.unknown-transaction", 404),
    ("gateway.unknown-model", 404),
    ("gateway.unknown-request", 404),
    ("log.unknown-session", 404),
    ("package.not-here", 404),
    ("package.not-signed", 404),
    ("tile.not-there", 404),
    # What was understood and cannot be done
    ("gateway.answered-before", 409),
    ("gateway.no-salt", 409),
    ("gateway.other-request", 409),
    ("ledger.", 422),
    ("log.", 409),
    ("mempool.", 422),
    ("oip.not-finite", 422),
    ("schema.", 422),
    ("template.", 422),
    ("template.too-many-messages", 400),
    ("tokens.bad-tokenizer", 422),
    ("transaction.", 422),
    # What may be otherwise in a moment
    ("full.busy", 503),
    ("full.pending", 503),
    ("full.stopping", 503),
    ("gateway.", 503),
    ("gateway.deadline", 504),
    ("gateway.wrong-message", 400),
    ("mempool.expired", 503),
    ("mempool.full", 503),
    ("node.", 503),
    ("node.wrong-message", 400),
    ("runtime.", 503),
)
"""(code or its beginning, HTTP status); a refusal that is not listed is a 400."""

_BY_PREFIX: Final = tuple(sorted(STATUSES, key=lambda row: -len(row[0])))


class TryLater(Refusal):
    """No for now.

    Attributes:
        after_s: When asking again may help, in seconds.
    """

    def __init__(self, code: str, message: str, *, after_s: int) -> None:
        """Make it with a hint that says when."""
        super().__init__(code, message, hint=f"ask again in {after_s} s")
        self.after_s = after_s


class PartyRefusal(ProbatumError):
    """A party's `Refused`, on its way through a door.

    Attributes:
        refused: The message itself.
    """

    def __init__(self, refused: Refused) -> None:
        """Wrap a message."""
        super().__init__(refused.code, refused.message, hint=refused.hint)
        self.refused = refused

    @classmethod
    def from_refusal(cls, refusal: Refusal, request_id: RequestId) -> PartyRefusal:
        """Join a refusal made at the door with the request that it is about."""
        return cls(
            Refused(
                code=refusal.code,
                message=refusal.message,
                hint=refusal.hint,
                request_id=request_id,
            )
        )


class _Problem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    type: str
    title: str
    status: int
    detail: str
    code: str
    hint: str = ""
    request_id: str | None = None


def get_status(error: ProbatumError) -> int:
    """Look up the HTTP status of an error."""
    if isinstance(error, Misuse):
        return HTTPStatus.INTERNAL_SERVER_ERROR
    for prefix, status in _BY_PREFIX:
        if error.code.startswith(prefix):
            return status
    if isinstance(error, Fault) or (isinstance(error, PartyRefusal) and error.refused.retryable):
        return HTTPStatus.SERVICE_UNAVAILABLE
    return HTTPStatus.BAD_REQUEST


def get_headers(error: ProbatumError, status: int) -> tuple[tuple[bytes, bytes], ...]:
    """Get the headers that go with a refusal in whatever form: when to come back, and with what."""
    if isinstance(error, TryLater):
        return ((b"retry-after", b"%d" % error.after_s),)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        return ((b"retry-after", b"1"),)
    if status == HTTPStatus.UNAUTHORIZED:
        return ((b"www-authenticate", b"Bearer"),)
    return ()


def encode_problem(error: ProbatumError) -> tuple[int, bytes]:
    """Write an error as a status and an RFC 9457 body."""
    status = get_status(error)
    title = HTTPStatus(status).phrase if status != 499 else "Client Closed Request"
    refused = error.refused if isinstance(error, PartyRefusal) else None
    return status, msgspec.json.encode(
        _Problem(
            type=f"urn:probatum:refusal:{error.code}",
            title=title,
            status=status,
            detail=error.message,
            code=error.code,
            hint=error.hint,
            request_id=None if refused is None else refused.request_id,
        )
    )
