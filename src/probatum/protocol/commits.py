"""What validators under CometBFT sign: the engine's header, its commit, the set that signed it.

Values only, as a seal carries them (`HEADER-1`); field names and meanings are CometBFT's. A value
here is not the engine's own encoding: `probatum.consensus.cometbft.light` makes that, hashes it
and checks the signatures. Must not know what a commit proves of our own header.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal, TypeAlias

from msgspec import Meta

from probatum.protocol import limits
from probatum.protocol.encoding import LedgerValue
from probatum.protocol.primitives import (
    AMOUNT_BOUND,
    ConsensusAddress,
    ConsensusKey,
    Digest,
    Height,
)

__all__ = [
    "ABSENT",
    "COMMITTED",
    "NIL",
    "BlockId",
    "Commit",
    "CommitFlag",
    "CommitVote",
    "EngineHash",
    "EngineHeader",
    "EngineTime",
    "Power",
    "Validator",
    "compute_engine_chain_id",
]

EngineHash: TypeAlias = Annotated[bytes, Meta(max_length=32)]
"""A hash in the engine's header: 32 bytes, or none where the engine has none yet."""
Power: TypeAlias = Annotated[int, Meta(ge=1, le=limits.TOTAL_POWER)]
"""A validator's voting power; the sum over a set is bounded by the same number."""
CommitFlag: TypeAlias = Literal[1, 2, 3]
"""What a validator's part of a commit is, by the engine's numbers."""
ABSENT: Final[CommitFlag] = 1
COMMITTED: Final[CommitFlag] = 2
NIL: Final[CommitFlag] = 3
"""It signed that it saw no block in time: a valid signature that counts for nothing."""

_HASH_DIGITS: Final = 16
_Version: TypeAlias = Annotated[int, Meta(ge=0, le=AMOUNT_BOUND - 1)]


class EngineTime(LedgerValue, frozen=True, kw_only=True):
    """A time to the nanosecond, from year 1 (which stands for none) to 9999.

    Attributes:
        seconds: Unix time; before 1970 below zero.
        nanos: What is over.
    """

    seconds: Annotated[int, Meta(ge=-62_135_596_800, le=253_402_300_799)]
    nanos: Annotated[int, Meta(ge=0, le=999_999_999)]


class BlockId(LedgerValue, frozen=True, kw_only=True):
    """What a vote names: a block's hash, and the parts that it was sent in.

    Attributes:
        hash: Of the engine's header; empty only as the predecessor of the first block.
        parts: How many parts.
        parts_hash: Root over them; empty where `hash` is.
    """

    hash: EngineHash
    parts: Annotated[int, Meta(ge=0, lt=1 << 32)]
    parts_hash: EngineHash


class EngineHeader(LedgerValue, frozen=True, kw_only=True):
    """CometBFT's header, all fourteen fields.

    Attributes:
        block_version: With `app_version` the first field.
        chain_id: The engine's name of the chain.
        last_block: The block before.
        app_hash: The application's hash after the block before: the hash of *our* header of the
            height before.
        last_results_hash: Over the results of the block before.
        proposer: Who proposed the block.
    """

    block_version: _Version
    app_version: _Version
    chain_id: Annotated[str, Meta(min_length=1, max_length=limits.ENGINE_CHAIN_ID_CHARS)]
    height: Height
    time: EngineTime
    last_block: BlockId
    last_commit_hash: EngineHash
    data_hash: EngineHash
    validators_hash: EngineHash
    next_validators_hash: EngineHash
    consensus_hash: EngineHash
    app_hash: EngineHash
    last_results_hash: EngineHash
    evidence_hash: EngineHash
    proposer: ConsensusAddress


class CommitVote(LedgerValue, frozen=True, kw_only=True):
    """One validator's part of a commit, at its place in the set.

    Attributes:
        flag: What it signed, if anything.
        validator: Its address; empty if absent.
        time: When it signed; year 1 if absent.
        signature: Empty if absent.
    """

    flag: CommitFlag
    validator: Annotated[bytes, Meta(max_length=20)]
    time: EngineTime
    signature: Annotated[bytes, Meta(max_length=64)]


class Commit(LedgerValue, frozen=True, kw_only=True):
    """The votes that decided a block, in the order of its validator set."""

    height: Height
    round: Annotated[int, Meta(ge=0, lt=1 << 31)]
    block: BlockId
    votes: Annotated[tuple[CommitVote, ...], Meta(min_length=1, max_length=limits.VALIDATORS)]


class Validator(LedgerValue, frozen=True, kw_only=True):
    """A validator of one height."""

    key: ConsensusKey
    power: Power


def compute_engine_chain_id(chain_id: int, genesis_hash: Digest) -> str:
    """Compute the name that the engine signs for: two networks never share one.

    Args:
        chain_id: Our chain's number.
        genesis_hash: SHA-256 of our genesis document.
    """
    name = f"probatum-{chain_id}-{genesis_hash.hex()[:_HASH_DIGITS]}"
    assert len(name) <= limits.ENGINE_CHAIN_ID_CHARS, "a chain id has at most 16 digits"
    return name
