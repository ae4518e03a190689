"""Blocks and what came of them: the values between consensus, ledger and those who follow.

Must not know how a block is decided (`probatum.consensus`) or applied (`probatum.ledger`).
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from probatum.protocol import limits
from probatum.protocol.encoding import LedgerValue, encode
from probatum.protocol.headers import SignedHeader
from probatum.protocol.merkle import compute_root, leaf_hash
from probatum.protocol.primitives import Code, Digest, Height, Millis

__all__ = [
    "Block",
    "BlockView",
    "Change",
    "TransactionResult",
    "compute_results_root",
    "compute_transactions_root",
]

StateKey = Annotated[bytes, Meta(min_length=1, max_length=limits.STATE_KEY_BYTES)]
StateValue = Annotated[bytes, Meta(max_length=limits.STATE_VALUE_BYTES)]


class Block(LedgerValue, frozen=True, kw_only=True):
    """A decided block: the inputs that every node applies alike.

    `time_ms` is the header time. Proposer, votes, misbehaviour and beacon join these inputs with
    the engine that has them.
    """

    height: Height
    time_ms: Millis
    transactions: Annotated[tuple[bytes, ...], Meta(max_length=limits.BLOCK_TRANSACTIONS)]


class TransactionResult(LedgerValue, frozen=True, kw_only=True):
    """What came of one transaction: ``ok`` or a refusal's code. Only codes enter consensus."""

    code: Code


class Change(LedgerValue, frozen=True, kw_only=True):
    """One record written (or, with no value, deleted) by a block."""

    key: StateKey
    value: StateValue | None


class BlockView(LedgerValue, frozen=True, kw_only=True):
    """What a follower learns of one block: header and changes under the prefixes it asked for."""

    header: SignedHeader
    changes: tuple[Change, ...]


def compute_transactions_root(transactions: tuple[bytes, ...]) -> Digest:
    """Compute the RFC 6962 root over transaction bytes."""
    return compute_root([leaf_hash(data) for data in transactions])


def compute_results_root(results: tuple[TransactionResult, ...]) -> Digest:
    """Compute the RFC 6962 root over encoded results."""
    return compute_root([leaf_hash(encode(result)) for result in results])
