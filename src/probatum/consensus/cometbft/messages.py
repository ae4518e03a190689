"""What CometBFT v0.38 and an application say to each other: ABCI 2.0 as frozen values.

Names and fields are ABCI's own (``tendermint.abci``), in snake case; every field has proto3's
default, so a value names only what it means to say. Repeated fields are tuples; a message that
ABCI may leave out is None. Must not know bytes (`schema` does) nor the ledger. Read `parts` first,
`application` next.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from probatum.consensus.cometbft.parts import (
    EPOCH,
    NO_COMMIT,
    NO_EXTENDED_COMMIT,
    ApplySnapshotResult,
    CheckTxType,
    CommitInfo,
    ConsensusParams,
    Event,
    ExecTxResult,
    ExtendedCommitInfo,
    Misbehavior,
    OfferSnapshotResult,
    ProofOps,
    ProposalStatus,
    Snapshot,
    Timestamp,
    ValidatorUpdate,
)

__all__ = [
    "Request",
    "RequestApplySnapshotChunk",
    "RequestCheckTx",
    "RequestCommit",
    "RequestEcho",
    "RequestExtendVote",
    "RequestFinalizeBlock",
    "RequestFlush",
    "RequestInfo",
    "RequestInitChain",
    "RequestListSnapshots",
    "RequestLoadSnapshotChunk",
    "RequestOfferSnapshot",
    "RequestPrepareProposal",
    "RequestProcessProposal",
    "RequestQuery",
    "RequestVerifyVoteExtension",
    "Response",
    "ResponseApplySnapshotChunk",
    "ResponseCheckTx",
    "ResponseCommit",
    "ResponseEcho",
    "ResponseException",
    "ResponseExtendVote",
    "ResponseFinalizeBlock",
    "ResponseFlush",
    "ResponseInfo",
    "ResponseInitChain",
    "ResponseListSnapshots",
    "ResponseLoadSnapshotChunk",
    "ResponseOfferSnapshot",
    "ResponsePrepareProposal",
    "ResponseProcessProposal",
    "ResponseQuery",
    "ResponseVerifyVoteExtension",
]

# --------------------------------------------------------------------------------------- requests


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestEcho:
    """Say this again."""

    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFlush:
    """Send what you have; comes with nearly every call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestInfo:
    """Where do you stand? The first call of a start."""

    version: str = ""
    block_version: int = 0
    p2p_version: int = 0
    abci_version: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestInitChain:
    """Begin the chain; once in its life, at height 0.

    Attributes:
        time: Of the genesis file.
        chain_id: The engine's name of the chain.
        consensus_params: Of the genesis file.
        validators: Of the genesis file; may be none.
        app_state_bytes: The genesis file's ``app_state``, as JSON.
        initial_height: The first block's height.
    """

    time: Timestamp = EPOCH
    chain_id: str = ""
    consensus_params: ConsensusParams | None = None
    validators: tuple[ValidatorUpdate, ...] = ()
    app_state_bytes: bytes = b""
    initial_height: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestQuery:
    """A stranger's question, through the engine's RPC.

    Attributes:
        data: Free.
        path: Free; what was no UTF-8 in it has become U+FFFD, since strangers choose it.
        height: At which height; 0 is the latest that can be proven.
        prove: Whether a proof is wanted.
    """

    data: bytes = b""
    path: str = ""
    height: int = 0
    prove: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCheckTx:
    """May this wait in the pool? See `CheckTxType`."""

    tx: bytes = b""
    type: int = CheckTxType.NEW


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCommit:
    """Keep what the last `RequestFinalizeBlock` came to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestListSnapshots:
    """Which snapshots do you have?"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestOfferSnapshot:
    """Shall this snapshot be restored? `app_hash` was proven by the engine's light client."""

    snapshot: Snapshot | None = None
    app_hash: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestLoadSnapshotChunk:
    """Give one chunk of a snapshot of yours, for a peer."""

    height: int = 0
    format: int = 0
    chunk: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestApplySnapshotChunk:
    """Take one chunk of the snapshot that was accepted; `sender` is the peer that gave it."""

    index: int = 0
    chunk: bytes = b""
    sender: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestPrepareProposal:
    """Make a block: this node proposes.

    Attributes:
        max_tx_bytes: Bytes that the transactions may have together.
        txs: What the pool offers.
        local_last_commit: The last block's votes as this node saw them.
        misbehavior: What the block will carry.
        height: The block's.
        time: The block's.
        next_validators_hash: Of the set after this height.
        proposer_address: This node's validator.
    """

    max_tx_bytes: int = 0
    txs: tuple[bytes, ...] = ()
    local_last_commit: ExtendedCommitInfo = NO_EXTENDED_COMMIT
    misbehavior: tuple[Misbehavior, ...] = ()
    height: int = 0
    time: Timestamp = EPOCH
    next_validators_hash: bytes = b""
    proposer_address: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestProcessProposal:
    """Is this proposal good? May not come at all for a block that is then decided."""

    txs: tuple[bytes, ...] = ()
    proposed_last_commit: CommitInfo = NO_COMMIT
    misbehavior: tuple[Misbehavior, ...] = ()
    hash: bytes = b""
    height: int = 0
    time: Timestamp = EPOCH
    next_validators_hash: bytes = b""
    proposer_address: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestExtendVote:
    """Add something to this node's precommit (only where extensions are switched on)."""

    hash: bytes = b""
    height: int = 0
    time: Timestamp = EPOCH
    txs: tuple[bytes, ...] = ()
    proposed_last_commit: CommitInfo = NO_COMMIT
    misbehavior: tuple[Misbehavior, ...] = ()
    next_validators_hash: bytes = b""
    proposer_address: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestVerifyVoteExtension:
    """Is another validator's extension good?"""

    hash: bytes = b""
    validator_address: bytes = b""
    height: int = 0
    vote_extension: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestFinalizeBlock:
    """Apply a decided block, without keeping anything yet.

    Attributes:
        txs: Its transactions, in order.
        decided_last_commit: The last block's votes, as the block carries them: the same everywhere.
        misbehavior: What the block carries.
        hash: The block's, CometBFT's own.
        height: The block's.
        time: The block's: the weighted median of the last precommits' times.
        next_validators_hash: Of the set after this height.
        proposer_address: 20 bytes.
    """

    txs: tuple[bytes, ...] = ()
    decided_last_commit: CommitInfo = NO_COMMIT
    misbehavior: tuple[Misbehavior, ...] = ()
    hash: bytes = b""
    height: int = 0
    time: Timestamp = EPOCH
    next_validators_hash: bytes = b""
    proposer_address: bytes = b""


