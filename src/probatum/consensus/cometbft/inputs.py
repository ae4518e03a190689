"""What the engine says of a block, as the inputs that every node applies alike (`ABCI-1`).

Must not know the state, except the last block's time.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from probatum.consensus.cometbft.parts import (
    BlockIDFlag,
    CommitInfo,
    ExtendedCommitInfo,
    Misbehavior,
    MisbehaviorType,
    Timestamp,
)
from probatum.errors import Misuse
from probatum.protocol.blocks import Block, Misbehaviour, MisbehaviourKind, Vote
from probatum.protocol.primitives import make_consensus_address

__all__ = ["make_block"]

_KINDS: Final[dict[int, MisbehaviourKind]] = {
    MisbehaviorType.DUPLICATE_VOTE: "duplicate-vote",
    MisbehaviorType.LIGHT_CLIENT_ATTACK: "light-client-attack",
}


def make_block(
    *,
    height: int,
    time: Timestamp,
    last_time_ms: int,
    transactions: tuple[bytes, ...],
    proposer: bytes,
    last_commit: CommitInfo | ExtendedCommitInfo,
    misbehavior: tuple[Misbehavior, ...],
) -> Block:
    """Make a block's inputs of what the engine says.

    Args:
        height: The block's.
        time: The engine's time of it.
        last_time_ms: Of the block before: times increase strictly, whatever is said.
        transactions: In order.
        proposer: Address of the validator.
        last_commit: The votes on the block before, in the engine's order.
        misbehavior: What the block holds proof of, in the engine's order.

    Raises:
        Misuse: `abci.bad-input` for what an engine of this version never says.
        Refusal: `primitive.bad-length`.
    """
    return Block(
        height=height,
        time_ms=max(time.ms, last_time_ms + 1),
        transactions=transactions,
        proposer=make_consensus_address(proposer),
        votes=tuple(_make_votes(last_commit)),
        misbehaviour=tuple(_make_misbehaviour(found) for found in misbehavior),
    )


def _make_votes(commit: CommitInfo | ExtendedCommitInfo) -> Iterable[Vote]:
    for vote in commit.votes:
        if vote.block_id_flag not in (BlockIDFlag.ABSENT, BlockIDFlag.COMMIT, BlockIDFlag.NIL):
            raise Misuse("abci.bad-input", f"a vote has the flag {vote.block_id_flag}")
        # Who signed that there was no block in time was there, and heard of it.
        yield Vote(
            validator=make_consensus_address(vote.validator.address),
            signed=vote.block_id_flag != BlockIDFlag.ABSENT,
        )


def _make_misbehaviour(found: Misbehavior) -> Misbehaviour:
    kind = _KINDS.get(found.type)
    if kind is None:
        raise Misuse("abci.bad-input", f"no misbehaviour is numbered {found.type}")
    return Misbehaviour(
        kind=kind,
        validator=make_consensus_address(found.validator.address),
        height=found.height,
        time_ms=max(found.time.ms, 0),
        power=found.validator.power,
        total_power=found.total_voting_power,
    )
