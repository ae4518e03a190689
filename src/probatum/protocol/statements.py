"""in-toto Statements v1: the common outside of every document that a node signs.

A statement names its subject (the request, by digest) and carries one typed predicate. Its JSON
bytes are the DSSE payload; SHA-256 of those bytes is the record's digest, which later records
cite as `previous` and which the log keeps. Must not know signatures (`dsse`) or the meaning of a
predicate (`receipts`, `custody`). Source: in-toto attestation framework, Statement v1.
"""

from __future__ import annotations

from typing import Annotated, Final, Generic, Literal, TypeVar

import msgspec
from msgspec import Meta

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.encoding import Document, decode_document, encode_document
from probatum.protocol.hashing import sha256
from probatum.protocol.hexes import HexDigest
from probatum.protocol.primitives import Digest, RequestId

__all__ = [
    "STATEMENT_TYPE",
    "Statement",
    "Subject",
    "compute_record_digest",
    "decode_statement",
    "make_statement",
]

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"

P = TypeVar("P", bound=Document)


class SubjectDigest(Document, frozen=True, kw_only=True):
    """The digest set of a subject: one entry, SHA-256."""

    sha256: HexDigest


class Subject(Document, frozen=True, kw_only=True):
    """What a statement is about: a request, by its digest."""

    name: Annotated[str, Meta(max_length=limits.NAME_CHARS)]
    digest: SubjectDigest


class Statement(Document, Generic[P], frozen=True, kw_only=True):
    """An in-toto Statement v1 with one subject and a typed predicate."""

    type: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(name="_type")
    subject: Annotated[tuple[Subject, ...], Meta(min_length=1, max_length=1)]
    predicate_type: Annotated[str, Meta(max_length=limits.NAME_CHARS)] = msgspec.field(
        name="predicateType"
    )
    predicate: P


def _subject_name(request_id: RequestId) -> str:
    return f"request:{request_id}"


def make_statement(
    predicate: P, predicate_type: str, request_id: RequestId, request_digest: HexDigest
) -> Statement[P]:
    """Wrap a predicate in a statement about one request."""
    subject = Subject(name=_subject_name(request_id), digest=SubjectDigest(sha256=request_digest))
    return Statement(
        type=STATEMENT_TYPE,
        subject=(subject,),
        predicate_type=predicate_type,
        predicate=predicate,
    )


def encode_statement(statement: Statement[P]) -> bytes:
    """Encode a statement: the bytes that DSSE signs."""
    return encode_document(statement)


def decode_statement(
    statement_kind: type[Statement[P]], predicate_type: str, payload: bytes
) -> Statement[P]:
    """Decode a DSSE payload as a statement of one predicate type.

    Args:
        statement_kind: ``Statement[ThePredicate]``.
        predicate_type: The URI that the statement must carry.
        payload: The decoded DSSE payload.

    Raises:
        Refusal: `encoding.*`; `statement.wrong-predicate` for another type of document.
    """
    statement = decode_document(statement_kind, payload, limit_bytes=limits.STATEMENT_BYTES)
    if statement.predicate_type != predicate_type:
        raise Refusal(
            "statement.wrong-predicate",
            f"a {statement.predicate_type!r} where a {predicate_type!r} belongs",
        )
    return statement


def check_subject(
    statement: Statement[P], request_id: RequestId, request_digest: HexDigest
) -> None:
    """Check that the subject repeats what the predicate says.

    Raises:
        Refusal: `statement.wrong-subject`.
    """
    subject = statement.subject[0]
    if subject.name != _subject_name(request_id) or subject.digest.sha256 != request_digest:
        raise Refusal("statement.wrong-subject", "the subject is not the predicate's request")


def compute_record_digest(payload: bytes) -> Digest:
    """Compute a record's digest: SHA-256 of its DSSE payload (`LOG-1`)."""
    return sha256(payload)
