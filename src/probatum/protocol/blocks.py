"""Blocks and what came of them: the values between consensus, ledger and those who follow.

Must not know how a block is decided (`probatum.consensus`) or applied (`probatum.ledger`).
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from probatum.protocol import limits
from probatum.protocol.encoding import LedgerValue, encode
from probatum.protocol.headers import SignedHeader
from probatum.protocol.merkle import compute_root, leaf_hash
from probatum.protocol.primitives import (
    Amount,
    Code,
    ConsensusAddress,
    ConsensusKey,
    Digest,
    Height,
    Millis,
)

__all__ = [
    "Block",
    "BlockView",
    "Change",
    "Misbehaviour",
    "MisbehaviourKind",
    "TransactionResult",
    "ValidatorUpdate",
    "Vote",
    "compute_results_root",
    "compute_transactions_root",
]

StateKey = Annotated[bytes, Meta(min_length=1, max_length=limits.STATE_KEY_BYTES)]
StateValue = Annotated[bytes, Meta(max_length=limits.STATE_VALUE_BYTES)]


MisbehaviourKind: TypeAlias = Literal["duplicate-vote", "light-client-attack"]
"""What an engine of several validators can prove of one (`VAL-1`)."""


class Vote(LedgerValue, frozen=True, kw_only=True):
    """Whether a validator signed the block before, as the proposer of this one heard it."""

    validator: ConsensusAddress
    signed: bool


class Misbehaviour(LedgerValue, frozen=True, kw_only=True):
    """That a validator misbehaved; the engine has checked the proof.

    Attributes:
        height: Where it misbehaved.
        time_ms: Unix time of that height, rounded down.
        power: Its voting power at that height.
        total_power: All voting power at that height.
    """

    kind: MisbehaviourKind
    validator: ConsensusAddress
    height: Height
    time_ms: Millis
    power: Amount
    total_power: Amount


class Block(LedgerValue, frozen=True, kw_only=True):
    """A decided block: the inputs that every node applies alike (`HEADER-1`).

    An engine that has no validators gives none of the later inputs.

    Attributes:
        time_ms: The header time: the engine's, rounded down; where that is not after the block
            before, the millisecond after it.
        proposer: Who proposed the block.
        votes: On the block before, in the engine's order.
        misbehaviour: That the block holds proof of, in the engine's order.
    """

    height: Height
    time_ms: Millis
    transactions: Annotated[tuple[bytes, ...], Meta(max_length=limits.BLOCK_TRANSACTIONS)]
    proposer: ConsensusAddress | None = None
    votes: Annotated[tuple[Vote, ...], Meta(max_length=limits.VALIDATORS)] = ()
    misbehaviour: Annotated[tuple[Misbehaviour, ...], Meta(max_length=limits.MISBEHAVIOURS)] = ()
    # The beacon that audits draw from takes its place here, after the others: fields of a block
    # are encoded in order.


class ValidatorUpdate(LedgerValue, frozen=True, kw_only=True):
    """What the engine is told after a block: a validator's power from now on, 0 to leave."""

    key: ConsensusKey
    power: Amount


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
    # There are as many kinds of them as codes: nearly always one.
    leaves = {result: leaf_hash(encode(result)) for result in dict.fromkeys(results)}
    return compute_root([leaves[result] for result in results])