# -------------------------------------------------------------------------------------- responses


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseException:
    """The application is broken: the engine stops when it reads this."""

    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseEcho:
    """What was said."""

    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFlush:
    """Everything before this has been answered."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseInfo:
    """Where the application stands: exactly what it last kept, or the engine will not start.

    Attributes:
        data: Free, for people.
        version: The program's, for people.
        app_version: The protocol's; must equal the genesis file's ``version.app``.
        last_block_height: The last committed height, 0 before the first.
        last_block_app_hash: The hash answered for it.
    """

    data: str = ""
    version: str = ""
    app_version: int = 0
    last_block_height: int = 0
    last_block_app_hash: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseInitChain:
    """The chain has begun.

    Attributes:
        consensus_params: Groups that replace the genesis file's; None replaces none.
        validators: The first set; none stands for the genesis file's.
        app_hash: The first header's.
    """

    consensus_params: ConsensusParams | None = None
    validators: tuple[ValidatorUpdate, ...] = ()
    app_hash: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseQuery:
    """An answer to a stranger's question; a `code` other than 0 refuses it."""

    code: int = 0
    log: str = ""
    info: str = ""
    index: int = 0
    key: bytes = b""
    value: bytes = b""
    proof_ops: ProofOps | None = None
    height: int = 0
    codespace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseCheckTx:
    """Whether a transaction may wait; a `code` other than 0 keeps it out."""

    code: int = 0
    data: bytes = b""
    log: str = ""
    info: str = ""
    gas_wanted: int = 0
    gas_used: int = 0
    events: tuple[Event, ...] = ()
    codespace: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseCommit:
    """The block is kept; the engine may forget blocks below `retain_height` (0: none)."""

    retain_height: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseListSnapshots:
    """The snapshots that are had."""

    snapshots: tuple[Snapshot, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseOfferSnapshot:
    """See `OfferSnapshotResult`."""

    result: int = OfferSnapshotResult.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseLoadSnapshotChunk:
    """One chunk; empty if it is not had."""

    chunk: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseApplySnapshotChunk:
    """What came of a chunk, which ones to fetch again, and whom to believe no more."""

    result: int = ApplySnapshotResult.UNKNOWN
    refetch_chunks: tuple[int, ...] = ()
    reject_senders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponsePrepareProposal:
    """The block's transactions, at most `max_tx_bytes` together."""

    txs: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseProcessProposal:
    """See `ProposalStatus`; a function of committed state and block, the same on every node."""

    status: int = ProposalStatus.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseExtendVote:
    """What to add to the precommit."""

    vote_extension: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseVerifyVoteExtension:
    """See `ProposalStatus`."""

    status: int = ProposalStatus.UNKNOWN


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseFinalizeBlock:
    """What a decided block comes to.

    Attributes:
        events: Of the block.
        tx_results: One for each transaction, in order; fewer stop the node for good.
        validator_updates: New powers, each key once; they act two heights later.
        consensus_param_updates: Groups to replace from the next height on.
        app_hash: The state after this block; the next header carries it.
    """

    events: tuple[Event, ...] = ()
    tx_results: tuple[ExecTxResult, ...] = ()
    validator_updates: tuple[ValidatorUpdate, ...] = ()
    consensus_param_updates: ConsensusParams | None = None
    app_hash: bytes = b""


Request: TypeAlias = (
    RequestEcho
    | RequestFlush
    | RequestInfo
    | RequestInitChain
    | RequestQuery
    | RequestCheckTx
    | RequestCommit
    | RequestListSnapshots
    | RequestOfferSnapshot
    | RequestLoadSnapshotChunk
    | RequestApplySnapshotChunk
    | RequestPrepareProposal
    | RequestProcessProposal
    | RequestExtendVote
    | RequestVerifyVoteExtension
    | RequestFinalizeBlock
)
"""Everything that the engine may ask."""

Response: TypeAlias = (
    ResponseException
    | ResponseEcho
    | ResponseFlush
    | ResponseInfo
    | ResponseInitChain
    | ResponseQuery
    | ResponseCheckTx
    | ResponseCommit
    | ResponseListSnapshots
    | ResponseOfferSnapshot
    | ResponseLoadSnapshotChunk
    | ResponseApplySnapshotChunk
    | ResponsePrepareProposal
    | ResponseProcessProposal
    | ResponseExtendVote
    | ResponseVerifyVoteExtension
    | ResponseFinalizeBlock
)
"""Everything that may be answered."""
