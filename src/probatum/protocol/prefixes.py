"""What is signed about a text before its receipt: prefixes, and cancellations (`TEXT-1`).

A *prefix* is a node's signed word that an answer begins with these tokens, every sixteen of them;
who goes on with the text in its place is shown it. A *cancellation* is a gateway's signed word
that nobody wants more of a text than it has heard: without it, a text that breaks off is wrong.
Neither says a token to who has not the salt. Must not know who sends them.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

from msgspec import Meta

from probatum.errors import Refusal
from probatum.protocol import limits
from probatum.protocol.dsse import Envelope, check_signatures, decode_payload, sign_envelope
from probatum.protocol.ed25519 import OperatingSigner
from probatum.protocol.encoding import Document, decode_document, encode_document
from probatum.protocol.hexes import HexDigest, key_from_hex
from probatum.protocol.parties import Party
from probatum.protocol.primitives import Digest, RequestId, Salt
from probatum.protocol.statements import (
    Statement,
    check_subject,
    compute_record_digest,
    decode_statement,
    encode_statement,
    make_statement,
)
from probatum.protocol.tensors import compute_tensor_root
from probatum.protocol.texts import make_ids

__all__ = [
    "CANCEL_TYPE",
    "PREFIX_TYPE",
    "Cancellation",
    "Prefix",
    "check_cancellation",
    "check_prefix",
    "compute_prefix_root",
    "open_cancellation",
    "open_prefix",
    "sign_cancellation",
    "sign_prefix",
]

PREFIX_TYPE: Final = "urn:probatum:prefix:v1"
CANCEL_TYPE: Final = "urn:probatum:cancel:v1"

Tokens = Annotated[int, Meta(ge=0, le=limits.TEXT_TOKENS)]


class Prefix(Document, frozen=True, kw_only=True):
    """The first tokens of an answer.

    Attributes:
        node: Who chose them, or checked them and goes on.
        custody: Digest of the hand-over under which it works, in hex.
        count: How many.
        root: Salted root of the tensor ``answer`` that has these alone (`SALT-1`).
    """

    request_id: RequestId
    request_digest: HexDigest
    node: Party
    custody: HexDigest
    count: Annotated[int, Meta(ge=1, le=limits.TEXT_TOKENS)]
    root: HexDigest


class Cancellation(Document, frozen=True, kw_only=True):
    """Nobody wants more of this text.

    Attributes:
        by: The gateway that says so.
        seen: Tokens that it had heard: the answer has no fewer.
        reason: ``hung-up``: nobody listens any more; ``enough``: who asked has what was wanted,
            as with a stop string.
    """

    request_id: RequestId
    request_digest: HexDigest
    by: Party
    seen: Tokens
    reason: Literal["hung-up", "enough"]


def compute_prefix_root(salt: Salt, ids: tuple[int, ...]) -> str:
    """Compute what a prefix states of its tokens, in hex."""
    return compute_tensor_root(salt, make_ids("answer", ids)).hex()


def sign_prefix(prefix: Prefix, signer: OperatingSigner) -> bytes:
    """Sign a prefix; return the canonical envelope."""
    statement = make_statement(prefix, PREFIX_TYPE, prefix.request_id, prefix.request_digest)
    return encode_document(sign_envelope(encode_statement(statement), (signer,)))


def open_prefix(data: bytes) -> tuple[Prefix, Digest]:
    """Open a signed prefix: who signed is who it names; whose key that is, the ledger knows.

    Returns:
        The prefix, and the digest of its statement.

    Raises:
        Refusal: `encoding.*`, `dsse.*`, `statement.*`, `text.wrong-signer`.
    """
    envelope = decode_document(Envelope, data, limit_bytes=limits.ENVELOPE_BYTES)
    payload = decode_payload(envelope)
    statement = decode_statement(Statement[Prefix], PREFIX_TYPE, payload)
    prefix = statement.predicate
    check_subject(statement, prefix.request_id, prefix.request_digest)
    if prefix.node.role != "inference":
        raise Refusal("text.wrong-signer", f"a {prefix.node.role} node writes no texts")
    check_signatures(envelope, payload, (key_from_hex(prefix.node.key),))
    return prefix, compute_record_digest(payload)


def check_prefix(prefix: Prefix, request_digest: str, salt: Salt, ids: tuple[int, ...]) -> None:
    """Check that a prefix is about a request and these tokens.

    Args:
        prefix: What `open_prefix` returned.
        request_digest: The request's, in hex.
        salt: The request's.
        ids: Exactly its tokens.

    Raises:
        Refusal: `text.other-prefix`.
    """
    if prefix.request_digest != request_digest:
        raise Refusal("text.other-prefix", "the prefix is of another request's text")
    if prefix.count != len(ids) or prefix.root != compute_prefix_root(salt, ids):
        raise Refusal("text.other-prefix", "these are not the tokens of the prefix")


def sign_cancellation(record: Cancellation, signer: OperatingSigner) -> Envelope:
    """Sign a cancellation."""
    statement = make_statement(record, CANCEL_TYPE, record.request_id, record.request_digest)
    return sign_envelope(encode_statement(statement), (signer,))


def open_cancellation(envelope: Envelope) -> tuple[Cancellation, Digest]:
    """Open a signed cancellation: who signed is who it names.

    Returns:
        The cancellation, and the digest of its statement, which a receipt cites.

    Raises:
        Refusal: `dsse.*`, `statement.*`, `encoding.*`, `text.wrong-signer`.
    """
    payload = decode_payload(envelope)
    statement = decode_statement(Statement[Cancellation], CANCEL_TYPE, payload)
    record = statement.predicate
    check_subject(statement, record.request_id, record.request_digest)
    if record.by.role != "gateway":
        raise Refusal("text.wrong-signer", "only a gateway cancels a text")
    check_signatures(envelope, payload, (key_from_hex(record.by.key),))
    return record, compute_record_digest(payload)


def check_cancellation(record: Cancellation, request_digest: str, giver: Party) -> None:
    """Check that a cancellation is about a request, by who handed it over.

    Raises:
        Refusal: `text.other-cancellation`.
    """
    if record.request_digest != request_digest or record.by != giver:
        raise Refusal(
            "text.other-cancellation", "this cancels another request, or is not by its gateway"
        )
