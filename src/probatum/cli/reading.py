"""Reads the ledger for a command: records, headers, listings, proven wherever a trust file is.

With a trust file every record is proven against a signed header before it is shown; without one
it is the word of the full node that was asked, and commands say so. Must not know how records are
printed (`describing`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from probatum.cli.settings import Common
from probatum.cli.wire import exchange
from probatum.consensus.trusting import Believed, believe, find_way
from probatum.errors import Fault, Refusal
from probatum.protocol import limits, records
from probatum.protocol.encoding import LedgerValue, decode, decode_document
from probatum.protocol.headers import SignedHeader
from probatum.protocol.mapproof import StateProof, check_state_proof
from probatum.protocol.messages import (
    GetHeader,
    GetState,
    GotHeader,
    GotState,
    ListedState,
    ListState,
    Message,
    StateItem,
)
from probatum.protocol.parties import ModelName, ModelVersion
from probatum.protocol.trust import Trust

__all__ = [
    "Proven",
    "ask_header",
    "find_model",
    "get_header",
    "get_record",
    "get_value",
    "list_records",
    "reach_header",
    "split_model",
    "take",
]

R = TypeVar("R", bound=LedgerValue)
M = TypeVar("M")
_PROOF_BYTES: Final = 4 * limits.STATE_VALUE_BYTES
_PAGE: Final = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class Proven:
    """A value of the state at a height.

    Attributes:
        value: None if the state holds nothing under the key.
        proof: Canonical JSON of the proof, empty if none was asked for.
        is_proven: Whether it was checked under the trust file; else it is somebody's word.
    """

    key: bytes
    value: bytes | None
    header: SignedHeader
    proof: bytes
    is_proven: bool

    def describe_standing(self) -> str:
        """Say how far this can be believed."""
        height = self.header.header.height
        if self.is_proven:
            return f"proven against the header of height {height}"
        return f"not proven (no trust file): the full node's word, at height {height}"


def take(kind: type[M], reply: Message) -> M:
    """Take a reply for what it must be. Raises Fault `wire.wrong-reply`."""
    if not isinstance(reply, kind):
        raise Fault("wire.wrong-reply", f"a {type(reply).__name__} came where another was due")
    return reply


def get_header(common: Common, height: int = 0) -> SignedHeader:
    """Get a header, the last one for height 0; checked if a trust file was named.

    Raises:
        Refusal: `trust.*`, `ed25519.bad-signature`, and the full node's.
        Fault: `wire.*`.
    """
    signed = ask_header(common.get_ledger(), height)
    if (trust := common.find_trust()) is not None:
        reach_header(common.get_ledger(), trust, signed)
    if height and signed.header.height != height:
        raise Fault("wire.wrong-reply", f"another header than that of height {height} came")
    return signed


def ask_header(ledger: str, height: int) -> SignedHeader:
    """Ask a full node for a header, the last one for height 0; unchecked."""
    return take(GotHeader, exchange(ledger, GetHeader(height=height))).header


def reach_header(ledger: str, trust: Trust, signed: SignedHeader) -> Believed:
    """Check a header by this machine's clock, by headers between if one step does not lead there.

    Raises:
        Refusal: `trust.*`, `light.*`, `ed25519.bad-signature`, and the full node's.
        Fault: `wire.*`.
    """
    way = find_way(believe(trust), signed, time.time_ns() // 1_000_000)
    try:
        height = next(way)
        while True:
            height = way.send(ask_header(ledger, height))
    except StopIteration as end:
        found: Believed = end.value
        return found


def get_value(common: Common, key: bytes, *, prove: bool = True) -> Proven:
    """Get what the state holds under a key, proven if a trust file was named.

    Args:
        common: Where to ask, and whom to trust.
        key: The key.
        prove: Whether to ask for a proof where nobody will check it here.

    Raises:
        Refusal: `trust.*`, `mapproof.*`, `encoding.*`, and the full node's.
        Fault: `wire.*`.
    """
    trust = common.find_trust()
    wanted = GetState(keys=(key,), prove=prove or trust is not None)
    got = take(GotState, exchange(common.get_ledger(), wanted))
    if len(got.items) != 1 or got.items[0].key != key:
        raise Fault("wire.wrong-reply", "the full node answered for another key")
    item = got.items[0]
    if trust is not None:
        reach_header(common.get_ledger(), trust, got.header)
        proof = decode_document(StateProof, item.proof, limit_bytes=_PROOF_BYTES)
        if check_state_proof(got.header.header.state_root, key, proof) != item.value:
            raise Refusal("reading.other-value", "the proof is of another value than was given")
    return Proven(
        key=key,
        value=item.value,
        header=got.header,
        proof=item.proof,
        is_proven=trust is not None,
    )


def get_record(common: Common, key: bytes, kind: type[R]) -> tuple[R | None, Proven]:
    """Get a record and how far it can be believed; errors as `get_value`."""
    got = get_value(common, key, prove=False)
    if got.value is None:
        return None, got
    return decode(kind, got.value, limit_bytes=limits.STATE_VALUE_BYTES), got


def list_records(common: Common, prefix: bytes) -> Iterator[StateItem]:
    """List all records under a prefix in key order; listings are never proven."""
    after, more = b"", True
    while more:
        wanted = ListState(prefix=prefix, after=after, limit=_PAGE)
        page = take(ListedState, exchange(common.get_ledger(), wanted))
        yield from page.items
        if page.more and (not page.items or page.items[-1].key <= after):
            raise Fault("wire.wrong-reply", "a listing that does not go on")
        more, after = page.more, page.items[-1].key if page.items else b""


def split_model(text: str) -> tuple[ModelName, ModelVersion | None]:
    """Split ``name`` or ``name@version``."""
    name, _, version = text.partition("@")
    return name, version or None


def find_model(common: Common, text: str) -> tuple[records.ModelRecord, Proven]:
    """Find ``name`` (its newest version) or ``name@version`` in the ledger, proven if it can be.

    Which version is the newest is the full node's word; that it exists is proven.

    Raises:
        Refusal: `model.unknown`, and as `get_value`.
    """
    name, version = split_model(text)
    if version is None:
        prefix = records.get_model_key(name, "")
        found: list[Any] = [
            decode(records.ModelRecord, item.value, limit_bytes=limits.STATE_VALUE_BYTES)
            for item in list_records(common, prefix)
            if item.value is not None
        ]
        if not found:
            raise _unknown(text)
        version = max(found, key=lambda record: (record.published_at, record.version)).version
    record, proven = get_record(common, records.get_model_key(name, version), records.ModelRecord)
    if record is None:
        raise _unknown(text)
    return record, proven


def _unknown(text: str) -> Refusal:
    return Refusal(
        "model.unknown",
        f"the ledger knows no model {text[:100]!r}",
        hint="`probatum model list` shows what there is",
    )
