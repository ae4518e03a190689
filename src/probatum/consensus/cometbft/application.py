"""What an application answers to CometBFT: one method a call of ABCI 2.0.

`server` calls these one at a time, in the order in which the engine sent them on each connection,
and never two at once. A method may answer later by returning an awaitable; until it is done nobody
else is heard. A `Refusal` of strangers' input is an answer with a code, never an exception: an
exception that leaves a method is a bug, the engine is told (`ResponseException`), it stops, and so
must this process. Must not know sockets or bytes.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Protocol, TypeAlias, TypeVar

from probatum.consensus.cometbft.messages import (
    RequestApplySnapshotChunk,
    RequestCheckTx,
    RequestCommit,
    RequestExtendVote,
    RequestFinalizeBlock,
    RequestInfo,
    RequestInitChain,
    RequestListSnapshots,
    RequestLoadSnapshotChunk,
    RequestOfferSnapshot,
    RequestPrepareProposal,
    RequestProcessProposal,
    RequestQuery,
    RequestVerifyVoteExtension,
    ResponseApplySnapshotChunk,
    ResponseCheckTx,
    ResponseCommit,
    ResponseExtendVote,
    ResponseFinalizeBlock,
    ResponseInfo,
    ResponseInitChain,
    ResponseListSnapshots,
    ResponseLoadSnapshotChunk,
    ResponseOfferSnapshot,
    ResponsePrepareProposal,
    ResponseProcessProposal,
    ResponseQuery,
    ResponseVerifyVoteExtension,
)

__all__ = ["Answer", "Application"]

T = TypeVar("T")
Answer: TypeAlias = T | Awaitable[T]
"""Now, or later."""


class Application(Protocol):
    """Everything but Echo and Flush, which the server answers itself."""

    def reconnected(self) -> None:
        """An engine has connected where none was: forget what was not committed.

        The engine may have died between `finalize_block` and `commit`; it will ask again.
        """

    def info(self, request: RequestInfo, /) -> Answer[ResponseInfo]:
        """Say which height is kept, and its hash."""

    def init_chain(self, request: RequestInitChain, /) -> Answer[ResponseInitChain]:
        """Begin the chain."""

    def query(self, request: RequestQuery, /) -> Answer[ResponseQuery]:
        """Answer a stranger."""

    def check_tx(self, request: RequestCheckTx, /) -> Answer[ResponseCheckTx]:
        """Judge a transaction for the pool."""

    def prepare_proposal(
        self, request: RequestPrepareProposal, /
    ) -> Answer[ResponsePrepareProposal]:
        """Choose a block's transactions."""

    def process_proposal(
        self, request: RequestProcessProposal, /
    ) -> Answer[ResponseProcessProposal]:
        """Judge a proposal, changing nothing."""

    def extend_vote(self, request: RequestExtendVote, /) -> Answer[ResponseExtendVote]:
        """Extend a vote; never called unless extensions are switched on."""

    def verify_vote_extension(
        self, request: RequestVerifyVoteExtension, /
    ) -> Answer[ResponseVerifyVoteExtension]:
        """Judge an extension; never called unless extensions are switched on."""

    def finalize_block(self, request: RequestFinalizeBlock, /) -> Answer[ResponseFinalizeBlock]:
        """Apply a decided block, keeping nothing yet."""

    def commit(self, request: RequestCommit, /) -> Answer[ResponseCommit]:
        """Keep the last finalized block: height, hash and state in one atomic step."""

    def list_snapshots(self, request: RequestListSnapshots, /) -> Answer[ResponseListSnapshots]:
        """List the snapshots that are had."""

    def offer_snapshot(self, request: RequestOfferSnapshot, /) -> Answer[ResponseOfferSnapshot]:
        """Judge a snapshot to be restored."""

    def load_snapshot_chunk(
        self, request: RequestLoadSnapshotChunk, /
    ) -> Answer[ResponseLoadSnapshotChunk]:
        """Give a chunk."""

    def apply_snapshot_chunk(
        self, request: RequestApplySnapshotChunk, /
    ) -> Answer[ResponseApplySnapshotChunk]:
        """Restore a chunk."""
